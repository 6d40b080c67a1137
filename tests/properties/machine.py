"""The machine: whatever feed, passes and Command Manager do in whatever order, the promises hold.

The rules act; the model (`tests.properties.model`) knows what must be so after each of them, and at every
moment in the middle of a pass.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.core.steps import Mode, Policy
from ctisync.errors import (
    Blocked,
    CommandNotAccepted,
    CtisyncError,
    EmptyStore,
    FeedRefused,
    FeedUnreachable,
    SnapshotRefused,
)
from ctisync.ports import Store
from tests.properties.model import Model, ReceivedCommands, at, no_moment
from tests.properties.observed import ObservedCommands, ObservedFeed, ObservedStore, Process
from tests.support.clock import FakeClock
from tests.support.faults import Killed
from tests.support.log import KeptLog
from tests.support.memory_feed import MemoryFeed, MemoryServer, Spoil
from tests.support.one_pass import parts_of, passed

Json = Any

NAMES = st.sampled_from(["A", "a", "B", "É", "🐞", "CVE-2024-1"])
MODES: st.SearchStrategy[Mode] = st.sampled_from(["sync", "sync", "sync", "update", "init-snapshot"])
MOMENTS = st.integers(1, 60)
SIZES = st.integers(1, 12)
SELDOM = st.sampled_from([False, False, False, True])
PICKS = st.integers(0, 1000)

SPOILS: dict[str, Spoil] = {
    "nothing": lambda changes: [],
    "half": lambda changes: changes[: len(changes) // 2],
    "reordered": lambda changes: changes[::-1],
    "doubled": lambda changes: [*changes, *changes[-1:]],
    "another range's": lambda changes: [{**change, "offset": change["offset"] + 5000} for change in changes],
}
CHANGES_MADE = st.sampled_from(
    [
        *[*["create"] * 3, *["update"] * 6, *["delete"] * 2, *["gap"] * 2],
        *["far gap", "poison", "stray", "empty create"],
    ]
)
POISONED = [{"op": "remove", "path": "/there/is/nothing/here"}]


class ModelMachine(RuleBasedStateMachine):
    """One consumer on one store. `make_store` opens it as another process would; `prepare_look` makes
    readers find what was written, where a store needs that. At a moment within a pass readers are asked
    only when `looks_within`."""

    def __init__(
        self,
        make_store: Callable[[], Store],
        consumer: Consumer,
        *,
        prepare_look: Callable[[], None] = lambda: None,
        looks_within: bool = True,
    ) -> None:
        super().__init__()
        self.make_store = make_store
        self.consumer = consumer
        self.prepare_look = prepare_look
        self.looks_within = looks_within
        self.clock = FakeClock()
        self.policy = Policy()
        self.server = MemoryServer()
        self.commands = ReceivedCommands()
        self.model = Model(self.server, self.commands)
        self.processes: list[Process] = []
        self.reader = make_store()
        self.server.history.create("A", {"n": 0, "list": []})

    @initialize(
        reset=st.sampled_from(["refuse", "init"]),
        hours=st.sampled_from([0, 24]),
        late=SELDOM,
    )
    def begin(self, reset: Any, hours: int, late: bool) -> None:
        self.policy = Policy(on_feed_reset=reset, reinit_interval=timedelta(hours=hours))
        if not late:
            self.server.offer_snapshot()

    # What the feed does.

    @rule(kinds=st.lists(CHANGES_MADE, min_size=1, max_size=12), pick=PICKS, name=NAMES)
    def feed_lives_on(self, kinds: list[str], pick: int, name: str) -> None:
        for number, kind in enumerate(kinds):
            self._change(kind, pick + number, name)

    @rule(kinds=st.lists(CHANGES_MADE, min_size=1, max_size=6), pick=PICKS, name=NAMES, mode=MODES)
    def feed_lives_on_and_a_pass_runs(self, kinds: list[str], pick: int, name: str, mode: Mode) -> None:
        self.feed_lives_on(kinds, pick, name)
        self.a_pass_runs(mode)

    def _change(self, kind: str, pick: int, name: str) -> None:
        history, alive = self.server.history, self.server.history.names()
        resource = alive[pick % len(alive)]
        match kind:
            case "create" if name not in alive:
                history.create(name, {"n": pick, "list": []})
            case "update" | "create":
                history.update(resource, _operations(pick))
            case "delete" if len(alive) > 1:
                history.delete(resource)
            case "empty create":
                history.create_empty(name)
            case "poison":
                history.poison(resource)
            case "stray":
                history.edit(history.update(resource, []), resource="CVE-NOBODY", operations=[])
            case "far gap":  # so that the rest is more than one range
                history.gap(700)
            case _:
                history.gap(1 + pick % 3)

    @rule(back=st.integers(0, 30), damaged=SELDOM)
    def feed_offers_a_snapshot(self, back: int, damaged: bool) -> None:
        lowest = self.server.history.entries[0].offset
        if lowest <= self.server.reported_offset:
            self.server.offer_snapshot(max(lowest, self.server.reported_offset - back), damaged=damaged)

    @rule(first_offset=st.integers(1, 1100))
    def feed_starts_again(self, first_offset: int) -> None:
        self.server.reset(first_offset)
        self.server.history.create("B", {"n": 1, "list": [first_offset]})

    @rule(frozen=SELDOM)
    def feed_freezes_or_thaws(self, frozen: bool) -> None:
        self.server.last_offset = self.server.reported_offset if frozen else None

    @precondition(lambda self: any(entry.served != entry.happened for entry in self.server.history.entries))
    @rule(pick=PICKS)
    def feed_mends_a_change(self, pick: int) -> None:
        broken = self._poisoned()
        self.server.history.mend(broken[pick % len(broken)])

    @precondition(lambda self: self.server.reported_offset > self.server.history.entries[0].offset)
    @rule(pick=PICKS)
    def feed_poisons_its_past(self, pick: int) -> None:
        entries = self.server.history.entries
        updates = [entry.offset for entry in entries if entry.served["type"] == "update"]
        if updates:
            self.server.history.edit(updates[pick % len(updates)], operations=POISONED)

    @rule(how=st.sampled_from(sorted(SPOILS)))
    def feed_spoils_its_next_changes_reply(self, how: str) -> None:
        self.server.spoils = [SPOILS[how]]

    @rule(down=SELDOM, cooldown=st.sampled_from([None, None, 3600.0]))
    def feed_fails_or_recovers(self, down: bool, cooldown: float | None) -> None:
        self.server.failure = FeedUnreachable("down", cooldown=cooldown) if down else None

    @rule(times=st.integers(1, 2))
    def command_manager_refuses(self, times: int) -> None:
        self.commands.refusals = times

    @rule(hours=st.sampled_from([0.1, 2, 30]))
    def time_passes(self, hours: float) -> None:
        self.clock.advance(hours=hours)

    # What passes do.

    @rule(mode=MODES)
    def a_pass_runs(self, mode: Mode) -> None:
        self._undisturbed(mode)

    @precondition(lambda self: self.reader.read_state(self.consumer).requested is not None)
    @rule()
    def an_operator_cancels_the_request(self) -> None:
        policy, self.policy = self.policy, msgspec.structs.replace(self.policy, keep=True)
        self._undisturbed("sync")
        self.policy = policy
        assert self.reader.read_state(self.consumer).requested is None

    @precondition(lambda self: self.reader.read_state(self.consumer).phase == "blocked")
    @rule()
    def a_blocked_content_is_tried_again(self) -> None:
        """Twice in vain, and what the feed offers has been tried: then nothing is fetched any more."""
        fetched = 0
        for _ in range(3):
            fetched = len(self.server.downloads)
            self.clock.advance(hours=30)
            if not isinstance(self._undisturbed("sync"), Blocked):
                return
        assert len(self.server.downloads) == fetched, "the same snapshot is fetched again and again"

    @rule(mode=MODES, moment=MOMENTS)
    def a_pass_dies(self, mode: Mode, moment: int) -> None:
        self._run(mode, at(moment, _die))

    @rule(mode=MODES, moment=MOMENTS, other=MODES)
    def a_pass_is_overtaken_by_another(self, mode: Mode, moment: int, other: Mode) -> None:
        """Two hosts, or one without its lock: the first one sleeps, and wakes up when the other is done."""

        def overtaken() -> None:
            self._run(other, no_moment)

        self._run(mode, at(moment, overtaken))

    @rule(
        moment=MOMENTS,
        kinds=st.lists(CHANGES_MADE, max_size=4),
        pick=PICKS,
        name=NAMES,
        offer=st.booleans(),
        overtaken=st.booleans(),
    )
    def the_feed_lives_on_during_a_pass(
        self, moment: int, kinds: list[str], pick: int, name: str, offer: bool, overtaken: bool
    ) -> None:
        def lives_on() -> None:
            self.feed_lives_on(kinds, pick, name)
            if offer:
                self.feed_offers_a_snapshot(back=0, damaged=False)
            if overtaken:
                self._run("sync", no_moment)

        self._run("sync", at(moment, lives_on))

    @rule()
    def everything_is_well_again(self) -> None:
        """Then one pass, an operator's one where only that helps, makes the content the feed's."""
        self.server.failure, self.server.last_offset, self.server.spoils = None, None, []
        self.commands.refusals = 0
        for offset in self._poisoned():
            self.server.history.mend(offset)
        self.feed_offers_a_snapshot(back=7, damaged=False)
        self.clock.advance(hours=30)
        if self.model.mixed or self.server.history is not self.model.lineage:
            assert self._run("init-snapshot", no_moment) is None
        assert self._run("sync", no_moment) is None
        assert self.model.stands_at == self.server.history.last_offset
        state = self.reader.read_state(self.consumer)
        assert (state.offset, state.owed) == (self.model.stands_at, None)
        assert state.phase != "blocked"

    # What must be so.

    @invariant()
    def readers_are_well(self) -> None:
        self.prepare_look()
        self.model.check_readers(self.reader, self.consumer)

    @invariant()
    def the_state_is_true(self) -> None:
        self.model.check_state(self.reader.read_state(self.consumer))

    def teardown(self) -> None:
        for process in reversed(self.processes):
            process.bury()

    def _run(self, mode: Mode, at_moment: Callable[[int], None]) -> CtisyncError | None:
        """One pass in a process of its own; the error that ended it, None also when it died."""

        def moment(number: int) -> None:
            if self.looks_within:
                self.readers_are_well()
            at_moment(number)

        process = Process(self.model, moment, mode)
        self.processes.append(process)
        try:
            passed(
                parts_of(
                    self.consumer,
                    feed=ObservedFeed(MemoryFeed(self.server), process),
                    store=ObservedStore(self.make_store(), process),
                    commands=ObservedCommands(self.commands, process),
                    clock=self.clock,
                    log=KeptLog(),
                    policy=msgspec.structs.replace(self.policy, mode=mode),
                )
            )
        except CtisyncError as error:
            return error
        except Killed:
            return None
        finally:
            assert process.downloads <= 1, "a pass fetches one snapshot at most"
        return None

    def _undisturbed(self, mode: Mode) -> CtisyncError | None:
        """A pass that ends as the pass table says; its error."""
        before, refusals = self.reader.read_state(self.consumer), self.commands.refusals
        waiting = len(self.server.spoils)
        error = self._run(mode, no_moment)
        spoilt = type(error) is FeedRefused and len(self.server.spoils) < waiting
        if isinstance(error, CommandNotAccepted):
            assert refusals
        elif not spoilt:
            self._check_end(mode, before, error)
        return error

    def _check_end(self, mode: Mode, before: ConsumerState, error: CtisyncError | None) -> None:
        """Whether an undisturbed pass had a reason to end as it did (the pass table)."""
        state, server = self.reader.read_state(self.consumer), self.server
        match error:
            case None if mode == "init-snapshot":
                offered = None if server.offered is None else server.offered.offset
                assert offered in (None, self.model.stands_at)
            case None:
                refused = state.refused is not None and state.refused.link == server.link
                waits = mode == "update" or server.link is None or refused
                assert state.requested is None or waits, "what an operator has asked for is forgotten"
                nothing_yet = state.offset == 0 and server.link is None
                assert state.offset == server.reported_offset or nothing_yet
            case FeedUnreachable():
                assert server.failure is not None or before.cooldown_at(self.clock.now()) is not None
            case EmptyStore():
                assert (mode, state.offset) == ("update", 0)
            case SnapshotRefused():
                assert server.offered is not None
                assert server.offered.damaged
            case Blocked() if state.offset == 0:
                assert mode == "update" or server.link is None
            case Blocked():
                assert state.failed is not None
                assert self.model.mixed or state.failed.offset in self._poisoned()
                snapshot, tried = (
                    server.offered,
                    state.refused is not None and state.refused.link == server.link,
                )
                cure = snapshot is not None and snapshot.offset >= state.failed.offset
                assert mode == "update" or tried or not cure, "blocked, although a cure is offered"
            case FeedRefused():
                assert before.offset > server.reported_offset, error.message
            case _:
                raise AssertionError(f"a pass ended with {error!r}")

    def _poisoned(self) -> list[int]:
        return [entry.offset for entry in self.server.history.entries if entry.served != entry.happened]


def _operations(pick: int) -> list[Json] | None:
    kinds: list[list[Json] | None] = [
        [{"op": "add", "path": "/list/-", "value": pick}],
        [{"op": "replace", "path": "/n", "value": pick}],
        [
            {"op": "add", "path": "/list/0", "value": {"é": pick}},
            {"op": "copy", "from": "/n", "path": "/list/-"},
        ],
        [],
        None,
    ]
    return kinds[pick % len(kinds)]


def _die() -> None:
    raise Killed
