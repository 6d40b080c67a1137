"""The order of a pass: the content, then what readers are told; and what the pass says of both.

Promised are the effects that a killed pass must leave in this order, and those that must be absent. Which
other calls a pass makes, and where, is its own affair: no test lists them.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ctisync.core.state import Owed
from ctisync.errors import (
    AccessRefused,
    Blocked,
    CommandNotAccepted,
    CtisyncError,
    FeedRefused,
    FeedUnreachable,
    SettingsChanged,
)
from tests.support.feed_history import History
from tests.support.records import record
from tests.unit.one_pass.stage import ABOUT, CONSUMER, Stage, in_order


def test_a_first_pass_swaps_before_it_forgets_the_download_and_sends_the_command_last(stage: Stage) -> None:
    """Any other order loses something when the pass dies in between."""
    stage.run()
    effects = stage.effects
    assert in_order(effects, "consumer_info", "writer", "save"), "what the feed says is stored before a load"
    assert in_order(effects, "save", "open_snapshot", "add", "publish", "discard")
    assert in_order(effects, "publish", "make_searchable", "send_update", "save", "leave writer")
    assert effects.count("publish") == effects.count("send_update") == 1
    assert stage.commands.offsets == [3]
    assert stage.commands.indices == ["wazuh-cve"]


def test_a_range_is_applied_before_the_command_is_sent_which_is_owed_until_then(following: Stage) -> None:
    following.server.history.create("CVE-3")
    following.run()
    effects = following.effects
    assert in_order(effects, "consumer_info", "writer", "changes", "read_in_parts", "apply")
    assert in_order(effects, "apply", "make_searchable", "send_update", "save", "leave writer")
    assert effects.count("apply") == effects.count("send_update") == 1
    assert following.commands.offsets == [4]
    assert following.state.owed is None


def test_a_pass_with_nothing_new_takes_no_lease_and_records_its_check(following: Stage) -> None:
    following.clock.advance(seconds=60)
    following.run()
    assert "writer" not in following.effects
    assert in_order(following.effects, "consumer_info", "record_check")
    assert following.state.checked_at == following.clock.now()
    assert [event.name for event in following.shown] == ["feed-asked", "pass-ended"]


def test_other_settings_than_the_contents_stop_the_pass_before_anything_is_done(following: Stage) -> None:
    with pytest.raises(
        SettingsChanged, match="index is 'other', but the content was loaded with 'wazuh-cve'"
    ):
        following.run(consumer=msgspec.structs.replace(CONSUMER, index="other"))
    assert not {"consumer_info", "writer", "send_update"} & {*following.effects}


def test_what_died_passes_left_of_downloads_goes_as_soon_as_there_is_a_content(stage: Stage) -> None:
    """Be it one of offset 1."""
    stage.server.history = History(CONSUMER.context, first_offset=0)
    stage.server.history.create("CVE-1")
    stage.server.offer_snapshot()
    stage.run()
    assert stage.state.offset == 1
    assert "tidy" in stage.effects


def test_without_a_command_manager_no_command_stays_owed_and_readers_can_search_what_was_written(
    stage: Stage,
) -> None:
    stage.run(commands=False)
    assert stage.state.owed is None
    assert "make_searchable" in stage.effects[stage.effects.index("publish") :]
    assert stage.commands.offsets == []


def test_an_owed_command_goes_out_before_the_request_to_the_feed(following: Stage) -> None:
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
    assert following.commands.offsets == [1003]
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
    following.commands.refusals = 1
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
    assert following.commands.offsets == []
    assert following.state.owed == Owed(1003)


def test_a_refused_command_is_logged_counted_and_the_end_of_the_pass(stage: Stage) -> None:
    stage.commands.refusals = 1
    with pytest.raises(CommandNotAccepted, match="the content is current, but"):
        stage.run()
    (fields,) = stage.log.named("command-not-accepted")
    assert fields == ABOUT | {"offset": 3, "attempts": 1, "why": "told to refuse", "hint": None}
    assert [event.level for event in stage.log.events if event.name == "command-not-accepted"] == ["warning"]
    assert stage.state.owed == Owed(3, attempts=1)
    assert stage.ended()["outcome"] == "up-to-date"
    stage.run()
    assert stage.state.owed is None


def test_what_a_first_pass_did_can_be_read_from_its_report(stage: Stage) -> None:
    stage.run()
    assert stage.shown == [
        (
            "info",
            "feed-asked",
            ABOUT | {"offset": 0, "last_offset": 3, "snapshot_offset": 3},
        ),
        ("info", "initialise", ABOUT | {"snapshot_offset": 3, "why": "nothing is stored yet"}),
        ("info", "initialised", ABOUT | {"offset": 3, "records": 3}),
        ("info", "command-accepted", ABOUT | {"index": "wazuh-cve", "offset": 3}),
        (
            "info",
            "pass-ended",
            ABOUT | {"outcome": "up-to-date", "why": "the content is at the feed's last offset 3"},
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
    assert following.shown[0].fields["snapshot_offset"] is None
    assert following.shown[1] == (
        "info",
        "range-applied",
        ABOUT | {"range": "(3, 7]", "offset": 7, "changes": 4, "records": 2, "skipped": 1},
    )


def test_the_offset_is_logged_at_the_beginning_and_at_any_end(following: Stage) -> None:
    """Metrics, hooks and the history know it from there."""
    following.commands.refusals = 1
    following.server.history.create("CVE-3")
    before = following.state
    with pytest.raises(CommandNotAccepted):
        following.run()
    begun, stands = following.log.named("pass-begun"), following.log.named("pass-stands")
    common = ABOUT | {"phase": "ready", "checked_at": following.clock.now()}
    assert begun == [common | {"offset": 3, "last_offset": 3, "owed": None, "updated_at": before.updated_at}]
    assert stands == [
        common | {"offset": 4, "last_offset": 4, "owed": 4, "updated_at": following.clock.now()}
    ]
    following.server.failure = FeedUnreachable("gone")
    with pytest.raises(FeedUnreachable):
        following.run()
    assert following.log.named("pass-stands")[0]["offset"] == 4


def test_a_person_sees_one_bar_for_the_load_and_one_for_all_ranges(stage: Stage) -> None:
    stage.server.history.create("CVE-3")
    stage.server.offer_snapshot()
    stage.server.history.gap(1500)
    stage.run()
    load, update = stage.log.bars
    assert [(bar.step, bar.unit) for bar in stage.log.bars] == [("load", "bytes"), ("update", "offsets")]
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
    assert [(bar.step, bar.total) for bar in following.log.bars] == [
        ("update", 1002),
        ("load", following.log.bars[1].total),
        ("update", 1),
    ]
    assert [bar.amounts for bar in following.log.bars[::2]] == [[1000], [1]]
    assert following.log.most_bars_at_once == 1


def test_the_bar_also_shows_the_changes_before_the_one_that_cannot_be_applied(following: Stage) -> None:
    following.put(reinitialised_at=following.clock.now())
    following.server.history.create("CVE-8")
    following.server.history.poison("CVE-1")
    with pytest.raises(Blocked):
        following.run()
    assert [(bar.total, bar.amounts) for bar in following.log.bars] == [(2, [1])]
