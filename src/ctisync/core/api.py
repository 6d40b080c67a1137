"""The CTI API as a mirror answers it: the reply for a consumer, what a request asks for, and the changes.

Other clients than ctisync read these replies; docs/adr/0048-*.md has what they rely on.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from ctisync.core import wire
from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.manifest import Manifest
from ctisync.core.model import MAX_OFFSET, MAX_RANGE, OffsetRange

PATH: Final = "/api/v1/catalog/contexts/{context}/consumers/{consumer}"
CHANGES: Final = f"{PATH}/changes"
SNAPSHOT: Final = "/store/contexts/{context}/consumers/{consumer}/{digest}/{name}.zip"

_NULLS: Final = ("id", "inserted_at", "updated_at", "operations", "paths_filter", "paths_reject")
_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}


class BadRequest(ValueError):
    """A request that is refused with this HTTP `status`; the text says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Announced(msgspec.Struct, frozen=True):
    """What clients were last sent for a consumer. `serial`, `identity`: of the manifest."""

    last_offset: int
    serial: int
    identity: str | None


class ChangesRequest(NamedTuple):
    """`with_empties`: also updates without operations."""

    offsets: OffsetRange
    with_empties: bool


class ChangeTexts(NamedTuple):
    """The changes of a segment: `text` has them separated by commas. `offsets` and `ends`: of each change its
    offset, and where it ends in the text."""

    text: bytes
    offsets: list[int]
    ends: list[int]

    def span(self, offsets: OffsetRange) -> tuple[int, int]:
        """Where in the text the changes of a range begin and end."""
        first, after = (bisect_right(self.offsets, each) for each in (offsets.after, offsets.to))
        if first == after:
            return 0, 0
        return (self.ends[first - 1] + 1 if first else 0), self.ends[after - 1]


class _Kind(msgspec.Struct):
    type: str
    operations: list[msgspec.Raw] | None = None


_kind_decoder: Final = msgspec.json.Decoder(_Kind)


def announced_by(manifest: Manifest) -> Announced:
    """`last_offset` is that of the last change, not of the feed: a client that stores the last change of the
    last reply would never reach an offset after it."""
    ends = [each.last.offset for each in manifest.segments if each.last is not None]
    last = max([*ends[-1:], manifest.snapshots[-1].highest])
    return Announced(last, manifest.serial, wire.identity(manifest.feed))


def is_older(new: Announced, before: Announced) -> bool:
    """Whether clients must not be sent `new` after `before`: it is of an older copy. In another history, only
    the serial tells."""
    if None not in (new.identity, before.identity) and new.identity != before.identity:
        return new.serial <= before.serial
    return new.last_offset < before.last_offset


def consumer_reply(manifest: Manifest, url: str) -> bytes:
    """The reply for the consumer. `url`: where clients reach this server. All fields are always there: a
    client fails without them."""
    context, _, name = manifest.consumer.partition("/")
    newest, last_offset = manifest.snapshots[-1], announced_by(manifest).last_offset
    # After the last change there is none up to the snapshot's offset, so both mean the same records.
    offset = min(newest.offset, last_offset)
    place = {"context": context, "consumer": name}
    link = SNAPSHOT.format(**place, digest=newest.sha256, name=f"{offset}_{int(newest.added_at.timestamp())}")
    data = dict.fromkeys(_NULLS) | manifest.feed
    data |= {
        "name": name,
        "context": context,
        "is_public": True,
        "last_offset": last_offset,
        "changes_url": url.partition("://")[2] + CHANGES.format(**place),
        "last_snapshot_at": f"{newest.added_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        "last_snapshot_link": url + link,
        "last_snapshot_offset": offset,
    }
    return msgspec.json.encode({"data": data})


def changes_request(query: Mapping[str, str]) -> ChangesRequest:
    """The range of a request for changes. Raises BadRequest."""
    offsets = OffsetRange(_offset(query, "from_offset"), _offset(query, "to_offset"))
    if not 0 <= offsets.to - offsets.after <= MAX_RANGE:
        raise BadRequest(422, f"to_offset must be from_offset, or up to {MAX_RANGE} above it")
    with_empties = _BOOLEANS.get(query.get("with_empties", "true"))
    if with_empties is None:
        raise BadRequest(400, "with_empties must be true or false")
    return ChangesRequest(offsets, with_empties)


def check_coverage(manifest: Manifest, offsets: OffsetRange, announced: int) -> None:
    """Raises BadRequest for a range of which a change could be missing: below the floor the client is to load
    the snapshot. `announced`: the highest last offset that clients were sent."""
    if offsets.after < manifest.floor:
        raise BadRequest(410, f"changes up to offset {manifest.floor} are no longer here")
    if offsets.after < announced and manifest.last_offset < min(offsets.to, announced):
        raise BadRequest(500, f"changes after offset {manifest.last_offset} are missing")


def change_texts(changes: Sequence[tuple[int, bytes]], *, with_empties: bool) -> ChangeTexts:
    """Of the changes of a segment, each its offset and its text."""
    chosen = [each for each in changes if with_empties or not _is_empty_update(each[1])]
    ends = accumulate((len(line) + 1 for _, line in chosen), initial=-1)
    return ChangeTexts(
        b",".join(line for _, line in chosen), [offset for offset, _ in chosen], list(ends)[1:]
    )


def _offset(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not _NUMBER.fullmatch(text) or (offset := int(text)) > MAX_OFFSET:
        raise BadRequest(400, f"{name} must be an integer, from 0 on")
    return offset


def _is_empty_update(line: bytes) -> bool:
    """Another client reads what this one cannot, so that counts as not empty."""
    try:
        kind = decode_as(line, _kind_decoder)
    except UNDECODABLE:
        return False
    return kind.type.lower() == "update" and not kind.operations
