"""A change that cannot be applied: one initialisation at most, then the content stays just before it."""

from __future__ import annotations

import msgspec
import pytest

from ctisync.core.state import FailedChange, Owed
from ctisync.core.steps import Policy
from ctisync.errors import Blocked
from tests.unit.one_pass.stage import ABOUT, CONSUMER, Stage


def test_a_change_that_cannot_be_applied_is_logged_with_all_that_names_it(following: Stage) -> None:
    following.server.history.poison("CVE-1")
    following.server.history.create("CVE-9")
    following.server.offer_snapshot()
    following.run()
    (event,) = [event for event in following.log.events if event.name == "change-failed"]
    assert event.level == "info", "the pass heals it: a mail by cron would only wake somebody"
    why = event.fields.pop("why")
    assert event.fields == ABOUT | {"offset": 4, "resource": "CVE-1", "operation": 0}
    assert "does not exist" in why
    assert following.state.reinitialised_at == following.clock.now()
    assert following.log.named("initialise")[0]["why"] == "change 4 could not be applied"


def test_a_blocked_content_keeps_what_lies_before_the_change_and_says_so_to_readers(following: Stage) -> None:
    following.server.history.create("CVE-8")
    following.server.history.poison("CVE-1")
    following.put(reinitialised_at=following.clock.now())
    with pytest.raises(Blocked, match="change 5 of CVE-1, operation 0 cannot be applied"):
        following.run()
    assert [each.level for each in following.log.events if each.name == "change-failed"] == ["warning"]
    state = following.state
    assert (state.offset, state.phase) == (4, "blocked")
    assert state.failed is not None
    assert state.failed.snapshot_link == following.server.link
    assert following.store.summary(CONSUMER).records == 4
    assert following.commands.offsets == [4]
    assert following.effects.count("tidy") == 1
    assert following.effects.count("changes") == 1, "once it is blocked, nothing is asked again"
    assert following.ended()["outcome"] == "blocked"


def test_a_command_that_was_refused_is_tried_again_when_a_blocked_range_moves_the_content_on(
    following: Stage,
) -> None:
    following.server.history.create("CVE-8")
    following.server.history.poison("CVE-1")
    following.put(reinitialised_at=following.clock.now(), owed=Owed(3))
    following.commands.refusals = 1
    with pytest.raises(Blocked):
        following.run()
    assert following.commands.offsets == [4]


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


def test_a_snapshot_that_was_just_loaded_counts_as_tried(stage: Stage) -> None:
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


def test_an_earlier_failed_change_is_the_reason_of_the_block(following: Stage) -> None:
    failed = FailedChange(9, "CVE-1", None, "it was so", "d", reinitialised=True)
    following.put(failed=failed, offset=0)
    following.server.link = None
    with pytest.raises(Blocked, match="change 9 of CVE-1 cannot be applied: it was so; the feed offers no"):
        following.run()
