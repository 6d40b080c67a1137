"""What a check may change of a stored state, without a lease."""

from datetime import UTC, datetime

from ctisync.core.model import ConsumerInfo
from ctisync.core.state import ConsumerState
from ctisync.stores.invariants import differs_by_check

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_the_first_answer_that_names_the_identity_of_the_consumer_is_recorded_like_any_other() -> None:
    """Else idle passes record no check after an upgrade, and status calls the feed silent."""
    stored = ConsumerState(offset=5, last_offset=5, content=True)

    assert differs_by_check(stored, stored.feed_answered(ConsumerInfo(5, None, identity="7 2026"), NOW))


def test_another_offset_is_no_check() -> None:
    assert not differs_by_check(ConsumerState(), ConsumerState(offset=1))
