"""The members of a snapshot's ZIP, inflated as streams.

`zipfile` finds the members, but cannot read them: it stops at the declared size. Real snapshots are over
4 GiB without zip64 fields, so their sizes are wrapped to 32 bits (API fact).

The directory, which names the members, is at the end of the file. While that is downloaded, the first member
is inflated by its own header; the directory then confirms it, and names the others.
"""

import errno
import io
import struct
import zipfile
from bisect import bisect
from collections.abc import Iterator
from functools import cached_property
from operator import attrgetter
from typing import BinaryIO, Final, NamedTuple, cast

from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.errors import SnapshotChanged, SnapshotRefused
from ctisync.feed.http.budget import PIECE
from ctisync.feed.snapshot.compressed import BEST, Codec, Ratio

_READ: Final = 128 << 10
_MOST_OF_ENTRY: Final = 1024
"""Bytes of one entry in a ZIP's directory, on average. An entry has 46 and its name."""
_LONGEST_NAME: Final = 128 << 10
"""Bytes of a name, or of the comment at the end."""
_WRAP: Final = 1 << 32
_HEADER: Final = struct.Struct("<6xHH12xLHH")
"""A local header: flags, method, size of the content, lengths of name and extra fields."""
_SIZE_FOLLOWS: Final = 0x8
_SIZE_IN_ZIP64: Final = 0xFFFFFFFF
ENCRYPTED: Final = 0x1 | 0x40
_ZIP64: Final = 0x0001
_DAMAGE: Final = (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, OverflowError, EOFError)
"""zipfile raises these for a damaged archive."""

Unpacked = tuple[str, Iterator[bytes]]
"""The name of a member, and its content in pieces of at most 1 MiB. Read it to its end before the next."""


class Content:
    """A member's bytes from `start` on. `packed`, `size` and `crc` count what was read, and `ratio` counts it
    together with that of other members."""

    def __init__(self, file: BinaryIO, name: str, start: int, codec: Codec, ratio: Ratio) -> None:
        self._file = file
        self._codec = codec
        self.name = name
        self.start = start
        self._ratio = ratio
        self.packed = self.size = self.crc = 0

    @property
    def end(self) -> int:
        return self.start + self.packed

    def pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """The content, packed as the directory says, and checked at its end. Raises SnapshotRefused for
        damage and for other methods."""
        if _is_deflated(info.compress_type, info.flag_bits):
            yield from self.inflated()
        elif info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & ENCRYPTED:
            yield from self.stored(info.compress_size)
        else:
            how = f"uses compression method {info.compress_type}; ctisync supports only 0 and 8"
            raise SnapshotRefused(
                f"the snapshot's member {self.name} {'is encrypted' if info.flag_bits & ENCRYPTED else how}"
            )
        self.check(info)

    def inflated(self) -> Iterator[bytes]:
        inflater = self._codec.inflater()
        self._file.seek(self.start)
        while not inflater.eof:
            packed = self._read(_READ)
            while packed and not inflater.eof:
                try:
                    piece = inflater.decompress(packed, PIECE)
                except self._codec.error as error:
                    raise SnapshotRefused(f"the snapshot is damaged: {self.name}: {error}") from None
                packed = inflater.unconsumed_tail
                if piece:
                    yield self._counted(piece)
        self._count_packed(-len(inflater.unused_data))

    def stored(self, size: int) -> Iterator[bytes]:
        self._file.seek(self.start)
        while self.packed < size:
            yield self._counted(self._read(min(PIECE, size - self.packed)))

    def check(self, info: zipfile.ZipInfo) -> None:
        """Raises SnapshotRefused if the directory declares something else than what was read. Without zip64
        fields, a size may be wrapped to 32 bits."""
        may_wrap = _zip64_field(info.extra) is None
        for what, declared, actual in (
            ("packed size", info.compress_size, self.packed),
            ("size", info.file_size, self.size),
        ):
            if declared != actual and not (may_wrap and declared == actual % _WRAP):
                raise SnapshotRefused(
                    f"the snapshot is damaged: the {what} of {self.name} is {actual}, declared is {declared}"
                )
        if self.crc != info.CRC:
            raise SnapshotRefused(
                f"the snapshot is damaged: {self.name} has CRC {self.crc:08x}, declared is {info.CRC:08x}"
            )

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if not data:
            raise SnapshotRefused(f"the snapshot is truncated: {self.name} ends in the middle")
        self._count_packed(len(data))
        return data

    def _count_packed(self, count: int) -> None:
        self.packed += count
        self._ratio.packed += count

    def _counted(self, piece: bytes) -> bytes:
        self.crc = self._codec.crc32(piece, self.crc)
        self.size += len(piece)
        self._ratio.add(len(piece), f"{self.name} of the ZIP")
        return piece


