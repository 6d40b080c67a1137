"""A mirror folder, format 1: what its head and its manifest say, and which files it keeps.

The head names the manifest, and the manifest all other files; each is named by its digest. A head or manifest
has one text: what is not written as `encoded` writes it is refused, so that a key cannot occur twice, and
nothing is there that is not read.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Final, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from ctisync.core.json_text import UNDECODABLE, TooDeep, check_depth, decode_as
from ctisync.core.model import MAX_OFFSET, MAX_RANGE, Moment, OffsetRange
from ctisync.core.wire import identity
from ctisync.core.words import counted

_T = TypeVar("_T", "Head", "Manifest")

FORMAT: Final = 1
HEAD: Final = "head.json"
GRID: Final = MAX_RANGE
"""Offsets of a segment: as many as one request to the API may ask for."""

LONGEST_HEAD: Final = 4 << 10
LONGEST_MANIFEST: Final = 4 << 20
LONGEST_SIGNATURE: Final = 16 << 10
LONGEST_SEGMENT: Final = 256 << 20
"""Bytes, of a segment also decompressed."""

SIGNATURE: Final = ".minisig"
"""Follows the name of a manifest in that of its signature."""

_LONGEST_NAME: Final = 100
_DIGITS: Final = 32
"""Digits of a file's digest in its name; the manifest has all 64."""
_LONGEST_TIME: Final = 200
_DEEPEST: Final = 8
_MOST_SNAPSHOTS: Final = 100

_SAFE: Final = re.compile(r"[a-z0-9_=-](?:[a-z0-9._=-]*[a-z0-9_=-])?")
_TO_ESCAPE: Final = re.compile(rb"[^a-z0-9._-]|^\.|\.$")

Offset = Annotated[int, Meta(ge=0, le=MAX_OFFSET)]
Size = Annotated[int, Meta(ge=1, le=1 << 50)]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Name = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9._=-]{0,99}\Z")]
ShortText = Annotated[str, Meta(max_length=_LONGEST_TIME)]


class WrongMirror(ValueError):
    """A file of the mirror is not as it must be; the text says how."""


class MirrorFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the folder: its size in bytes, and its SHA-256."""

    name: Name
    size: Size
    sha256: Digest


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The only file that is replaced."""

    format: int
    manifest: MirrorFile


class Edge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first or the last change of a segment; `inserted_at` as in the change, None if it is not there."""

    offset: Offset
    inserted_at: ShortText | None


class Segment(MirrorFile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The changes of (after, to], one a line, compressed by zstd. `raw_size`: bytes of the lines."""

    after: Offset
    to: Offset
    raw_size: Annotated[int, Meta(ge=0, le=LONGEST_SEGMENT)]
    count: Annotated[int, Meta(ge=0, le=GRID)]
    first: Edge | None
    last: Edge | None


