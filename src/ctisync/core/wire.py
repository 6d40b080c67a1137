"""Converts the API's JSON and stored lines to and from the model.

Unknown fields are accepted, and kept in a record's line; the types of known fields are checked.
"""

import re
import unicodedata
from typing import Final, Literal, TypeVar

import msgspec

from ctisync.core.json_text import TOO_DEEP, UNDECODABLE, TooDeep, check_depth, encode, encode_into
from ctisync.core.links import public_link
from ctisync.core.model import (
    MAX_NAME_BYTES,
    MAX_OFFSET,
    Change,
    ConsumerInfo,
    Information,
    Json,
    Record,
    Snapshot,
)
from ctisync.errors import FeedRefused

_T = TypeVar("_T")

_GROWTH: Final = 256
"""Bytes by which most changes let a line grow at most."""

_OPENING_BRACE: Final = ord("{")

_TYPES: Final[dict[str, Literal["create", "update", "delete"]]] = {
    "create": "create",
    "update": "update",
    "delete": "delete",
}
"""By their names in lower case: the API has them in any case."""

_KINDS: Final = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer"}

_MIRRORED: Final = ("id", "name", "context", "inserted_at", "updated_at", "last_snapshot_at", "is_public")
_LONGEST_VALUE: Final = 100

# `1901695_1746459961.zip` and `vd_1.0.0_vd_4.8.0_1901695_1746459961.json`: offset, unix time.
_OFFSET_IN_NAME: Final = re.compile(r"(?:^|[/_])([0-9]{1,19})_[0-9]{9,12}\.[a-z]+(?:\.(?:gz|zst))?$")


class NotARecord(ValueError):
    """A line of a snapshot is not a record; the text says why."""


class _Line(msgspec.Struct):
    """The fields of a line that are checked; the payload is not parsed."""

    offset: int
    payload: msgspec.Raw
    name: str | None = None
    resource: str | None = None
    version: int | None = None


class _Texts(msgspec.Struct):
    data: list[msgspec.Raw]


_texts_decoder: Final = msgspec.json.Decoder(_Texts)
_line_decoder: Final = msgspec.json.Decoder(_Line)


def consumer_info(document: Json) -> ConsumerInfo:
    """The reply to a request for a consumer. Raises FeedRefused, which names the field.

    A snapshot's offset is `last_snapshot_offset`. If it is missing, as with older servers, it is the number
    before the `_` in the snapshot's file name (API fact).
    """
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise FeedRefused("the feed's consumer information has no `data` object")
    last_offset = _offset_or_none(data, "last_offset")
    link = _value_or_none(data, "last_snapshot_link", str)
    offset = _offset_or_none(data, "last_snapshot_offset")
    is_public = _value_or_none(data, "is_public", bool)
    if not link:
        return ConsumerInfo(last_offset, None, is_public, identity(data))
    name_offset = offset_in_name(link)
    if not offset and name_offset is not None:  # it may be absent, or 0 (API fact)
        offset = name_offset
    if offset is None:
        raise FeedRefused(
            f"the feed offers a snapshot without its offset: last_snapshot_offset is missing, and the "
            f"link {public_link(link)!r} does not contain one"
        )
    if name_offset is not None and name_offset != offset:
        raise FeedRefused(
            f"the reply of the feed is inconsistent: last_snapshot_offset is {offset}, "
            f"the snapshot's file name has {name_offset}"
        )
    if offset == 0:
        raise FeedRefused("the feed offers a snapshot of offset 0, from which ctisync cannot continue")
    if last_offset is not None and offset > last_offset:
        raise FeedRefused(
            f"the reply of the feed is inconsistent: its snapshot has offset {offset}, "
            f"above its last_offset {last_offset}"
        )
    return ConsumerInfo(last_offset, Snapshot.announced(link, offset), is_public, identity(data))


def identity(data: dict[str, Json]) -> str | None:
    """See `ConsumerInfo.identity`; None if the feed does not say enough."""
    values = information({"data": data})
    number, since = values.get("id"), values.get("inserted_at")
    return f"{number} {since}" if isinstance(number, int) and isinstance(since, str) else None


def change_texts(reply: bytes) -> list[bytes]:
    """The elements of a reply with changes, as they came, each on one line. The reply was decoded before."""
    texts = _texts_decoder.decode(reply).data
    return [bytes(text).replace(b"\n", b" ").replace(b"\r", b" ") for text in texts]


def information(document: Json) -> Information:
    """What a mirror keeps of the reply to a request for a consumer: no link, and no long text."""
    data = document.get("data") if isinstance(document, dict) else None
    values = {} if not isinstance(data, dict) else {key: data[key] for key in _MIRRORED if key in data}
    return {
        key: value
        for key, value in values.items()
        if value is None
        or (isinstance(value, int) and abs(value) <= MAX_OFFSET)
        or (isinstance(value, str) and len(value) <= _LONGEST_VALUE)
    }


def offset_in_name(name: str) -> int | None:
    """The offset in a snapshot's link or file name; None if the name does not have the feed's form."""
    match = _OFFSET_IN_NAME.search(name.split("?", 1)[0])
    return int(match[1]) if match else None


