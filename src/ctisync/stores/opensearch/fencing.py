"""Taking over: from the possibly half-done work of another writer to a lease that is ours and a true state.

A lease says who may write. A fence, the holder's own alias on a generation, sees to it: a writer whose fence
is gone reaches nothing. The order of the steps was checked in a model, `tests/support/write_order`.
"""

from collections.abc import Collection
from itertools import count
from typing import Final

import msgspec

from ctisync.core.model import Consumer
from ctisync.core.state import content_gone, load_abandoned
from ctisync.errors import StoreUnavailable
from ctisync.stores.opensearch.generations import Generations, Inventory, added, asserted, dropped, removed
from ctisync.stores.opensearch.lease import HeldLease
from ctisync.stores.opensearch.state_document import StateEntry

_RACES: Final = 10
"""How often a list that was out of date when it was acted on is made again."""


class FencedLease:
    """One writer's hold of a consumer: its lease, and its fences on generations."""

    def __init__(self, lease: HeldLease, generations: Generations, consumer: Consumer) -> None:
        self._lease = lease
        self._generations = generations
        self._consumer = consumer
        self._fences: dict[str, str] = {}
        self._numbers = count()
        self.live: str | None = None

    def take_over(self) -> None:
        """Afterwards the state says what the live generation holds, and no other writer can write.

        In the model: acquire, list_fences, revoke, look.
        """
        self._lease.acquire(_took_over)
        self._revoke()
        inventory = self._settled()
        if not self._agrees(inventory):
            self._lease.commit(_zeroed)
        if self.live is not None:
            self._generations.mend(inventory.generations[self.live], self.fence(self.live))
            self.drop_strays(self.live)

    def fence(self, generation: str) -> str:
        """The alias through which this holder reaches a generation (made when the generation is fenced)."""
        if generation not in self._fences:
            self._fences[generation] = self._generations.new_fence(self._lease.token, next(self._numbers))
        return self._fences[generation]

    def swap(self, to: str) -> bool:
        """Move the alias to a generation that is fenced by us; whether it then points there.

        In the model: see_lease, swap.
        """
        alias, old = self._consumer.index, self.live
        actions = [*asserted(to, self.fence(to))]
        if old is not None:
            actions.append(removed(old, alias))
        self._generations.change_aliases([*actions, added(to, alias)])
        self.live = self._generations.inventory().live
        return self.live == to

    def drop_strays(self, fenced: str, spare: Collection[str] = ()) -> None:
        """Remove all generations but the live one, `fenced` and `spare`; asserts our fence on `fenced`.

        In the model: list_strays, drop_strays.

        Nothing goes that is read under another alias while the state speaks of such a content, or while a new
        one is being built: the settings may have given it a new alias, under which there is nothing yet.
        """
        for _ in range(_RACES):
            inventory = self._generations.inventory()
            elsewhere = self._lease.entry.state.index_elsewhere(self._consumer) is not None
            careful = elsewhere or fenced != inventory.live
            strays = self._strays(inventory, {fenced, *spare}, careful=careful)
            if not strays:
                return
            actions = [*asserted(fenced, self.fence(fenced)), *map(dropped, sorted(strays))]
            if self._generations.change_aliases(actions):
                for stray in strays:
                    # Its fence is gone with it: asking for that would undo the whole letting go.
                    self.forget(stray)
                return
            self._lease.look()
        raise _too_many_races()

    def _strays(self, inventory: Inventory, kept: Collection[str], *, careful: bool) -> set[str]:
        return {
            name
            for name, generation in inventory.generations.items()
            if name not in kept and name != inventory.live
            if not (careful and self._generations.is_read(generation))
        }

    def let_go(self) -> None:
        """Remove our fences, best effort: the next writer that takes over removes what is left.

        In the model: unfence, release.
        """
        actions = [removed(generation, fence) for generation, fence in self._fences.items()]
        self._generations.change_aliases(actions)

    def forget(self, generation: str) -> None:
        """A generation is gone, and its fence with it."""
        self._fences.pop(generation, None)

    def _revoke(self) -> None:
        """One call that removes all fences and puts ours on the live generation."""
        for _ in range(_RACES):
            inventory = self._generations.inventory()
            actions = [
                removed(generation.name, fence)
                for generation in inventory.generations.values()
                for fence in self._generations.fences(generation)
            ]
            if inventory.live is not None:
                actions += asserted(inventory.live, self._consumer.index)
                actions.append(added(inventory.live, self.fence(inventory.live)))
            if self._generations.change_aliases(actions):
                return
        raise _too_many_races()

    def _agrees(self, inventory: Inventory) -> bool:
        """Whether the state speaks of the generation that is live, or of no content where there is none; or
        of one that is live under another alias, which stays true until a content of this one is live."""
        entry = self._lease.entry
        elsewhere = entry.state.index_elsewhere(self._consumer)
        if elsewhere is not None and entry.generation in inventory.generations:
            return elsewhere in inventory.generations[entry.generation].aliases
        if inventory.live is not None:
            return inventory.live == entry.generation
        return entry.generation is None and entry.state.offset == 0 and not entry.state.content

    def _settled(self) -> Inventory:
        """What there is, once no swap is half done: its writer died, it is finished or undone here.

        In the model: look, then finish_found, fence_found, or undo; zero.
        """
        for _ in range(_RACES):
            self._lease.look()
            inventory = self._generations.inventory()
            self.live = inventory.live
            swap = self._lease.entry.swap
            if swap is None:
                return inventory
            to = inventory.generations.get(swap.to)
            elsewhere = swap.after.index_elsewhere(self._consumer)
            if to is not None and (elsewhere or self._consumer.index) in to.aliases:
                self._lease.commit(_finished)
            elif to is None or elsewhere is not None:  # gone, or for an alias that the settings have no more
                self._lease.commit(_undone)
            elif self._generations.change_aliases([added(swap.to, self.fence(swap.to))]):
                # A fence that was put up after somebody had taken over keeps nobody out, but us in.
                self._lease.look()
                self.swap(swap.to)
        raise _too_many_races()


def _took_over(entry: StateEntry) -> StateEntry:
    return msgspec.structs.replace(entry, state=load_abandoned(entry.state))


def _zeroed(entry: StateEntry) -> StateEntry:
    return msgspec.structs.replace(entry, state=content_gone(entry.state), generation=None)


def _undone(entry: StateEntry) -> StateEntry:
    if entry.swap is None:
        return entry
    state = msgspec.structs.replace(entry.state, offset=entry.swap.was)
    return msgspec.structs.replace(entry, state=state, swap=None)


def _finished(entry: StateEntry) -> StateEntry:
    """The state that the swap was for, with what the feed has said since then."""
    if entry.swap is None:
        return entry
    after, now = entry.swap.after, entry.state
    if now.checked_at is not None and (after.checked_at is None or now.checked_at > after.checked_at):
        after = msgspec.structs.replace(
            after,
            last_offset=now.last_offset,
            last_snapshot_link=now.last_snapshot_link,
            checked_at=now.checked_at,
        )
    return msgspec.structs.replace(entry, state=after, generation=entry.swap.to, swap=None)


def _too_many_races() -> StoreUnavailable:
    return StoreUnavailable("the aliases of OpenSearch changed too often while being read; try again later")
