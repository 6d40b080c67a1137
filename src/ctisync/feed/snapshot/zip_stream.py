"""The members of a snapshot's ZIP, inflated as streams.

`zipfile` finds the members, but cannot read them: it stops at the declared size. Real snapshots are over
4 GiB without zip64 fields, so their sizes are wrapped to 32 bits (API fact).
"""

import errno
import io
import struct
import zipfile
from bisect import bisect
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import BinaryIO, Final, NamedTuple, cast

from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.errors import SnapshotRefused
from ctisync.feed.http.budget import PIECE
from ctisync.feed.snapshot.compressed import BEST, FREE, Codec

_READ: Final = 128 << 10
_MOST_OF_ENTRY: Final = 1024
"""Bytes of one entry in a ZIP's directory, on average. An entry has 46 and its name."""
_LONGEST_NAME: Final = 128 << 10
"""Bytes of a name, or of the comment at the end."""
_WRAP: Final = 1 << 32
_HEADER: Final = struct.Struct("<4s2xHH8xLLHH")
"""A local header: signature, flags, method, packed size, size of the content, lengths of name and extra
fields."""
_SIZE_FOLLOWS: Final = 0x8
_SIZE_ELSEWHERE: Final = 0xFFFFFFFF
# zipfile raises these for a damaged archive, and EINVAL from an invalid seek.
_NO_DIRECTORY: Final = (
    zipfile.BadZipFile,
    struct.error,
    NotImplementedError,
    ValueError,
    OverflowError,
    EOFError,
)
ENCRYPTED: Final = 0x1 | 0x40
_ZIP64: Final = 0x0001


Unpacked = tuple[str, Iterator[bytes]]
"""The name of a member, and its content in pieces of at most 1 MiB. Read it to its end before the next."""


class Sizes:
    """Bytes of all members that were read so far: in the file, and unpacked."""

    def __init__(self) -> None:
        self.packed = 0
        self.unpacked = 0


class Archive:
    """The snapshot in a ZIP: all members whose names end with .json or .ndjson.

    Folders and other files (a readme) are ignored. Raises SnapshotRefused if there is no such member, for a
    ZIP that cannot be read, and for one that exceeds `limits`. `sizes`: those of members read before.
    """

    def __init__(
        self,
        file: BinaryIO,
        limits: Limits = USUAL_LIMITS,
        codec: Codec = BEST,
        sizes: Sizes | None = None,
    ) -> None:
        try:
            with zipfile.ZipFile(cast(BinaryIO, _Directory(file, limits.members))) as archive:
                entries = archive.infolist()
                directory = archive.start_dir
            end = file.seek(0, io.SEEK_END)
        except (*_NO_DIRECTORY, OSError) as error:
            # zipfile hides an error of the disk behind its own BadZipFile; EINVAL is an invalid seek.
            failure = error if isinstance(error, OSError) else error.__context__
            if isinstance(failure, OSError) and failure.errno != errno.EINVAL:
                raise failure from None  # an error of the disk, not of the archive
            raise SnapshotRefused(
                f"the snapshot is a ZIP that is truncated or damaged: it has no usable directory ({error})"
            ) from None
        if len(entries) > limits.members:
            raise _too_many(limits.members)
        self._file = file
        self._ratio = limits.ratio
        self._codec = codec
        self._sizes = sizes or Sizes()
        # Only the next entry, or the directory, shows how far a stored member may extend.
        starts = [*(info.header_offset for info in entries), directory]
        self._members = [Member(info, file, end, starts) for info in _contents(entries)]
        self._confirmed: set[Member] = set()
        self._read: list[tuple[int, int, str]] = []

    @property
    def names(self) -> list[str]:
        return [member.name for member in self._members]

    @property
    def declared_size(self) -> int:
        """Bytes of the content as declared: wrapped to 32 bits if the ZIP has no zip64 fields."""
        return sum(member.declared_size for member in self._members)

    def contents(self) -> Iterator[Unpacked]:
        """The members that are not confirmed yet. The pieces raise SnapshotRefused for damage and for a
        compression ratio above limits.ratio, and *at the end* for a CRC or a size that differs from the
        declared one."""
        for member in self._members:
            if member not in self._confirmed:
                content = Content(self._file, member.name, self._ratio, self._codec, self._sizes)
                yield member.name, member.pieces(content)
                self._note(content)

    def has(self, content: "Content") -> bool:
        """Whether a member begins where this content was read, packed as it was read. Raises SnapshotRefused
        for damage."""
        return content.start in self._in_deflate

    def confirm(self, content: "Content") -> None:
        """Compare a content that was read before with its member. Raises SnapshotRefused for damage."""
        member = self._in_deflate[content.start]
        member.confirm(content)
        self._confirmed.add(member)
        self._note(content)

    @cached_property
    def _in_deflate(self) -> dict[int, "Member"]:
        """By the position of their compressed bytes; of several at one position, the first."""
        return {member.start: member for member in reversed(self._members) if member.in_deflate}

    def _note(self, content: "Content") -> None:
        """Refuse two members that overlap: a few bytes could otherwise be unpacked a thousand times."""
        place = bisect(self._read, (content.start, content.end, content.name))
        for start, end, name in self._read[max(0, place - 1) : place + 1]:
            if content.start < end and start < content.end:
                raise SnapshotRefused(
                    f"the snapshot is damaged: {content.name} and {name} overlap in the ZIP"
                )
        self._read.insert(place, (content.start, content.end, content.name))


