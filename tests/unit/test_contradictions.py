"""States that no pass can have stored are named with the field; all others are left to pass."""

import msgspec
import pytest

from ctisync.core.model import MAX_OFFSET, Consumer
from ctisync.core.state import ConsumerState, FailedChange, Owed
from ctisync.core.steps import contradiction, contradictions

GOOD = ConsumerState(offset=7, content=True, last_offset=9, snapshot_offset=5, stored_for=Consumer())
FAILED = FailedChange(MAX_OFFSET, "CVE-1", None, "why", "digest")


def fields(state: ConsumerState) -> list[str]:
    return [field for field, _ in contradictions(state)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"offset": -1}, "offset"),
        ({"offset": MAX_OFFSET + 1}, "offset"),
        ({"last_offset": -1}, "last_offset"),
        ({"snapshot_offset": MAX_OFFSET + 1}, "snapshot_offset"),
        ({"owed": Owed(-1)}, "owed"),
        ({"failed": msgspec.structs.replace(FAILED, offset=MAX_OFFSET + 1)}, "failed"),
        ({"range_to": MAX_OFFSET + 1, "unsettled": True}, "range_to"),
        ({"content": False}, "offset"),
        ({"content": False, "offset": 1}, "offset"),
        ({"range_to": 7}, "range_to"),
        ({"range_to": 1008}, "range_to"),
    ],
)
def test_a_field_that_contradicts_the_others_is_named(changes: dict[str, object], field: str) -> None:
    state = msgspec.structs.replace(GOOD, **changes)
    assert fields(state) == [field]
    assert (contradiction(state) or "").startswith(f"the stored state is wrong: {field}: ")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"range_to": 8},
        {"range_to": 1007},
        {"last_offset": 0, "snapshot_offset": 0},
        {"last_offset": MAX_OFFSET, "owed": Owed(7), "failed": FAILED},
        {"content": False, "range_to": 10_000, "unsettled": True},
    ],
)
def test_what_a_pass_can_have_stored_is_none(changes: dict[str, object]) -> None:
    """Also what a pass that died during a swap leaves: an older offset beside the range of before."""
    assert contradiction(msgspec.structs.replace(GOOD, **changes)) is None


def test_a_state_that_says_initialise_is_no_obstacle() -> None:
    state = msgspec.structs.replace(GOOD, offset=0, range_to=5000)
    assert fields(state) == ["range_to"]
    assert contradiction(state) is None
    assert contradiction(ConsumerState()) is None
    assert fields(ConsumerState()) == []


def test_a_range_without_a_content_is_named() -> None:
    assert fields(ConsumerState(range_to=5)) == ["range_to"]