class Archive:
    """The snapshot in a ZIP: all members whose names end with .json or .ndjson.

    Folders and other files (a readme) are ignored. `whole`: the file is complete, so that an error in the
    directory is found first, not last. Raises SnapshotRefused if there is no member, for a ZIP that cannot be
    read, and for one that exceeds `limits`.
    """

    def __init__(
        self, file: BinaryIO, limits: Limits = USUAL_LIMITS, codec: Codec = BEST, *, whole: bool = True
    ) -> None:
        self._file = file
        self._limits = limits
        self._codec = codec
        self._ratio = Ratio(limits.ratio)
        head = None if whole else _first_head(file)
        self._first = None if head is None else Content(file, head.name, head.start, codec, self._ratio)

    @cached_property
    def members(self) -> list[zipfile.ZipInfo]:
        """By the directory. Waits for the end of the download."""
        entries = _directory(self._file, self._limits.members)
        members = [info for info in entries if _is_content(info.filename)]
        if not members:
            names = ", ".join(repr(info.filename[:80]) for info in entries[:5]) or "nothing"
            raise SnapshotRefused(
                f"the snapshot's ZIP must contain .json or .ndjson files, but it has 0 (in it: {names})"
            )
        return members

    def contents(self) -> Iterator[Unpacked]:
        """The members. Raises SnapshotRefused for damage and for a compression ratio above the limit, and as
        `check_first` does."""
        first = self._first
        if first is not None:
            yield first.name, first.inflated()
        self.check_first()
        by_place = attrgetter("start", "end")  # an empty one is before the one that begins there
        contents: list[Content] = []  # in the order of their places; no two of them overlap
        for info, start in zip(self.members, self._starts, strict=True):
            if first is not None and first.start == start:
                content, first = first, None
                content.check(info)
            else:
                content = Content(self._file, info.filename, start, self._codec, self._ratio)
                yield info.filename, content.pieces(info)
            place = bisect(contents, by_place(content), key=by_place)
            for other in contents[max(0, place - 1) : place + 1]:
                if content.start < other.end and other.start < content.end:
                    # A few bytes could otherwise be unpacked a thousand times.
                    raise SnapshotRefused(
                        f"the snapshot is damaged: {content.name} and {other.name} overlap in the ZIP"
                    )
            contents.insert(place, content)

    def check_first(self) -> None:
        """Raises SnapshotChanged if the directory does not name the member that was read before it."""
        first = self._first
        if first is not None and not any(
            start == first.start and _is_deflated(info.compress_type, info.flag_bits)
            for info, start in zip(self.members, self._starts, strict=True)
        ):
            raise SnapshotChanged("the ZIP's directory names another entry than the first one")

    @cached_property
    def _starts(self) -> list[int]:
        return [self._start(info) for info in self.members]

    def _start(self, info: zipfile.ZipInfo) -> int:
        """The position of the compressed bytes: after the local header, by the lengths in it."""
        end = self._file.seek(0, io.SEEK_END)
        # zipfile interprets a wrapped offset as bytes before the archive; a damaged one may be anywhere.
        for place in (info.header_offset, info.header_offset % _WRAP):
            if 0 <= place < end and (head := _head_at(self._file, place)) is not None:
                return head.start
        raise SnapshotRefused(
            f"the snapshot is damaged: {info.filename} is not where the ZIP's directory says"
        )


