"""A segment of a mirror: the changes of a range, one a line, compressed, and what the manifest says of it."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.manifest import LONGEST_SEGMENT, Segment, WrongMirror, edges, segment_name
from ctisync.core.model import ChangeMark, OffsetRange
from ctisync.errors import FeedRefused

_LEVEL: Final = 9
_LARGEST_WINDOW: Final = 1 << 27


class _Mark(msgspec.Struct):
    """What is read of each change of a segment."""

    offset: int
    inserted_at: Any = None


_mark_decoder: Final = msgspec.json.Decoder(_Mark)


def packed(offsets: OffsetRange, changes: Sequence[tuple[ChangeMark, bytes]]) -> tuple[Segment, bytes]:
    """The entry and the bytes of a segment. `changes`: all of `offsets`, ascending, each with its text on one
    line. Raises FeedRefused if they are too many bytes."""
    import zstandard

    text = b"".join(line + b"\n" for _, line in changes)
    if len(text) > LONGEST_SEGMENT:
        raise FeedRefused(f"changes {offsets} have {len(text)} bytes, more than a mirror takes")
    content = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(text)
    digest = hashlib.sha256(content).hexdigest()
    first, last = edges([(mark.offset, mark.inserted_at) for mark, _ in changes])
    segment = Segment(
        name=segment_name(offsets, digest),
        size=len(content),
        sha256=digest,
        after=offsets.after,
        to=offsets.to,
        raw_size=len(text),
        count=len(changes),
        first=first,
        last=last,
    )
    return segment, content


def unpacked(content: bytes, segment: Segment) -> list[tuple[int, bytes]]:
    """The offset and the line of each change of a segment, which are as its entry says. `content`: bytes with
    the digest of the entry. Raises WrongMirror."""
    return _lines(_decompressed(content, segment.raw_size), segment)


def _decompressed(content: bytes, size: int) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).stream_reader(content) as reader:
            text = reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise WrongMirror(f"it cannot be decompressed: {error}") from None
    if len(text) != size:
        raise WrongMirror(f"it has not the {size} bytes of changes that it should")
    return text


def _lines(text: bytes, segment: Segment) -> list[tuple[int, bytes]]:
    if text and not text.endswith(b"\n"):
        raise WrongMirror("its last line has no end")
    lines = text.split(b"\n")[:-1]
    try:
        marks = [decode_as(line, _mark_decoder) for line in lines]
    except UNDECODABLE as error:
        raise WrongMirror(f"a line is no change: {error}") from None
    before = segment.after
    for mark in marks:
        if not before < mark.offset <= segment.to:
            raise WrongMirror(f"offset {mark.offset} follows {before}")
        before = mark.offset
    ends = edges([(mark.offset, mark.inserted_at) for mark in marks])
    if len(marks) != segment.count or ends != (segment.first, segment.last):
        raise WrongMirror("its changes are not those that the manifest says")
    return [(mark.offset, line) for mark, line in zip(marks, lines, strict=True)]
