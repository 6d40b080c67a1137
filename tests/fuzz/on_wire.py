"""Records, the consumer's information and changes: taken as what they are, or refused in words."""

import re
from typing import Final

from ctisync.core import json_text, wire
from ctisync.core.limits import Limits
from ctisync.core.model import MAX_NAME_BYTES, MAX_OFFSET, Json, Record
from ctisync.core.wire import NotARecord
from ctisync.errors import FeedRefused
from tests.fuzz.on_json import WORDS, NoJson, alike, by_python, is_usual
from tests.fuzz.printed import refusing
from tests.fuzz.target import target
from tests.support.records import named

RECORDS: Final = (
    b'{"name":"CVE-1","offset":1,"version":1,"inserted_at":"2026","payload":{"a":[1,{"b":2.50}]}}',
    b'{"offset":3,"payload":{},"name":"\xc3\xa9","more":[null,true,-0.0],"name":"CVE-3"}',
    b'{"name":"\\u0000","offset":-1,"payload":[]}',
    b'{"name":"","offset":9223372036854775808,"payload":{"x":"\xff"}}',
    b'{"name":"","offset":1,"payload":{"x":1e9999999999999999999}}',
    b'{"resource":"rule/1","offset":1,"payload":{"type":"rule","document":{}}}',
    b'{"name":"A title","offset":1,"payload":{},"resource":"rule/1"}',
    b'{"name":null,"offset":1,"payload":{},"resource":""}',
)


@target(
    seeds=RECORDS, tokens=[*WORDS, b'"name":', b'"resource":', b'"offset":', b'"payload":{', b'"version":']
)
def records(data: bytes) -> None:
    """A line is a record exactly when it is one to Python, and says the same; a decoded line, encoded and
    decoded again, has not changed."""
    record = _record(data)
    try:
        value = by_python(data)
    except NoJson as error:
        assert record is None, f"a record of what is no JSON: {error}"
        return
    for decoded in (records_read := _decoded(data)):
        assert alike(decoded, value), f"{decoded} of {value}"
        again = json_text.encode(decoded)
        assert alike(json_text.decode(again), value), again
        assert b"\n" not in again
    if not records_read:
        assert not is_usual(data, value), "not decoded, although there is nothing unusual in it"
    if record is not None:
        assert isinstance(value, dict)
        assert (record.name, record.offset, record.line) == (named(value), value["offset"], data)
        assert isinstance(value["payload"], dict)
        assert _is_record(value)
    elif is_usual(data, value) and all(
        data.count(b'"%s"' % key) <= 1 for key in (b"name", b"resource", b"offset", b"version")
    ):
        assert not _is_record(value), "no record, although all of it is there"


def _record(line: bytes) -> Record | None:
    try:
        return wire.record(line)
    except NotARecord as error:
        assert len(str(error)) < 300
        return None


def _decoded(text: bytes) -> list[Json]:
    """The value, or none."""
    try:
        return [json_text.decode(text)]
    except ValueError:
        return []


def _is_record(value: Json) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("payload"), dict):
        return False
    offset, version = value.get("offset"), value.get("version")
    names = [value[key] for key in ("name", "resource") if value.get(key) is not None]
    return (
        bool(named(value))
        and all(map(_is_name, names))
        and type(offset) is int
        and 0 <= offset <= MAX_OFFSET
        and (version is None or (type(version) is int and abs(version) < 1 << 63))
    )


def _is_name(name: Json) -> bool:
    return (
        isinstance(name, str)
        and len(name.encode()) <= MAX_NAME_BYTES
        and not any(char < " " or "\x7f" <= char < "\xa0" for char in name)
    )


INFO: Final = b'{"data":{"last_offset":9,"last_snapshot_link":"https://a.example/7_1746459961.zip","last_snapshot_offset":7}}'


@target(
    seeds=[
        INFO,
        b'{"data":null}',
        b'{"data":{"last_snapshot_link":"x/5_123456789.zip?a=b"}}',
        b'{"data":{"last_offset":-1}}',
    ],
    tokens=[
        *WORDS,
        b'"last_offset":',
        b'"last_snapshot_link":"',
        b'"last_snapshot_offset":',
        b"_1746459961.zip",
    ],
)
def consumers(data: bytes) -> None:
    """What the feed says of a consumer holds together, or is refused in words that can be shown."""
    with refusing(FeedRefused, ValueError):
        try:
            document = json_text.decode(data)
        except ValueError:
            return
        info = wire.consumer_info(document)
        assert info.last_offset is None or 0 <= info.last_offset <= MAX_OFFSET
        if (snapshot := info.snapshot) is not None:
            assert 0 < snapshot.offset <= (info.last_offset or MAX_OFFSET)
            assert not re.search(r"[?#]", snapshot.link.rpartition("#")[0]), "a query is kept"
            assert wire.offset_in_name(document["data"]["last_snapshot_link"]) in (None, snapshot.offset)


CHANGES: Final = (
    b'{"offset":5,"type":"create","resource":"CVE-1","version":1,"inserted_at":"2026","payload":{"a":1}}',
    b'{"offset":6,"type":"update","resource":"CVE-1","version":2,"operations":[{"op":"remove","path":"/a"}]}',
    b'{"offset":7,"type":"delete","resource":"CVE-1"}',
    b'{"offset":8,"type":"delete","resource":""}',
    b'{"offset":9,"type":"create","resource":"CVE-2","payload":null}',
    b'{"offset":9,"type":"update","resource":"CVE-2"}',
)


@target(
    seeds=CHANGES,
    tokens=[*WORDS, b'"type":"create"', b'"type":"update"', b'"offset":', b'"resource":"', b'"operations":['],
)
def changes(data: bytes) -> None:
    """A change that is taken has all that its type needs; a `create` makes a record as a snapshot has it."""
    with refusing(FeedRefused):
        try:
            item = json_text.decode(data)
        except ValueError:
            return
        change = wire.change(item)
        assert 0 <= change.offset <= MAX_OFFSET
        assert 0 < len(change.resource.encode()) <= MAX_NAME_BYTES
        assert change.payload == (item.get("payload") if change.type == "create" else None)
        assert change.operations == ((item.get("operations") or []) if change.type == "update" else None)
        assert change.is_empty == (change.type == "create" and item.get("payload") is None)
        if change.type == "create" and not change.is_empty:
            record = wire.created(change)
            assert wire.record(record.line) == record
            json_text.check_line(record.line, Limits(json_depth=800))