class MirroredSnapshot(MirrorFile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A snapshot of the feed, byte for byte. `highest`: the highest offset of its lines. `added_at`: when it
    came into the folder."""

    offset: Offset
    highest: Offset
    added_at: Moment


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the folder has of a consumer: snapshots, and all changes of (floor, last_offset].

    `consumer`: `context/name`. `checked_at`: when the feed itself last answered. Snapshots and segments are
    in ascending order.
    """

    format: int
    consumer: str
    serial: Annotated[int, Meta(ge=1, le=MAX_OFFSET)]
    made_at: Moment
    checked_at: Moment
    feed: dict[ShortText, ShortText | int | bool | None]
    last_offset: Offset
    floor: Offset
    snapshots: tuple[MirroredSnapshot, ...]
    segments: tuple[Segment, ...]

    @property
    def files(self) -> set[str]:
        return {each.name for each in (*self.snapshots, *self.segments)}

    def segments_of(self, offsets: OffsetRange) -> list[Segment]:
        """Those that have changes of this range."""
        return [each for each in self.segments if each.after < offsets.to and offsets.after < each.to]


class Keep(NamedTuple):
    """How old the newest snapshot may become, how many snapshots stay, and how long changes do."""

    snapshot_age: timedelta = timedelta(days=7)
    snapshots: int = 2
    changes: timedelta = timedelta(days=90)


_head_decoder: Final = msgspec.json.Decoder(Head)
_manifest_decoder: Final = msgspec.json.Decoder(Manifest)


def encoded(value: Head | Manifest) -> bytes:
    """The text of the file."""
    return msgspec.json.encode(value) + b"\n"


def head_of(text: bytes) -> Head:
    """Raises WrongMirror."""
    head = _parsed(text, _head_decoder)
    if head.format != FORMAT:
        raise WrongMirror(f"its format is {head.format}; this version of ctisync reads format {FORMAT}")
    return head


def manifest_of(text: bytes, consumer: str) -> Manifest:
    """The manifest, which agrees with itself. `consumer`: the one whose it must be. Raises WrongMirror."""
    manifest = _parsed(text, _manifest_decoder)
    if (wrong := next(_contradictions(manifest, consumer), None)) is not None:
        raise WrongMirror(wrong)
    return manifest


def _parsed(text: bytes, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        check_depth(text, _DEEPEST)
        value = decode_as(text, decoder)
    except TooDeep:
        raise WrongMirror("it is nested too deeply") from None
    except UNDECODABLE as error:
        raise WrongMirror(f"it cannot be read: {error}") from None
    if encoded(value) != text:
        raise WrongMirror("it is not written as ctisync writes it")
    return value


def _contradictions(manifest: Manifest, consumer: str) -> Iterator[str]:
    if manifest.format != FORMAT:
        yield f"its format is {manifest.format}; this version of ctisync reads format {FORMAT}"
    if manifest.consumer != consumer:
        yield f"it is of {manifest.consumer}, not of {consumer}"
    if not 1 <= len(manifest.snapshots) <= _MOST_SNAPSHOTS:
        yield f"it has {len(manifest.snapshots)} snapshots"
    if manifest.floor % GRID or manifest.floor > base(manifest.snapshots):
        yield f"its floor {manifest.floor} is not where a reader of the oldest snapshot begins"
    yield from _contradictions_of_snapshots(manifest)
    end = manifest.floor
    for segment in manifest.segments:
        if segment.after != end or end % GRID or not 0 < segment.to - end <= GRID:
            yield f"the changes after offset {end} are missing, or there twice"
        yield from _contradictions_in(segment)
        end = segment.to
    if end != manifest.last_offset:
        yield f"its changes end at {end}, its last offset is {manifest.last_offset}"


def _contradictions_of_snapshots(manifest: Manifest) -> Iterator[str]:
    before = 0
    for snapshot in manifest.snapshots:
        if not before < snapshot.offset <= manifest.last_offset or snapshot.highest > manifest.last_offset:
            yield f"its snapshot of offset {snapshot.offset} is not between its neighbours"
        if snapshot.name != snapshot_name(snapshot.sha256, snapshot.name[_DIGITS + 3 :]):
            yield f"the name {snapshot.name} is not the one of this snapshot"
        before = snapshot.offset


def _contradictions_in(segment: Segment) -> Iterator[str]:
    if segment.name != segment_name(segment, segment.sha256):
        yield f"the name {segment.name} is not the one of this segment"
    first, last = segment.first, segment.last
    if first is None or last is None:
        is_sound = first is last and segment.count == 0
    else:
        spread = last.offset - first.offset + 1
        is_inside = segment.after < first.offset <= last.offset <= segment.to
        is_sound = is_inside and min(spread, 2) <= segment.count <= spread and (spread > 1 or first == last)
    if not is_sound:
        yield f"{segment.name} cannot have {counted(segment.count, 'change')}"


def edges(marks: Sequence[tuple[int, object]]) -> tuple[Edge | None, Edge | None]:
    """The first and the last of the changes with these offsets and times; of none, there are none."""
    return (edge(*marks[0]), edge(*marks[-1])) if marks else (None, None)


def edge(offset: int, inserted_at: object) -> Edge:
    """Of a change with this time, which may be of any form."""
    is_time = isinstance(inserted_at, str) and len(inserted_at) <= _LONGEST_TIME
    return Edge(offset, cast(str, inserted_at) if is_time else None)


def segment_name(offsets: OffsetRange | Segment, digest: str) -> str:
    return f"c-{offsets.after}-{offsets.to}-{digest[:_DIGITS]}.zst"


def manifest_name(serial: int, digest: str) -> str:
    return f"m-{serial}-{digest[:_DIGITS]}.json"


def snapshot_name(digest: str, feed_name: str) -> str:
    """`feed_name`: the last part of the feed's link, which has the offset."""
    name = f"s-{digest[:_DIGITS]}_{safe_name(feed_name)}"
    return name if len(name) <= _LONGEST_NAME else f"s-{digest[:_DIGITS]}_{digest[_DIGITS:]}"


def safe_name(text: str) -> str:
    """A name that each file system and web server takes, and that means the same with and without case: other
    characters are `=` and two hexadecimal digits a byte. A text that is such a name already stays."""
    if len(text) <= _LONGEST_NAME and _SAFE.fullmatch(text):
        return text
    name = _TO_ESCAPE.sub(lambda match: b"=%02x" % match[0][0], text.encode(errors="replace")).decode()
    if 0 < len(name) <= _LONGEST_NAME:
        return name
    return "=" + sha256(text.encode(errors="replace")).hexdigest()


def base(snapshots: Sequence[MirroredSnapshot]) -> int:
    """The highest floor with which each reader of these snapshots finds its next change. One begins at the
    highest line of its snapshot, another at the snapshot's offset."""
    lowest = min((min(each.offset, each.highest) for each in snapshots), default=0)
    return lowest - lowest % GRID


def available(manifest: Manifest, has: Callable[[str], bool]) -> tuple[int, MirroredSnapshot | None]:
    """Of a mirror that has only a part of its files: the offset after which it has all changes, and its
    newest snapshot. `has`: whether it has the file of this name."""
    floor = manifest.last_offset
    for segment in reversed(manifest.segments):
        if not has(segment.name):
            break
        floor = segment.after
    return floor, next((each for each in reversed(manifest.snapshots) if has(each.name)), None)


def pieces(after: int, to: int) -> Iterator[OffsetRange]:
    """The segments of (after, to]; `after` lies on the grid."""
    for start in range(after, to, GRID):
        yield OffsetRange(start, min(start + GRID, to))


def full(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Without the last one, if it still grows."""
    return tuple(segments[:-1] if segments and segments[-1].to % GRID else segments)


def is_due(snapshots: Sequence[MirroredSnapshot], offset: int, age: timedelta, now: datetime) -> bool:
    """Whether a snapshot of this offset is to be fetched. A time in the future is of a wrong clock."""
    if not snapshots:
        return True
    newest = snapshots[-1]
    return offset > newest.offset and not now - age < newest.added_at <= now


def is_continued(old: Manifest, new: Manifest) -> bool:
    """Whether both are of one history: the same consumer of the feed, and the same changes where both have
    some."""
    was, now = identity(old.feed), identity(new.feed)
    if was is not None and now is not None and was != now:
        return False
    segments = {each.after: each for each in new.segments}
    return all(_agree(each, segments[each.after]) for each in old.segments if each.after in segments)


def _agree(one: Segment, other: Segment) -> bool:
    """One that still grew has the first change already, or none yet."""
    if one.to == other.to:
        return (one.count, one.first, one.last) == (other.count, other.first, other.last)
    return one.first is None or other.first in (None, one.first)


def pruned(manifest: Manifest, keep: Keep, now: datetime) -> Manifest:
    """Without snapshots and changes that are no longer kept. No snapshot stays without the changes after it,
    and a change without a time counts as old."""
    snapshots = manifest.snapshots[-keep.snapshots :]
    bound = base(snapshots)
    segments = manifest.segments
    while segments and segments[0].to <= bound and _is_older(segments[0].last, now - keep.changes):
        segments = segments[1:]
    floor = segments[0].after if segments else manifest.floor
    return replace(manifest, snapshots=snapshots, segments=segments, floor=floor)


def _is_older(change: Edge | None, than: datetime) -> bool:
    with suppress(ValueError, TypeError):  # TypeError: a time without a zone
        return (
            change is None or change.inserted_at is None or datetime.fromisoformat(change.inserted_at) < than
        )
    return True
