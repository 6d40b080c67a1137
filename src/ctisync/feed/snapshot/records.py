"""From a snapshot's bytes to its records, for all formats.

The content decides the format: a file that begins with `PK` is a ZIP, others begin as gzip or zstd. The
text in them, or in the file itself, is a JSON array if it begins with `[`, else NDJSON.
Nothing is decompressed to disk.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import BinaryIO, Final, NamedTuple, TypeVar

from ctisync.core import wire
from ctisync.core.json_text import Excess, Scan, TooDeep, check_line
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import Record
from ctisync.errors import SnapshotRefused
from ctisync.feed.http.budget import PIECE
from ctisync.feed.snapshot import parsers
from ctisync.feed.snapshot.compressed import is_packed, plain_or_unpacked
from ctisync.feed.snapshot.zip_stream import Archive, Unpacked, declared_size

T = TypeVar("T")

_BATCH_BYTES: Final = 1 << 20
_USUAL_RATIO: Final = 6
"""The lowest compression ratio of the feed's records."""
_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n"


def is_zip(file: BinaryIO) -> bool:
    """Whether the file begins as a ZIP does."""
    file.seek(0)
    return file.read(2) == b"PK"


def unpacked_size(file: BinaryIO, size: int, *, whole: bool = True) -> int:
    """Estimated bytes of the records in a file of `size` bytes, of which the first are enough unless `whole`.
    The size that a ZIP declares is too low if it wrapped at 4 GiB."""
    if not is_zip(file):
        return size * _USUAL_RATIO if is_packed(file) else size
    declared = 0
    with suppress(SnapshotRefused):  # reading it reports why
        declared = declared_size(file, whole=whole)
    return max(declared, size * _USUAL_RATIO)


def records(
    file: BinaryIO, highest_offset: int, limits: Limits = USUAL_LIMITS, *, whole: bool = True
) -> Iterator[list[Record]]:
    """As `ports.SnapshotFile.records`. A batch has half a MiB of lines or so; it is empty if all are blank.

    `whole`: the file is complete, so that an error in a ZIP's directory is found first, not last. Otherwise
    also raises SnapshotChanged, if the returned records are not of members that the directory names.
    """
    if not is_zip(file):
        file.seek(0)
        yield from _records(iter([("", plain_or_unpacked(file, limits))]), highest_offset, limits)
        return
    archive = Archive(file, limits, whole=whole)
    try:
        yield from _records(archive.contents(), highest_offset, limits)
    except SnapshotRefused:
        with suppress(SnapshotRefused):  # an unusable directory names no other entry
            archive.check_first()  # then errors of the latter do not matter
        raise


def lines(file: BinaryIO, limits: Limits = USUAL_LIMITS) -> Iterator[bytes]:
    """The lines of text, compressed or not, of any length. The file is read once, so it may be a pipe. Raises
    SnapshotRefused for damage and for a compression ratio above limits.ratio."""
    return chain.from_iterable(_lines(plain_or_unpacked(file, limits), sys.maxsize))