class Member:
    """One member, by the directory of the ZIP. `end`: the size of the file. `starts`: of everything in it."""

    def __init__(self, info: zipfile.ZipInfo, file: BinaryIO, end: int, starts: Sequence[int]) -> None:
        self._info = info
        self._file = file
        self._end = end
        self._starts = starts

    @property
    def name(self) -> str:
        return self._info.filename

    @property
    def declared_size(self) -> int:
        return self._info.file_size

    @property
    def in_deflate(self) -> bool:
        """Whether it is packed in deflate, and not encrypted."""
        info = self._info
        return info.compress_type == zipfile.ZIP_DEFLATED and not info.flag_bits & ENCRYPTED

    def pieces(self, content: "Content") -> Iterator[bytes]:
        """The member's bytes, which `content` reads; see `Archive.contents`."""
        if self._info.flag_bits & ENCRYPTED:
            raise SnapshotRefused(f"the snapshot's member {self.name} is encrypted")
        content.start = self.start
        match self._info.compress_type:
            case zipfile.ZIP_DEFLATED:
                yield from content.inflated()
            case zipfile.ZIP_STORED:
                yield from content.stored(self._stored_size(content.start))
            case other:
                raise SnapshotRefused(
                    f"the snapshot's member {self.name} uses compression method {other}; "
                    "ctisync supports only 0 and 8"
                )
        self.confirm(content)

    def confirm(self, content: "Content") -> None:
        """Compare the content with the directory. Raises SnapshotRefused for damage."""
        self._check("packed size", self._info.compress_size, content.packed)
        self._check("size", self._info.file_size, content.size)
        if content.crc != self._info.CRC:
            raise SnapshotRefused(
                f"the snapshot is damaged: {self.name} has CRC {content.crc:08x}, declared is "
                f"{self._info.CRC:08x}"
            )

    @cached_property
    def start(self) -> int:
        """The position of the compressed bytes: after the local header, by the lengths in that header. Raises
        SnapshotRefused for damage."""
        offset = self._info.header_offset
        # zipfile interprets a wrapped offset as bytes before the archive; a damaged one may be anywhere.
        for place in (offset, offset % _WRAP):
            if 0 <= place < self._end and (head := head_at(self._file, place)) is not None:
                return head.start
        raise SnapshotRefused(f"the snapshot is damaged: {self.name} is not where the ZIP's directory says")

    def _stored_size(self, start: int) -> int:
        """Only its size gives a stored member's end: a wrapped size extends as far as there is room."""
        end = min((place for place in self._starts if place > start), default=start)
        return stored_size(self._info.compress_size, end - start, _has_zip64(self._info.extra))

    def _check(self, what: str, declared: int, actual: int) -> None:
        if not same_size(declared, actual, _has_zip64(self._info.extra)):
            raise SnapshotRefused(
                f"the snapshot is damaged: the {what} of {self.name} is {actual}, declared is {declared}"
            )


