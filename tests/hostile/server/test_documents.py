"""JSON that is well framed and lies: without end, without bottom, out of order, of another kind."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.hostile.server.conftest import Judge
from tests.hostile.server.ends import LOADS, NO_JSON, REPLY_TOO_LARGE, End, refused
from tests.hostile.server.passes import REPLY_BYTES, Case, Outcome
from tests.support.lying_feed import Lie, body, data, whole
from tests.support.raw_server import head, then_for_ever
from tests.support.records import INSERTED_AT

TOO_MANY_VALUES: Final = End(6, "limits.json_values", "raise limits.json_values")
FEW_VALUES: Final = {"CTISYNC_LIMITS__JSON_VALUES": "100000"}
ROOM: Final = REPLY_BYTES - 1000


def _endless(begun: bytes, piece: bytes) -> Lie:
    return then_for_ever(head(200) + begun, piece)


def _first(**fields: Any) -> Lie:
    """The true changes, with other fields in the first."""
    return data(lambda changes: [{**changes[0], **fields}, *changes[1:]])


def _last(**fields: Any) -> Lie:
    return data(lambda changes: [*changes[:-1], {**changes[-1], **fields}])


def _no_type(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in changes[0].items() if name != "type"}, *changes[1:]]


def _creating(payload: bytes) -> Lie:
    change = {"offset": 1021, "type": "create", "version": 1, "resource": "X", "inserted_at": INSERTED_AT}
    begun = json.dumps(change).encode()[:-1] + b',"payload":'
    return body(b'{"data":[' + begun + payload + b"}]}")


def _repeated(text: bytes, times: int = ROOM) -> bytes:
    return text * (times // len(text))


CHANGES: Final[Mapping[str, tuple[Lie, End]]] = {
    "an array without end": (_endless(b'{"data":[', b'{"offset":1},' * 1000), TOO_MANY_VALUES),
    "empty objects without end": (_endless(b'{"data":[', b"{}," * 10_000), TOO_MANY_VALUES),
    "a string without end": (_endless(b'{"data":["', b"x" * 65_536), REPLY_TOO_LARGE),
    "a key without end": (_endless(b'{"', b"x" * 65_536), REPLY_TOO_LARGE),
    "a number without end": (_endless(b'{"data":[', b"1" * 65_536), REPLY_TOO_LARGE),
    "blanks without end": (_endless(b"", b" " * 65_536), REPLY_TOO_LARGE),
    "a payload of little text and many values": (
        _creating(b'{"x":[' + _repeated(b'{"":0},') + b"0]}"),
        TOO_MANY_VALUES,
    ),
    "a number of 5000 digits": (_creating(b'{"x":' + b"1" * 5000 + b"}"), NO_JSON),
    "an exponent of many digits": (_creating(b'{"x":1e' + b"9" * 30 + b"}"), NO_JSON),
    "half a character": (_first(resource="\ud800"), NO_JSON),
    "no bottom": (body(b'{"data":' + b"[" * 100_000), refused("nested deeper than limits.json_depth")),
    "a payload without a bottom": (
        _creating(b'{"a":' * 5000 + b"1" + b"}" * 5000),
        refused("nested deeper than limits.json_depth"),
    ),
    "no number": (body(b'{"data":[{"offset":NaN}]}'), NO_JSON),
    "UTF-16": (whole(lambda text: text.decode().encode("utf-16")), NO_JSON),
    "no data": (body(b'{"changes":[]}'), refused("has no `data` array")),
    "null as data": (body(b'{"data":null}'), refused("has no `data` array")),
    "an object as data": (body(b'{"data":{}}'), refused("has no `data` array")),
    "data twice": (whole(lambda text: b'{"data":[],' + text[1:]), LOADS),
    "backwards": (data(lambda changes: changes[::-1]), refused("out of order or out of range")),
    "one of them twice": (
        data(lambda changes: [*changes, changes[-1]]),
        refused("out of order or out of range"),
    ),
    "one from behind the range": (_last(offset=999_999), refused("out of range: offset 999999 follows")),
    "one from before the range": (_first(offset=3), refused("out of range: offset 3 follows 1020")),
    "a negative offset": (_first(offset=-5), refused("offset -5 is out of range")),
    "an offset beyond 64 bits": (_first(offset=1 << 70), refused(f"offset {1 << 70} is out of range")),
    "an unknown type": (_first(type="upsert"), refused("change 1021 has the unknown type 'upsert'")),
    "no type": (data(_no_type), refused("change 1021 has no type")),
}

INFORMATION: Final[Mapping[str, tuple[Lie, End]]] = {
    "empty objects": (
        body(b'{"data":[' + _repeated(b"{},") + b"{}]}"),
        refused("does not describe a consumer"),
    ),
    "no bottom": (body(b"[" * 100_000), refused("does not describe a consumer")),
    "a number of 5000 digits": (body(b'{"data":{"last_offset":' + b"9" * 5000 + b"}}"), NO_JSON),
    "an offset beyond 63 bits": (
        body(b'{"data":{"last_offset":%d}}' % (1 << 63)),
        refused("is out of range"),
    ),
    "a negative offset": (body(b'{"data":{"last_offset":-1}}'), refused("last_offset -1 is out of range")),
    "a link of half a character": (
        data(lambda information: {**information, "last_snapshot_link": "http://\ud800/5_1746459961.zip"}),
        NO_JSON,
    ),
}

CASES: Final = {
    **{
        f"changes: {name}": Case({"changes": lie}, end, settings=FEW_VALUES)
        for name, (lie, end) in CHANGES.items()
    },
    **{
        f"info: {name}": Case({"info": lie}, end, settings=FEW_VALUES)
        for name, (lie, end) in INFORMATION.items()
    },
}


@pytest.mark.parametrize("name", CASES)
def test_a_document_that_lies_is_refused_within_bounds(
    name: str, outcomes: Mapping[str, Outcome], judge: Judge
) -> None:
    judge(CASES[name], outcomes[name])