def _records(contents: Iterator[Unpacked], highest_offset: int, limits: Limits) -> Iterator[list[Record]]:
    """The records of all members; together they have no more bytes than the limit."""
    size = 0

    def limited(pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            size += len(piece)
            if size > limits.unzipped_bytes:
                what = f"the records of the snapshot have more than {limits.unzipped_bytes} bytes"
                raise SnapshotRefused.over_limit("unzipped_bytes", what)
            yield piece

    empty = blank = True
    for number, (name, content) in enumerate(contents):
        if name.rpartition("/")[2] == "manifest.json":
            raise SnapshotRefused(
                "its ZIP contains manifest.json: it is a whole package; unpack it, and pass the folder"
            )
        first, pieces = _opened(limited(content))
        within = f"{name} of the snapshot" if number else "the snapshot"
        if first == b"<":
            raise SnapshotRefused(f"{within} is a web page (HTML), not an archive")
        rules = _Rules(highest_offset, limits, within)
        for batch in rules.array_batches(pieces) if first == b"[" else rules.line_batches(pieces):
            empty = empty and not batch
            yield batch
        blank = blank and not first
    if empty:
        raise SnapshotRefused("the snapshot is empty" if blank else "the snapshot has no records")


def _opened(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first byte that is not blank (empty if there is none near the start), and the pieces without
    BOM."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= PIECE or (len(head) > len(_BOM) and head.strip(_BLANK)):
            break
    head = head.removeprefix(_BOM)
    return head.lstrip(_BLANK)[:1], chain((head,), pieces)


def _lines(pieces: Iterator[bytes], most: int) -> Iterator[list[bytes]]:
    """The lines that each piece completes. Only a newline ends a line: U+2028 and U+0085 are text.

    `find` is several times as fast as `split`.
    """
    begun: list[bytes] = []
    size = 0
    for piece in pieces:
        lines = []
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            lines.append(piece[start:end])
            start = end + 1
        if lines:
            lines[0] = b"".join((*begun, lines[0]))
            begun, size = [], 0
            yield lines
        begun.append(piece[start:])
        size += len(piece) - start
        if size > most:
            raise SnapshotRefused.over_limit(
                "line_bytes", f"the snapshot has a line of more than {most} bytes"
            )
    if last := b"".join(begun):
        yield [last]


class _Rules(NamedTuple):
    """What each record of one content must keep. `within`: the content, for messages."""

    highest_offset: int
    limits: Limits
    within: str

    def line_batches(self, pieces: Iterator[bytes]) -> Iterator[list[Record]]:
        number = 0
        read, highest_offset = parsers.reader(self.limits), self.highest_offset
        for lines in _lines(pieces, self.limits.line_bytes):
            batch = []
            for line, record in zip(lines, read(lines), strict=True):
                number += 1
                if record is not None and record.offset <= highest_offset:
                    batch.append(record)
                elif text := line.strip(_BLANK):
                    batch.append(self._accepted(wire.record, text, f"line {number}"))
            yield batch

    def array_batches(self, pieces: Iterator[bytes]) -> Iterator[list[Record]]:
        begun = 0  # bytes since the last element
        limits = self.limits
        # A payload is two levels deep: in its element, in the array. A piece may contain many elements.
        scan = Scan(limits.json_depth + 2, limits.json_values + PIECE)

        def scanned() -> Iterator[bytes]:
            nonlocal begun
            for piece in pieces:
                begun += len(piece)
                if begun > limits.line_bytes + PIECE:
                    what = f"the snapshot has an element of more than {limits.line_bytes} bytes"
                    raise SnapshotRefused.over_limit("line_bytes", what)
                scan.take(piece)
                yield piece

        batch: list[Record] = []
        size = number = 0
        try:
            for element in parsers.elements(scanned()):
                begun = scan.values = 0
                number += 1
                record = self._accepted(wire.record_of, element, f"element {number}")
                batch.append(record)
                size += len(record.line)
                if size >= _BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
        except parsers.NotJson as error:
            raise SnapshotRefused(
                f"the JSON array of the snapshot is damaged or truncated: {error}"
            ) from None
        except Excess as error:
            raise self._excessive(f"an element of the snapshot, after the first {number},", error) from None
        yield batch

    def _accepted(self, read: Callable[[T], Record], source: T, what: str) -> Record:
        """The checked record of a line or an element, which errors name."""
        what = f"{what} of {self.within}"
        try:
            record = read(source)
            if len(record.line) > self.limits.line_bytes:
                raise SnapshotRefused.over_limit("line_bytes", f"{what} has {len(record.line)} bytes")
            check_line(record.line, self.limits)
        except wire.NotARecord as error:
            raise SnapshotRefused(f"{what} is not a record: {error}") from None
        except Excess as error:
            raise self._excessive(what, error) from None
        if record.offset > self.highest_offset:
            raise SnapshotRefused(
                f"{what} ({record.name}) has offset {record.offset}, "
                f"above the snapshot's offset {self.highest_offset}"
            )
        return record

    def _excessive(self, what: str, error: Excess) -> SnapshotRefused:
        deep = isinstance(error, TooDeep)
        excess = "is nested too deeply" if deep else f"has more than {self.limits.json_values} values"
        return SnapshotRefused.over_limit(error.limit, f"{what} {excess}")