class Content:
    """A member's bytes from `start` on. `packed`, `size` and `crc` count what was read; `sizes` counts those
    of all members, to which the ratio applies."""

    def __init__(self, file: BinaryIO, name: str, ratio: int, codec: Codec, sizes: Sizes) -> None:
        self._file = file
        self._ratio = ratio
        self._codec = codec
        self._sizes = sizes
        self.name = name
        self.start = 0
        self.packed = 0
        self.size = 0
        self.crc = 0

    @property
    def end(self) -> int:
        return self.start + self.packed

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

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if not data:
            raise SnapshotRefused(f"the snapshot is truncated: {self.name} ends in the middle")
        self._count_packed(len(data))
        return data

    def _count_packed(self, count: int) -> None:
        self.packed += count
        self._sizes.packed += count

    def _counted(self, piece: bytes) -> bytes:
        self.crc = self._codec.crc32(piece, self.crc)
        self.size += len(piece)
        sizes = self._sizes
        sizes.unpacked += len(piece)
        if sizes.unpacked > FREE and sizes.unpacked > self._ratio * sizes.packed:
            raise SnapshotRefused.over_limit(
                "ratio", f"{self.name} of the ZIP has a compression ratio above {self._ratio}"
            )
        return piece


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


def same_size(declared: int, actual: int, zip64: bool) -> bool:
    """Whether a member has the declared size: exactly, or, without zip64 fields, in the lower 32 bits (real
    snapshots over 4 GiB are written so)."""
    return declared == actual or (not zip64 and declared == actual % _WRAP)


def stored_size(declared: int, room: int, zip64: bool) -> int:
    """The true size of a stored member with at most `room` bytes: the largest that wraps to `declared`."""
    return declared if zip64 or room < declared else declared + (room - declared) // _WRAP * _WRAP


def is_content(name: str) -> bool:
    """Whether a member of that name contains records; folders and a readme do not."""
    return name.lower().endswith((".json", ".ndjson"))


def _contents(entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    contents = [info for info in entries if is_content(info.filename)]
    if not contents:
        names = ", ".join(repr(info.filename[:80]) for info in entries[:5]) or "nothing"
        raise SnapshotRefused(
            f"the snapshot's ZIP must contain .json or .ndjson files, but it has 0 (in it: {names})"
        )
    return contents


class Head(NamedTuple):
    """The header of an entry: its name, the position of its compressed bytes, and the bytes of its content (0
    if unknown). `end`: of the compressed bytes; None if it is unknown. `follows`: its sizes follow it."""

    name: str
    start: int
    declared_size: int
    end: int | None
    follows: bool
    in_deflate: bool


def head_at(file: BinaryIO, place: int) -> Head | None:
    """The header of the entry that begins there; None if none does."""
    file.seek(place)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    signature, flags, method, packed, size, name_length, extra_length = _HEADER.unpack(header)
    if signature != b"PK\x03\x04":
        return None
    name = file.read(name_length).decode("utf-8", "replace")
    extra = file.read(extra_length)
    start = place + _HEADER.size + name_length + extra_length
    follows = bool(flags & _SIZE_FOLLOWS)
    end = None if follows or packed == _SIZE_ELSEWHERE else start + packed
    if follows:
        size = 0
    elif size == _SIZE_ELSEWHERE:
        size = int.from_bytes((_zip64_field(extra) or b"")[:8], "little")
    in_deflate = method == zipfile.ZIP_DEFLATED and not flags & ENCRYPTED
    return Head(name, start, size, end, follows, in_deflate)


def _zip64_field(extra: bytes) -> bytes | None:
    """The content of the zip64 field among an entry's extra fields (APPNOTE 4.5.3); None without one."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _ZIP64:
            return extra[4 : 4 + length]
        extra = extra[4 + length :]
    return None


def _has_zip64(extra: bytes) -> bool:
    return _zip64_field(extra) is not None