def declared_size(file: BinaryIO, *, whole: bool = True) -> int:
    """Bytes of the content as declared, wrapped to 32 bits without zip64 fields: of all members or, unless
    the file is `whole`, of the first; 0 if unknown. Raises SnapshotRefused as `Archive` does."""
    if whole:
        return sum(info.file_size for info in Archive(file).members)
    head = _first_head(file)
    return 0 if head is None else head.size


class _Head(NamedTuple):
    """The header of an entry: its name, the position of its compressed bytes, whether they are in deflate and
    not encrypted, and the bytes of its content (0 if unknown)."""

    name: str
    start: int
    in_deflate: bool
    size: int


def _first_head(file: BinaryIO) -> _Head | None:
    """That of the first entry, if it is enough to inflate a member."""
    head = _head_at(file, 0)
    return head if head is not None and head.in_deflate and _is_content(head.name) else None


def _head_at(file: BinaryIO, place: int) -> _Head | None:
    """The header of the entry that begins there; None if none does."""
    file.seek(place)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(b"PK\x03\x04"):
        return None
    flags, method, size, name_length, extra_length = _HEADER.unpack(header)
    name = file.read(name_length).decode("utf-8", "replace")
    start = place + len(header) + name_length + extra_length
    if flags & _SIZE_FOLLOWS:
        size = 0
    elif size == _SIZE_IN_ZIP64:
        size = int.from_bytes((_zip64_field(file.read(extra_length)) or b"")[:8], "little")
    return _Head(name, start, _is_deflated(method, flags), size)


def _zip64_field(extra: bytes) -> bytes | None:
    """The content of the zip64 field among an entry's extra fields (APPNOTE 4.5.3); None without one."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _ZIP64:
            return extra[4 : 4 + length]
        extra = extra[4 + length :]
    return None


def _is_content(name: str) -> bool:
    """Whether a member of that name contains records; folders and a readme do not."""
    return name.lower().endswith((".json", ".ndjson"))


def _is_deflated(method: int, flags: int) -> bool:
    return method == zipfile.ZIP_DEFLATED and not flags & ENCRYPTED


def _directory(file: BinaryIO, most: int) -> list[zipfile.ZipInfo]:
    """All entries, at most so many. Raises SnapshotRefused for a directory that cannot be used."""
    try:
        with zipfile.ZipFile(cast(BinaryIO, _Directory(file, most))) as archive:
            entries = archive.infolist()
    except (*_DAMAGE, OSError) as error:
        # zipfile hides an error of the disk behind its own BadZipFile; EINVAL is an invalid seek.
        failure = error if isinstance(error, OSError) else error.__context__
        if isinstance(failure, OSError) and failure.errno != errno.EINVAL:
            raise failure from None  # an error of the disk, not of the archive
        raise SnapshotRefused(
            f"the snapshot is a ZIP that is truncated or damaged: it has no usable directory ({error})"
        ) from None
    if len(entries) > most:
        raise _too_many(most)
    return entries


class _Directory:
    """The file for zipfile, which would read a directory of any size in one piece."""

    def __init__(self, file: BinaryIO, members: int) -> None:
        self._file = file
        self._members = members
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        most = self._members * _MOST_OF_ENTRY + _LONGEST_NAME
        data = self._file.read(min(size, most + 1) if size >= 0 else most + 1)
        if len(data) > most:
            raise _too_many(self._members)
        return data


def _too_many(members: int) -> SnapshotRefused:
    return SnapshotRefused.over_limit("members", f"the snapshot's ZIP has more than {members} entries")
