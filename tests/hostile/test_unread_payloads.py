"""T7: what a load lets pass, for it does not decode payloads, and who sees it then.

| the line holds | the load | `verify --deep` | an update of it | in an array | OpenSearch |
|---|---|---|---|---|---|
| a key twice | stores it as it is | names it | keeps the last one | keeps the last one | refuses it |
| an integer of 5,000 digits | stores it as it is | names it | is blocked | is refused | refuses it |
| an exponent of 20 digits | stores it as it is | names it | is blocked | is refused | stores it as it is |
"""

import json
from collections.abc import Iterator
from typing import Final

import pytest

from ctisync.core.findings import Kind
from tests.feed.crafted_zip import MEMBER
from tests.hostile.in_use import InUse, content_in_use
from tests.hostile.lines import GOOD, KEY_TWICE, UNREADABLE, array, ndjson
from tests.support.feed_simulator import zipped
from tests.support.figures import figure
from tests.support.printed_error import assert_error

pytestmark = pytest.mark.usefixtures("lines_read_by")

LATER: Final = {**KEY_TWICE, **UNREADABLE}
NEW: Final = [{"op": "add", "path": "/new", "value": 1}]


@pytest.fixture(scope="module")
def _in_use(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InUse]:
    """The feed has the record too, as it should be."""
    with content_in_use(tmp_path_factory.mktemp("in-use")) as in_use:
        in_use.feed.history.create("HOSTILE", {"good": True})
        yield in_use
    figure(f"T7 lines seen later: {len(LATER)} kinds, each named by verify --deep, and met by an update")


def snapshot_with(line: bytes) -> bytes:
    return zipped({MEMBER: ndjson([*GOOD[:9], line])})


def the_record(in_use: InUse) -> bytes:
    return next(line for name, _, line in in_use.stored().view if name == "HOSTILE")


@pytest.mark.parametrize("row", LATER)
def test_verify_deep_names_what_the_load_let_pass(in_use: InUse, row: str) -> None:
    ended = in_use.from_file(snapshot_with(LATER[row]))
    assert ended.code == 0, ended.stderr
    assert the_record(in_use) == LATER[row], "stored as it came"
    assert in_use.audited(deep=False) == {}
    kind = Kind.PAYLOAD_TWICE if row in KEY_TWICE else Kind.PAYLOAD_UNREADABLE
    assert in_use.audited(deep=True) == {kind: 1}
    assert in_use.command("verify").code == 0
    deep = in_use.command("verify", "--deep")
    assert deep.code == 9
    assert_error(
        deep.stderr,
        r"1 difference \(deep 1\)",
        "ctisync init-snapshot && ctisync sync (once the feed's snapshot is correct)",
    )


@pytest.mark.parametrize("row", KEY_TWICE)
def test_an_update_keeps_the_last_of_two_and_the_record_is_in_order_again(in_use: InUse, row: str) -> None:
    assert in_use.from_feed(snapshot_with(KEY_TWICE[row])).code == 0
    in_use.feed.history.update("HOSTILE", NEW)
    ended = in_use.command("sync")
    assert ended.code == 0, ended.stderr
    payload = {**json.loads(KEY_TWICE[row])["payload"], "new": 1}  # json, too, keeps the last one
    assert json.loads(the_record(in_use))["payload"] == payload
    assert in_use.audited(deep=True) == {}


@pytest.mark.parametrize("row", UNREADABLE)
def test_an_update_of_a_record_that_cannot_be_read_is_blocked_until_the_feed_mends_it(
    in_use: InUse, row: str
) -> None:
    assert in_use.from_feed(snapshot_with(UNREADABLE[row])).code == 0
    before, offset = in_use.stored(), in_use.state.offset
    in_use.feed.history.update("HOSTILE", NEW)
    for _ in range(2):
        ended = in_use.command("sync")
        assert ended.code == 6
        message = f"change {offset + 1} of HOSTILE cannot be applied: the stored record cannot be decoded"
        assert_error(ended.stderr, message, "ctisync status")
        assert in_use.stored() == before
        assert (in_use.state.phase, in_use.state.offset) == ("blocked", offset)
    in_use.feed.publish_snapshot()
    mended = in_use.command("sync", CTISYNC_REINIT_INTERVAL="0")  # or once that time has gone by
    assert mended.code == 0, mended.stderr
    assert in_use.stored().exported == tuple(in_use.feed.expected_lines())


@pytest.mark.parametrize("row", LATER)
def test_in_an_array_the_last_of_two_is_kept_and_what_is_no_number_is_refused(
    in_use: InUse, row: str
) -> None:
    """Elements are decoded."""
    before = in_use.stored()
    ended = in_use.from_file(array([*GOOD[:9], LATER[row]]))
    if row in KEY_TWICE:
        assert ended.code == 0, ended.stderr
        assert json.loads(the_record(in_use)) == json.loads(KEY_TWICE[row])
        assert in_use.audited(deep=True) == {}
    else:
        assert ended.code == 6
        assert_error(ended.stderr, "JSON array .*: a number", "pass a complete snapshot to --from")
        assert in_use.stored() == before
