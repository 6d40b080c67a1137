"""One pass in this process: what it does in which order, what it says, and how it ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from ctisync.core.model import Consumer, Record, Snapshot
from ctisync.core.state import ConsumerState, Cooldown, FailedChange, Owed, RefusedSnapshot
from ctisync.core.steps import Policy
from ctisync.errors import (
    AccessRefused,
    Blocked,
    CommandNotAccepted,
    ConfigurationError,
    CtisyncError,
    EmptyStore,
    FeedRefused,
    FeedUnreachable,
    ReplyTooLarge,
    SettingsChanged,
    SnapshotRefused,
    StoreUnavailable,
)
from ctisync.ports import CommandManager
from ctisync.sync.load_given import load_given
from ctisync.sync.run_pass import run_pass
from tests.properties.model import ToldReaders
from tests.support import faults_ports
from tests.support.clock import FakeClock
from tests.support.faults import Effects
from tests.support.feed_history import History
from tests.support.memory_feed import MemoryFeed, MemoryServer, MemorySnapshot
from tests.support.memory_store import MemoryStorage, MemoryStore
from tests.support.records import record
from tests.support.report import KeptReport

CONSUMER = Consumer()
SAID = {"consumer": "vd_1.0.0/vd_4.8.0"}


class Told(ToldReaders):
    """Keeps which index was named, too."""

    def __init__(self) -> None:
        super().__init__()
        self.indices: list[str] = []

    def send_update(self, index: str, offset: int) -> None:
        super().send_update(index, offset)
        self.indices.append(index)


class Stage:
    """A feed, a store and a Command Manager; `run` is one pass, and then `effects` are the calls it made."""

    def __init__(self) -> None:
        self.server = MemoryServer(History(CONSUMER.context, first_offset=0))
        self.storage = MemoryStorage()
        self.store = MemoryStore(self.storage)
        self.told = Told()
        self.clock = FakeClock()
        self.report = KeptReport()
        self.effects: list[str] = []

    def run(self, commands: bool = True, consumer: Consumer = CONSUMER, **policy: Any) -> None:
        self.report = KeptReport()
        effects = Effects()
        told: CommandManager = faults_ports.commands_with(self.told, effects)
        try:
            run_pass(
                consumer,
                feed=faults_ports.feed_with(MemoryFeed(self.server), effects),
                store=faults_ports.store_with(self.store, effects),
                commands=told if commands else None,
                clock=self.clock,
                report=self.report,
                policy=Policy(**policy),
            )
        finally:
            self.effects = [effect.name for effect in effects.seen]

    @property
    def state(self) -> ConsumerState:
        return self.store.look(CONSUMER)

    def put(self, **changes: Any) -> None:
        """The stored state is another one, as some pass before has left it."""
        kept = self.storage.get(CONSUMER)
        state = msgspec.structs.replace(kept.state, **changes)
        self.storage.put(CONSUMER, msgspec.structs.replace(kept, state=state))

    def write(self, written: Record) -> None:
        """A record is in the content already."""
        kept = self.storage.get(CONSUMER)
        content = {**(kept.content or {}), written.name: written}
        self.storage.put(CONSUMER, msgspec.structs.replace(kept, content=content))

    def names(self) -> list[str]:
        return [event.name for event in self.report.events]

    def ended(self) -> dict[str, Any]:
        (fields,) = self.report.named("pass-ended")
        return fields


@pytest.fixture
def stage() -> Stage:
    """A feed with three records in a snapshot of offset 3, and an empty store."""
    made = Stage()
    for name in ("CVE-1", "CVE-2", "TID-1"):
        made.server.history.create(name, {"n": 0})
    made.server.offer_snapshot()
    return made


@pytest.fixture
def following(stage: Stage) -> Stage:
    """In step at offset 3, and the command was accepted."""
    stage.run()
    stage.told.offsets.clear()
    return stage


def test_a_first_pass_swaps_before_it_forgets_the_download_and_tells_readers_last(stage: Stage) -> None:
    """Any other order loses something when the pass dies in between."""
    stage.run()
    assert stage.effects == [
        *("look", "consumer_info", "writer", "save"),
        *(
            "fetch_snapshot",
            "keep_alive",
            "load",
            "records",
            "records",
            "add",
            "publish",
            "leave load",
            "discard",
        ),
        *("make_searchable", "send_update", "save", "tidy", "leave writer"),
    ]
    assert stage.told.offsets == [3]
    assert stage.told.indices == ["wazuh-cve"]


def test_a_range_is_applied_before_readers_are_told_and_the_command_owed_until_then(following: Stage) -> None:
    following.server.history.create("CVE-3")
    following.run()
    assert following.effects == [
        *("look", "consumer_info", "writer", "save", "changes", "read", "apply"),
        *("make_searchable", "send_update", "save", "tidy", "leave writer"),
    ]
    assert following.told.offsets == [4]
    assert following.state.owed is None


def test_a_pass_that_finds_nothing_new_takes_no_lease_and_remembers_that_it_looked(following: Stage) -> None:
    following.clock.advance(seconds=60)
    following.run()
    assert following.effects == ["look", "consumer_info", "checked", "tidy"]
    assert following.state.checked_at == following.clock.now()
    assert following.names() == ["feed-asked", "pass-ended"]


def test_what_died_passes_left_of_downloads_goes_as_soon_as_there_is_a_content(stage: Stage) -> None:
    """Be it one of offset 1."""
    stage.server.history = History(CONSUMER.context, first_offset=0)
    stage.server.history.create("CVE-1")
    stage.server.offer_snapshot()
    stage.run()
    assert stage.state.offset == 1
    assert "tidy" in stage.effects


def test_without_anybody_to_tell_no_command_stays_owed(stage: Stage) -> None:
    stage.run(commands=False)
    assert stage.state.owed is None
    assert "make_searchable" not in stage.effects
    assert stage.told.offsets == []


def test_what_a_first_pass_did_can_be_read_from_its_report(stage: Stage) -> None:
    stage.run()
    assert stage.report.events == [
        (
            "info",
            "feed-asked",
            SAID | {"offset": 0, "last_offset": 3, "snapshot_offset": 3},
        ),
        ("info", "initialise", SAID | {"snapshot_offset": 3, "why": "nothing is stored yet"}),
        ("info", "initialised", SAID | {"offset": 3, "records": 3}),
        ("info", "command-accepted", SAID | {"index": "wazuh-cve", "offset": 3}),
        (
            "info",
            "pass-ended",
            SAID | {"outcome": "up-to-date", "why": "content stands at the feed's last offset 3"},
        ),
    ]


def test_what_an_update_did_can_be_read_from_its_report(following: Stage) -> None:
    history = following.server.history
    history.create("CVE-3")
    history.update("CVE-3", [{"op": "add", "path": "/a", "value": 1}])
    history.delete("CVE-1")
    history.update("CVE-2", [])
    following.server.link = None
    following.write(record("CVE-2", 7))  # as a pass has done that died within this range
    following.run()
    assert following.report.events[0].fields["snapshot_offset"] is None
    assert following.report.events[1] == (
        "info",
        "range-applied",
        SAID | {"range": "(3, 7]", "offset": 7, "changes": 4, "records": 2, "skipped": 1},
    )


def test_a_refused_command_is_told_counted_and_the_end_of_the_pass(stage: Stage) -> None:
    stage.told.refusals = 1
    with pytest.raises(CommandNotAccepted, match="the content is current, but"):
        stage.run()
    (fields,) = stage.report.named("command-not-accepted")
    assert fields == SAID | {"offset": 3, "attempts": 1, "why": "told to refuse", "hint": None}
    assert [event.level for event in stage.report.events if event.name == "command-not-accepted"] == [
        "warning"
    ]
    assert stage.state.owed == Owed(3, attempts=1)
    assert stage.ended()["outcome"] == "up-to-date"
    stage.run()
    assert stage.state.owed is None


def test_an_owed_command_goes_out_before_the_feed_is_asked(following: Stage) -> None:
    """A feed that is away for days does not keep readers from what is there."""
    following.put(owed=Owed(3))
    following.clock.advance(seconds=60)
    following.run()
    assert following.effects.index("send_update") < following.effects.index("consumer_info")
    assert following.state.checked_at == following.clock.now(), "a pass that writes remembers its look, too"


@pytest.mark.parametrize("failure", [FeedUnreachable, FeedRefused])
def test_a_feed_that_fails_half_way_does_not_hold_back_the_command_for_what_was_applied(
    following: Stage, failure: type[CtisyncError]
) -> None:
    following.server.history.gap(1500)
    following.server.history.create("CVE-3")
    fail_above(following, 1003, failure("gone"))
    with pytest.raises(failure, match="gone"):
        following.run()
    assert following.state.offset == 1003
    assert following.told.offsets == [1003]
    assert following.state.owed is None


def fail_above(stage: Stage, offset: int, failure: CtisyncError) -> None:
    """The server fails for good once it is asked for changes above this offset."""
    answered = stage.server.changes

    def changes(after: int, to: int) -> list[Any]:
        if after >= offset:
            stage.server.failure = failure
        return answered(after, to)

    stage.server.changes = changes  # type: ignore[method-assign]


def test_a_command_that_was_refused_in_this_pass_is_not_sent_again_because_the_feed_fails(
    following: Stage,
) -> None:
    following.put(owed=Owed(3))
    following.told.refusals = 1
    following.server.failure = FeedUnreachable("gone")
    with pytest.raises(FeedUnreachable):
        following.run()
    assert following.effects.count("send_update") == 1
    assert following.state.owed == Owed(3, attempts=1)


def test_another_failure_than_the_feeds_sends_no_command(following: Stage) -> None:
    """Who may not read the feed must be told that, at once."""
    following.server.history.gap(1500)
    following.server.history.create("CVE-3")
    fail_above(following, 1003, AccessRefused("401"))
    with pytest.raises(AccessRefused):
        following.run()
    assert following.told.offsets == []
    assert following.state.owed == Owed(1003)


@pytest.mark.parametrize("writing", [False, True], ids=["an idle pass", "a pass that writes"])
def test_a_feed_that_wants_to_be_left_alone_is_left_alone_by_the_next_passes(
    following: Stage, writing: bool
) -> None:
    if writing:
        following.put(owed=Owed(3))
    following.server.failure = FeedUnreachable("429", come_back_in=3600.0)
    with pytest.raises(FeedUnreachable, match="429"):
        following.run()
    assert following.state.cooldown == Cooldown(following.clock.now() + timedelta(hours=1), "429")
    # Who holds the lease is the only one who may write on every store.
    assert ("checked" in following.effects) == (not writing)
    following.server.failure = None
    with pytest.raises(FeedUnreachable, match="not asked before 2026-03-01T13:00:00Z: 429"):
        following.run()
    assert "consumer_info" not in following.effects
    following.run(tolerate_cooldown=True)
    assert following.ended()["outcome"] == "cooldown"
    following.clock.advance(hours=1)
    following.run()
    assert following.state.cooldown is None


@pytest.mark.parametrize("failure", [FeedUnreachable("reset"), FeedRefused("no JSON")])
def test_a_failure_that_asks_for_no_pause_begins_none(following: Stage, failure: CtisyncError) -> None:
    following.server.failure = failure
    with pytest.raises(type(failure)):
        following.run()
    assert following.state.cooldown is None


class FullStore(MemoryStore):
    def checked(self, consumer: Consumer, state: ConsumerState) -> None:
        raise StoreUnavailable("no space left")


def test_a_pause_that_cannot_be_remembered_is_told_and_the_feeds_failure_stays_the_reason(
    following: Stage,
) -> None:
    following.store = FullStore(following.storage)
    following.server.failure = FeedUnreachable("429", come_back_in=60.0)
    with pytest.raises(FeedUnreachable, match="429"):
        following.run()
    (event,) = following.report.events
    assert event == ("warning", "cooldown-not-remembered", SAID | {"why": "no space left"})


def test_a_change_that_cannot_be_applied_is_told_with_all_that_names_it(following: Stage) -> None:
    following.server.history.poison("CVE-1")
    following.server.history.create("CVE-9")
    following.server.offer_snapshot()
    following.run()
    (event,) = [event for event in following.report.events if event.name == "change-failed"]
    assert event.level == "warning"
    why = event.fields.pop("why")
    assert event.fields == SAID | {"offset": 4, "resource": "CVE-1", "operation": 0}
    assert "there is no" in why
    assert following.state.reinitialised_at == following.clock.now()
    assert following.report.named("initialise")[0]["why"] == "change 4 could not be applied"


def test_a_blocked_content_keeps_what_lies_before_the_change_and_says_so_to_readers(following: Stage) -> None:
    following.server.history.create("CVE-8")
    following.server.history.poison("CVE-1")
    following.put(reinitialised_at=following.clock.now())
    with pytest.raises(Blocked, match="change 5 of CVE-1, operation 0 cannot be applied"):
        following.run()
    state = following.state
    assert (state.offset, state.phase) == (4, "blocked")
    assert state.failed is not None
    assert state.failed.snapshot_link == following.server.link
    assert following.store.count(CONSUMER) == 4
    assert following.told.offsets == [4]
    assert following.effects.count("tidy") == 1
    assert following.effects.count("changes") == 1, "once it is blocked, nothing is asked again"
    assert following.ended()["outcome"] == "blocked"


def test_a_command_that_was_refused_is_tried_again_when_a_blocked_range_moves_the_content_on(
    following: Stage,
) -> None:
    following.server.history.create("CVE-8")
    following.server.history.poison("CVE-1")
    following.put(reinitialised_at=following.clock.now(), owed=Owed(3))
    following.told.refusals = 1
    with pytest.raises(Blocked):
        following.run()
    assert following.told.offsets == [4]


def test_a_content_that_is_blocked_already_is_not_written_again(following: Stage) -> None:
    """Each pass would else renew a state in which nothing has changed."""
    following.server.history.poison("CVE-1")
    following.put(reinitialised_at=following.clock.now())
    with pytest.raises(Blocked):
        following.run()
    first = following.state
    with pytest.raises(Blocked):
        following.run()
    after_the_look = following.effects[following.effects.index("changes") :]
    assert "save" not in after_the_look
    assert "apply" not in after_the_look
    assert msgspec.structs.replace(following.state, checked_at=None) == msgspec.structs.replace(
        first, checked_at=None
    )


def test_of_a_range_that_may_be_half_written_nothing_more_is_written_once_the_feed_alters_it(
    following: Stage,
) -> None:
    following.server.history.create("CVE-8")
    following.server.history.poison("CVE-1")
    following.put(reinitialised_at=following.clock.now(), range_to=5)
    with pytest.raises(Blocked):
        following.run()
    assert following.state.offset == 3
    assert "apply" not in following.effects


def test_what_a_later_create_had_made_unimportant_is_not_reached_either(following: Stage) -> None:
    """Before the change that blocks lies another that cannot be applied: the content stays before both."""
    history = following.server.history
    history.create("CVE-8")
    history.poison("CVE-2")
    history.create("CVE-7")
    history.poison("CVE-1")
    history.delete("CVE-2")
    following.put(reinitialised_at=following.clock.now())
    with pytest.raises(Blocked, match="change 7 of CVE-1"):
        following.run()
    assert following.state.offset == 4


def test_a_snapshot_that_was_just_loaded_is_known_to_have_been_tried(stage: Stage) -> None:
    """Else the next pass would load it once more for the same change."""
    stage.server.history.poison("CVE-1")
    with pytest.raises(Blocked):
        stage.run()
    assert stage.state.failed is not None
    assert stage.state.failed.reinitialised
    with pytest.raises(Blocked):
        stage.run()
    assert len(stage.server.downloads) == 1


def test_update_alone_leaves_the_initialisation_to_the_next_sync(following: Stage) -> None:
    following.server.history.poison("CVE-1")
    with pytest.raises(Blocked):
        following.run(mode="update")
    assert following.state.offset == 0
    assert len(following.server.downloads) == 1
    assert "tidy" not in following.effects, "its half of a download may be gone on with"


def test_limits_of_patches_are_the_policys(following: Stage) -> None:
    limits = msgspec.structs.replace(Policy().limits, patch_operations=1)
    following.server.history.update("CVE-1", [{"op": "add", "path": "/a", "value": 1}] * 2)
    following.put(reinitialised_at=following.clock.now())
    with pytest.raises(Blocked, match="2 operations, more than 1"):
        following.run(limits=limits)


def test_a_refused_snapshot_is_remembered_and_removed_and_not_fetched_again_by_itself(stage: Stage) -> None:
    link = stage.server.offer_snapshot(damaged=True)
    with pytest.raises(SnapshotRefused, match="damaged"):
        stage.run()
    assert stage.state.refused is not None
    assert (stage.state.refused.link, stage.state.refused.reason) == (
        link,
        "the snapshot's end is damaged, or there is nothing in it",
    )
    assert stage.effects[-3:] == ["save", "discard", "leave writer"]
    assert stage.state.offset == 0
    with pytest.raises(SnapshotRefused, match="refused before"):
        stage.run()
    assert stage.server.downloads == [link]


@pytest.mark.parametrize("body", [("etag", 12), None], ids=["by its download", "by its address"])
def test_a_snapshot_that_is_refused_before_it_is_there_is_remembered_when_it_can_be_recognised(
    stage: Stage, body: tuple[str, int] | None
) -> None:
    def snapshot(link: str) -> Any:
        raise SnapshotRefused("too large", body=body)

    stage.server.snapshot = snapshot  # type: ignore[method-assign]
    with pytest.raises(SnapshotRefused, match="too large"):
        stage.run()
    remembered = RefusedSnapshot(str(stage.server.link), "etag", 12, "too large")
    assert stage.state.refused == (remembered if body is not None else None)


def test_an_operator_may_have_a_refused_snapshot_fetched_again(stage: Stage) -> None:
    assert stage.server.link is not None
    stage.put(refused=RefusedSnapshot(stage.server.link, None, None, "damaged"))
    stage.run(mode="init-snapshot")
    assert stage.state.offset == 3
    assert stage.state.refused is None
    assert stage.ended()["outcome"] == "initialised"
    assert "tidy" in stage.effects


def test_a_snapshot_may_hold_what_the_feed_had_when_it_was_asked_and_nothing_newer(stage: Stage) -> None:
    """It is written while the feed goes on."""
    stage.server.history.update("CVE-1", [])
    offered = stage.server.offered
    assert offered is not None
    assert stage.server.link is not None
    newer = list(stage.server.history.expected_records(4).values())
    stage.server.snapshots[stage.server.link] = replaced(offered, newer)
    stage.run()
    assert stage.state.offset == 4
    stage.server.history.update("CVE-1", [])
    newest = list(stage.server.history.expected_records(5).values())
    stage.server.last_offset = 4
    stage.server.snapshots[stage.server.link] = replaced(offered, newest)
    with pytest.raises(SnapshotRefused, match="above offset 4"):
        stage.run(mode="init-snapshot")


def replaced(offered: Any, lines: list[bytes]) -> Any:
    return type(offered)(offered.history, offered.offset, lines, offered.damaged)


def test_resources_that_fit_nothing_in_the_snapshot_leave_the_store_as_it_is(stage: Stage) -> None:
    nothing = msgspec.structs.replace(CONSUMER, resources=("XYZ-*",))
    with pytest.raises(ConfigurationError, match=r"none of the snapshot's 3 records .* \['XYZ-\*'\]"):
        stage.run(consumer=nothing)
    assert "publish" not in stage.effects
    assert "discard" not in stage.effects, "it is sound, and need not be downloaded again"
    assert stage.state.content is False


def test_only_what_is_wanted_is_loaded_and_counted(stage: Stage) -> None:
    stage.run(consumer=msgspec.structs.replace(CONSUMER, resources=("CVE-*",)))
    assert stage.report.named("initialised")[0]["records"] == 2
    assert stage.store.count(CONSUMER) == 2


@pytest.mark.parametrize(
    ("changes", "policy", "error", "words"),
    [
        (
            {"last_offset": 2, "link": None},
            {},
            FeedRefused,
            "went back: its last offset is 2, .* nothing was changed",
        ),
        ({"last_offset": 20_000_000}, {}, FeedRefused, "lies more than 10000000 above"),
        ({}, {"mode": "update"}, EmptyStore, "no content to update from"),
    ],
    ids=["a feed that went back", "a feed that leaps", "nothing to update"],
)
def test_a_pass_that_cannot_go_on_says_why_and_what_to_type(
    stage: Stage, changes: dict[str, Any], policy: dict[str, Any], error: type[CtisyncError], words: str
) -> None:
    if changes:
        stage.run()
    for name, value in changes.items():
        setattr(stage.server, name, value)
    with pytest.raises(error, match=f"^vd_1.0.0/vd_4.8.0: .*{words}") as raised:
        stage.run(**policy)
    assert raised.value.hint is not None
    assert "ctisync" in raised.value.hint
    assert "tidy" not in stage.effects


def test_other_settings_than_the_contents_stop_the_pass_before_anything_is_done(following: Stage) -> None:
    with pytest.raises(SettingsChanged, match="index is 'other', stored content was made with 'wazuh-cve'"):
        following.run(consumer=msgspec.structs.replace(CONSUMER, index="other"))
    assert following.effects == ["look"]


def test_a_feed_without_a_snapshot_is_waited_for_and_nothing_is_tidied(stage: Stage) -> None:
    stage.server.link = None
    stage.run()
    assert stage.ended() == SAID | {"outcome": "no-snapshot", "why": "the feed offers no snapshot yet"}
    assert "tidy" not in stage.effects
    assert stage.state.last_offset == 3, "status can tell how far the feed is"


def test_a_feed_that_does_not_tell_where_it_stands_is_a_warning_and_changes_nothing(following: Stage) -> None:
    """Else nobody would notice for weeks that nothing is followed any more."""
    before = following.state
    following.server.consumer = lambda: {"data": {"last_offset": None}}  # type: ignore[method-assign]
    following.run()
    (event,) = [event for event in following.report.events if event.name == "pass-ended"]
    assert (event.level, event.fields["outcome"]) == ("warning", "nothing-known")
    assert (following.state.offset, following.state.last_offset) == (before.offset, before.last_offset)


def test_a_person_sees_one_bar_for_the_load_and_one_for_all_ranges(stage: Stage) -> None:
    stage.server.history.create("CVE-3")
    stage.server.offer_snapshot()
    stage.server.history.gap(1500)
    stage.run()
    load, update = stage.report.bars
    assert [(bar.step, bar.unit) for bar in stage.report.bars] == [("load", "bytes"), ("update", "offsets")]
    assert load.total is not None
    assert 0 < load.amounts[-1] < load.total, "as far as the last batch that was handed out"
    assert (update.total, update.amounts) == (1500, [1000, 1500])


def test_the_bar_of_the_ranges_ends_before_a_load_begins(following: Stage) -> None:
    """Two at a time would write over each other, and what follows counts from the new offset."""
    following.server.history.gap(1000)
    following.server.history.poison("CVE-1")
    following.server.offer_snapshot()
    following.server.history.create("CVE-9")
    following.run()
    assert [(bar.step, bar.total) for bar in following.report.bars] == [
        ("update", 1002),
        ("load", following.report.bars[1].total),
        ("update", 1),
    ]
    assert [bar.amounts for bar in following.report.bars[::2]] == [[1000, -3], [1]]
    assert following.report.most_bars_at_once == 1


def test_a_range_too_large_to_be_had_at_once_is_halved_until_it_can(following: Stage) -> None:
    following.server.history.gap(8)
    answered = following.server.changes

    def changes(after: int, to: int) -> list[Any]:
        if to - after > 2:
            raise ReplyTooLarge("too much")
        return answered(after, to)

    following.server.changes = changes  # type: ignore[method-assign]
    following.run()
    assert following.state.offset == 11
    halved = [event for event in following.report.events if event.name == "range-halved"]
    assert halved[0] == ("info", "range-halved", SAID | {"range": "(3, 7]", "why": "too much"})
    assert halved[1].fields["range"] == "(3, 5]"


def test_one_change_that_is_too_large_ends_the_pass_instead_of_being_asked_for_for_ever(
    following: Stage,
) -> None:
    following.server.history.create("CVE-3")

    def changes(after: int, to: int) -> list[Any]:
        raise ReplyTooLarge("too much")

    following.server.changes = changes  # type: ignore[method-assign]
    with pytest.raises(ReplyTooLarge):
        following.run()
    assert following.effects.count("changes") == 1


def test_a_range_that_may_be_half_written_is_not_halved(following: Stage) -> None:
    following.server.history.gap(8)
    following.put(range_to=11)
    following.server.failure = None

    def changes(after: int, to: int) -> list[Any]:
        raise ReplyTooLarge("too much")

    following.server.changes = changes  # type: ignore[method-assign]
    with pytest.raises(ReplyTooLarge):
        following.run()
    assert following.report.named("range-halved") == []


def test_a_given_file_is_loaded_without_a_word_to_the_feed_and_left_where_it_lies(stage: Stage) -> None:
    offered = stage.server.offered
    assert offered is not None
    report = KeptReport()
    load_given(
        CONSUMER,
        MemorySnapshot("file:3.zip", offered),
        Snapshot("file:3.zip", 3),
        store=stage.store,
        commands=stage.told,
        clock=stage.clock,
        report=report,
    )
    assert (stage.state.offset, stage.state.last_offset) == (3, None)
    assert stage.told.offsets == [3]
    assert report.named("pass-ended")[0]["outcome"] == "initialised"


class Overtaken(MemoryStore):
    """Another pass has initialised between our look and our lease."""

    def look(self, consumer: Consumer) -> ConsumerState:
        return ConsumerState()


def test_a_given_file_is_loaded_also_when_another_pass_came_between(following: Stage) -> None:
    """The word that it brings is its own, not an old one of the feed's."""
    offered = following.server.offered
    assert offered is not None
    load_given(
        CONSUMER,
        MemorySnapshot("file:3.zip", offered),
        Snapshot("file:3.zip", 3),
        store=Overtaken(following.storage),
        commands=None,
        clock=following.clock,
        report=following.report,
    )
    assert following.store.look(CONSUMER).offset == 3


def test_what_failed_before_is_told_in_the_end(following: Stage) -> None:
    failed = FailedChange(9, "CVE-1", None, "it was so", "d", reinitialised=True)
    following.put(failed=failed, offset=0)
    following.server.link = None
    with pytest.raises(Blocked, match="change 9 of CVE-1 cannot be applied: it was so; the feed offers no"):
        following.run()
