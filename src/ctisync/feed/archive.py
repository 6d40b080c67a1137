"""From a snapshot's bytes to its records, whatever they are packed in.

What a file is, its content decides: `PK` is a ZIP, a first `[` a JSON array, anything else NDJSON.
Nothing is ever unpacked to disk.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, TypeVar

from ctisync.core import wire
from ctisync.core.model import Record
from ctisync.errors import SnapshotRefused
from ctisync.feed import json_stream
from ctisync.feed.member import PIECE, Member

T = TypeVar("T")

MOST_LINE_BYTES: Final = 64 << 20

_BATCH_BYTES: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n"


def is_zip(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(2) == b"PK"


def records(file: BinaryIO, highest_offset: int) -> Iterator[list[Record]]:
    """As `ports.SnapshotFile.records`; a batch holds about 1 MiB of lines."""
    first, pieces = _opened(_pieces(file))
    if first == b"<":
        raise SnapshotRefused("the snapshot is a web page (HTML), no archive")
    batches = (
        _array_batches(pieces, highest_offset) if first == b"[" else _line_batches(pieces, highest_offset)
    )
    empty = True
    for batch in batches:
        if batch:
            empty = False
            yield batch
    if empty:
        raise SnapshotRefused("the snapshot holds no record" if first else "the snapshot is empty")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    if is_zip(file):
        return Member(file).pieces()
    file.seek(0)
    return iter(lambda: file.read(PIECE), b"")


def _opened(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first byte that is not blank (empty: none near the start), and the pieces without a BOM."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= PIECE or (len(head) > len(_BOM) and head.strip(_BLANK)):
            break
    head = head.removeprefix(_BOM)
    return head.lstrip(_BLANK)[:1], _preceded(head, pieces)


def _preceded(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from pieces


def _line_batches(pieces: Iterator[bytes], highest_offset: int) -> Iterator[list[Record]]:
    number = 0
    for lines in _lines(pieces):
        batch = []
        for line in lines:
            number += 1
            if text := line.strip(_BLANK):
                batch.append(_accepted(wire.record, text, highest_offset, "line", number))
        yield batch


def _lines(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    """The lines that each piece completes. Only a newline ends one: U+2028 and U+0085 are text."""
    begun: list[bytes] = []
    size = 0
    for piece in pieces:
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = b"".join((*begun, lines[0]))
            begun, size = [], 0
            yield lines
        begun.append(rest)
        size += len(rest)
        if size > MOST_LINE_BYTES:
            raise SnapshotRefused(f"the snapshot has a line of more than {MOST_LINE_BYTES >> 20} MiB")
    yield [b"".join(begun)]


def _array_batches(pieces: Iterator[bytes], highest_offset: int) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    try:
        for number, element in enumerate(json_stream.elements(pieces), start=1):
            record = _accepted(wire.record_of, element, highest_offset, "element", number)
            batch.append(record)
            size += len(record.line)
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except json_stream.NotJson as error:
        raise SnapshotRefused(f"the snapshot is a JSON array that is damaged or cut off: {error}") from None
    yield batch


def _accepted(read: Callable[[T], Record], source: T, highest_offset: int, what: str, number: int) -> Record:
    """The record of a line or an element, which an error names by its number."""
    try:
        record = read(source)
    except wire.NotARecord as error:
        raise SnapshotRefused(f"{what} {number} of the snapshot is no record: {error}") from None
    if record.offset > highest_offset:
        raise SnapshotRefused(
            f"{what} {number} of the snapshot ({record.name}) has offset {record.offset}, "
            f"above the snapshot's own {highest_offset}"
        )
    return record
