"""Take-over, swap and removal of generations, in an order in which a kill does no harm.

A lease says which writer may write. A fence, the holder's own alias on a generation, enforces it: a writer
whose fence is gone reaches no index. A model checks the order of the steps, `tests/support/write_order`.
"""

from collections.abc import Collection
from functools import partial
from itertools import count
from typing import Final

from msgspec.structs import replace

from ctisync.core.state import ConsumerState
from ctisync.errors import StoreUnavailable
from ctisync.stores.opensearch.generations import (
    Generations,
    Inventory,
    add_alias,
    assert_alias,
    remove_alias,
    remove_index,
)
from ctisync.stores.opensearch.lease import LeaseHolder
from ctisync.stores.opensearch.state_document import StateEntry, Swap

_RACES: Final = 10
"""How often a list that was out of date when it was acted on is made again."""

_REPORTED: Final = ("last_offset", "last_snapshot_link", "checked_at", "unanswered_at", "was_in_step_at")
"""The parts of a state that tell what the feed has reported, and when."""


class FencedLease:
    """One writer's lease on a consumer, and its fences on generations."""

    def __init__(self, lease: LeaseHolder, generations: Generations) -> None:
        self._lease = lease
        self._generations = generations
        self._consumer = generations.consumer
        self._fences: dict[str, str] = {}
        self._numbers = count()
        self._inventory = Inventory({})

    def take_over(self) -> None:
        """Take the lease and settle what another writer left. Afterwards the state describes the live
        generation, and no other writer can write. Raises AnotherPass while another pass holds the lease.

        In the model: acquire, list_fences, revoke, look.
        """
        self._lease.acquire(lambda entry: replace(entry, state=entry.state.load_abandoned()))
        inventory = self._settle(self._revoke())
        if not self._state_agrees(inventory):
            self._lease.commit(
                lambda entry: replace(entry, state=entry.state.content_gone(), generation=None)
            )
        if self.live is not None:
            self._generations.repair_settings(inventory.generations[self.live], self.fence(self.live))
            if inventory.generations.keys() != {self.live}:
                self.drop_strays(self.live)

    def fence(self, generation: str) -> str:
        """The name of the alias through which this holder reaches a generation. Fencing creates the alias."""
        if generation not in self._fences:
            self._fences[generation] = self._generations.new_fence(self._lease.token, next(self._numbers))
        return self._fences[generation]

    def swap(self, to: str) -> bool:
        """Move the consumer's alias to a generation that we have fenced, if need be from the consumer that an
        operator wants replaced. Returns whether it points there.

        In the model: see_lease, swap.
        """
        if not self.state.may_replace:
            return False
        alias, old = self._consumer.index, self._inventory.target
        actions = [*assert_alias(to, self.fence(to))]
        if old is not None:
            actions.append(remove_alias(old, alias))
        self._generations.change_aliases([*actions, add_alias(to, alias)])
        self._inventory = self._generations.inventory()
        return self.live == to

    @property
    def inventory(self) -> Inventory:
        """The consumer's generations, as last read."""
        return self._inventory

    @property
    def live(self) -> str | None:
        """The live generation, as last read."""
        return self._inventory.live

    @property
    def state(self) -> ConsumerState:
        """The stored state, and whose content readers find."""
        return replace(self._lease.entry.state, occupant=self._inventory.occupant)

    def drop_strays(self, fenced: str, spare: Collection[str] = ()) -> None:
        """Remove all generations except the live one, `fenced` and `spare`. Asserts our fence on `fenced`.

        In the model: list_strays, drop_strays.

        A generation that is read under another alias stays while the state names a content under that alias,
        or while a new content is being loaded: the settings may have a new alias, which has no content yet.
        """
        for _ in range(_RACES):
            inventory = self._generations.inventory()
            elsewhere = self._lease.entry.state.index_elsewhere(self._consumer) is not None
            keep_readable = elsewhere or fenced != inventory.live
            strays = {
                name
                for name, generation in inventory.generations.items()
                if name not in {fenced, inventory.live, *spare}
                if not (keep_readable and self._generations.readers(generation))
            }
            if not strays:
                return
            actions = [*assert_alias(fenced, self.fence(fenced)), *map(remove_index, sorted(strays))]
            if self._generations.change_aliases(actions):
                for stray in strays:
                    self.discard_fence(stray)
                return
            self._lease.reload()
        raise _too_many_races()

    def remove_fences(self) -> None:
        """Remove our fences, best effort: the next writer that takes over removes the rest.

        In the model: unfence, release.
        """
        actions = [remove_alias(generation, fence) for generation, fence in self._fences.items()]
        self._generations.change_aliases(actions)

    def discard_fence(self, generation: str) -> None:
        """A generation is gone, and its fence with it. To remove that fence would make `remove_fences`
        fail."""
        self._fences.pop(generation, None)

    def remove_content(self) -> None:
        """Take the lease, with a state that has no content, and remove all generations, whatever the alias
        points at. Raises AnotherPass while another pass holds the lease.

        Each round lists what is left and removes it: the reply to a retried request does not show its effect.
        First all fences go, and ours comes on one generation; each later request asserts it. Then go the
        aliases and all other generations, then that one, which readers no longer find.
        """
        self._lease.acquire(lambda entry: replace(entry, state=ConsumerState(), generation=None, swap=None))
        fence = self._generations.new_fence(self._lease.token, 0)
        for _ in range(_RACES):
            generations = self._generations.list_all()
            self._lease.reload()  # if another writer has taken over, its fences and aliases must stay
            if not generations:
                return
            fenced = [name for name, each in generations.items() if fence in each.aliases]
            last = fenced[0] if fenced else min(generations)
            removals = self._generations.remove_fences(generations)
            foreign_fences = [each for each in removals if each != remove_alias(last, fence)]
            readers = sorted(self._generations.readers(generations[last]))
            others = [remove_index(name) for name in generations if name != last]
            if foreign_fences or not fenced:
                actions = [*foreign_fences, add_alias(last, fence)]
            elif readers or others:
                aliases = [remove_alias(last, alias) for alias in readers]
                actions = [*assert_alias(last, fence), *aliases, *others]
            else:  # if this is interrupted, the next holder finds no content, and a stray generation
                actions = [remove_index(last)]
            self._generations.change_aliases(actions)
        raise _too_many_races()

    def _revoke(self) -> Inventory:
        """One call that removes all fences and puts ours on the live generation. Returns the list that it was
        made from: the call has asserted that this generation is live, and no other writer can change that."""
        for _ in range(_RACES):
            inventory = self._generations.inventory()
            actions = self._generations.remove_fences(inventory.generations | inventory.facts)
            if inventory.live is not None:
                actions += assert_alias(inventory.live, self._consumer.index)
                actions.append(add_alias(inventory.live, self.fence(inventory.live)))
            if self._generations.change_aliases(actions):
                return inventory
        raise _too_many_races()

    def _state_agrees(self, inventory: Inventory) -> bool:
        """Whether the state names the live generation, or no content if there is none; or a generation that
        is live under another alias, which stays true until this alias has a content."""
        entry = self._lease.entry
        if inventory.occupant is not None:
            return entry.generation is None or entry.generation in inventory.generations
        elsewhere = entry.state.index_elsewhere(self._consumer)
        if elsewhere is not None and entry.generation in inventory.generations:
            return elsewhere in inventory.generations[entry.generation].aliases
        if inventory.live is not None:
            return inventory.live == entry.generation
        return entry.generation is None and entry.state.offset == 0 and not entry.state.content

    def _settle(self, listed: Inventory) -> Inventory:
        """Finish or undo a swap that a dead writer began. Returns the inventory after that, which is as
        `listed` if there is a content and no swap.

        In the model: look, then finish_dead_swap, fence_dead_swap, or undo; zero.
        """
        for race in range(_RACES):
            self._lease.reload()
            swap = self._lease.entry.swap
            as_listed = race == 0 and swap is None and listed.live is not None
            inventory = listed if as_listed else self._generations.inventory()
            self._inventory = inventory
            if swap is None:
                return inventory
            to = inventory.generations.get(swap.to)
            elsewhere = swap.after.index_elsewhere(self._consumer)
            if to is not None and (elsewhere or self._consumer.index) in to.aliases:
                self._lease.commit(partial(_finished, swap))
            elif to is None or elsewhere is not None or not self.state.may_replace:
                # Gone, for an alias that is not in the settings, or another consumer has replaced ours.
                self._lease.commit(partial(_undone, swap))
            elif self._generations.change_aliases([add_alias(swap.to, self.fence(swap.to))]):
                # If another writer has taken over meanwhile, this fence gives us access that we must not use.
                self._lease.reload()
                self.swap(swap.to)
        raise _too_many_races()


def _undone(swap: Swap, entry: StateEntry) -> StateEntry:
    return replace(entry, state=replace(entry.state, offset=swap.was), swap=None)


def _finished(swap: Swap, entry: StateEntry) -> StateEntry:
    """The state of the swap, with what the feed has reported and what was alerted since then."""
    now = entry.state
    after = replace(swap.after, incidents=now.incidents)
    if now.checked_at is not None and (after.checked_at is None or now.checked_at > after.checked_at):
        after = replace(after, **{name: getattr(now, name) for name in _REPORTED})
    return replace(entry, state=after, generation=swap.to, swap=None)


def _too_many_races() -> StoreUnavailable:
    return StoreUnavailable("the aliases of OpenSearch changed too often while being read; try again later")