def change(item: Json) -> Change:
    """One element of a reply with changes. Raises FeedRefused, which names offset and field."""
    if not isinstance(item, dict):
        raise FeedRefused(f"a change is {kind_of(item)}, not an object")
    offset = _offset_or_none(item, "offset")
    if offset is None:
        raise FeedRefused("a change has no offset")
    where = f"change {offset}"
    if item.get("type") is None:
        raise FeedRefused(f"{where} has no type")
    kind = _TYPES.get(str(item["type"]).lower())
    if kind is None:
        raise FeedRefused(f"{where} has the unknown type {item['type']!r:.40}; a newer ctisync may know it")
    resource = _value_or_none(item, "resource", str, f"{where}:")
    if resource is None:
        raise FeedRefused(f"{where} has no resource")
    if wrong := wrong_name(resource):
        raise FeedRefused(f"{where}: its resource {wrong}")
    where += f" of {resource}:"
    inserted_at = item.get("inserted_at")
    return Change(
        offset=offset,
        type=kind,
        resource=resource,
        version=_value_or_none(item, "version", int, where),
        inserted_at=inserted_at if isinstance(inserted_at, str) else None,
        payload=_value_or_none(item, "payload", dict, where) if kind == "create" else None,
        operations=_value_or_none(item, "operations", list, where) or [] if kind == "update" else None,
    )


def name_of(name: Json, resource: Json) -> str | None:
    """The name of a record by these two fields of its line; None without one.

    A line names its record in either; `resource` wins if both are there (API fact).
    """
    value = name if resource is None else resource
    return value if isinstance(value, str) else None


def without_name(line: dict[str, Json]) -> dict[str, Json]:
    """A decoded line without its name, for a comparison of records that have the same one: which key names
    a record makes no difference."""
    name = name_of(line.get("name"), line.get("resource"))
    rest = {key: value for key, value in line.items() if key != "resource"}
    if rest.get("name") in (None, name):
        rest.pop("name", None)
    return rest


def record(line: bytes) -> Record:
    """A snapshot's line as a record, its payload unparsed. Raises NotARecord."""
    try:
        check_depth(line)
        head = _line_decoder.decode(line)
        if not line.isascii():
            line.decode()  # msgspec does not check the text that it skips
    except TooDeep:
        raise NotARecord(TOO_DEEP) from None
    except UNDECODABLE as error:
        raise NotARecord(_in_plain_words(error)) from None
    if not 0 <= head.offset <= MAX_OFFSET:
        raise NotARecord(f"its offset {head.offset} is out of range")
    name = name_of(head.name, head.resource)
    if name is None:
        raise NotARecord("it has no name")
    wrong = wrong_name(name)
    if wrong is None and head.name and head.resource is not None:
        wrong = wrong_name(head.name)  # an index has both, and accepts no longer text
    if wrong is not None:
        raise NotARecord(f"its name {wrong}")
    if memoryview(head.payload)[0] != _OPENING_BRACE:
        raise NotARecord("its payload is not an object")
    return Record(name, head.offset, line)


def record_of(value: Json) -> Record:
    """A decoded object as a record (from a snapshot that is a JSON array). Raises NotARecord."""
    return record(encode(value))


def created(create: Change) -> Record:
    """The record of a `create`, with a line as in a snapshot: `name` names it, in every feed (ADR 30)."""
    line = {
        "name": create.resource,
        "offset": create.offset,
        "version": create.version,
        "inserted_at": create.inserted_at,
        "payload": create.payload,
    }
    text = encode({key: value for key, value in line.items() if value is not None})
    return Record(create.resource, create.offset, text)


def changed(line: dict[str, Json], name: str, last: Change, payload: Json, about: int = 0) -> Record:
    """The record after its updates. `line`: the line before them, whose other fields are kept; any of its
    values may still be text.

    Offset and version become those of the last change (API fact). `about`: the size of the line before.
    """
    version = {} if last.version is None else {"version": last.version}
    rewritten = {**line, "offset": last.offset, **version, "payload": payload}
    # A range of records waits in memory, and `encode` leaves up to a third of a text's memory unused.
    text = bytearray(about + _GROWTH)
    encode_into(rewritten, text)
    return Record(name, last.offset, bytes(text))


def _value_or_none(data: dict[str, Json], field: str, kind: type[_T], where: str = "the feed's") -> _T | None:
    """Raises FeedRefused for a value of another type, which names the field after `where`."""
    value = data.get(field)
    if value is not None and type(value) is not kind:
        raise FeedRefused(f"{where} {field} is {kind_of(value)}, not {_KINDS[kind]}")
    return value


def _offset_or_none(data: dict[str, Json], field: str) -> int | None:
    offset = _value_or_none(data, field, int)
    if offset is not None and not 0 <= offset <= MAX_OFFSET:
        raise FeedRefused(f"the feed's {field} {offset} is out of range")
    return offset


def wrong_name(name: str) -> str | None:
    """Why a name cannot be a record's id in both stores; None if it can."""
    if name.isascii() and name.isprintable() and 0 < len(name) <= MAX_NAME_BYTES:
        return None  # as nearly all are
    if not name:
        return "is empty"
    if (size := len(name.encode("utf-8", "replace"))) > MAX_NAME_BYTES:
        return f"has {size} bytes, more than the {MAX_NAME_BYTES} that a store accepts ({name[:40]!r}...)"
    if not name.isprintable() and any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        return f"contains control characters ({name[:40]!r})"
    return None


def kind_of(value: Json) -> str:
    """The type of a JSON value, for messages."""
    return "absent" if value is None else _KINDS.get(type(value), "a number")


def _in_plain_words(error: Exception) -> str:
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        if "missing required field" in text:
            field = text.split("`")[1]
            return f"it has no {field}"
        if "Expected `object`" in text:
            return "it is not an object"
        return text.replace(" - at `$.", " at `").replace(" | null`", "`")
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start})"
    return f"it is not JSON: {text}"
