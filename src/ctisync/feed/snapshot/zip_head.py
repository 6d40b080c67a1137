"""A snapshot's ZIP while it is downloaded: its directory, which names the members, comes last.

The entries are inflated one after the other, each by its own header; the results are compared with the
directory at the end. A member that cannot be read by its header alone, and those after it, are read then.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, Final

from ctisync.core.limits import Limits
from ctisync.errors import SnapshotChanged, SnapshotRefused
from ctisync.feed.snapshot.compressed import BEST, Codec
from ctisync.feed.snapshot.zip_stream import (
    Archive,
    Content,
    Head,
    Sizes,
    Unpacked,
    head_at,
    is_content,
)

_SIZES: Final = (struct.Struct("<LLL"), struct.Struct("<LQQ"))
"""What follows a member whose header does not have its sizes: CRC, packed size, size; in zip64 the latter."""
_SIGNATURES: Final = (b"PK\x07\x08", b"")
_LONGEST: Final = 24


def read_head(file: BinaryIO) -> Head | None:
    """The header of the first entry, if it is enough to inflate it: the content in deflate, not encrypted.
    Else None."""
    head = head_at(file, 0)
    return head if head is not None and head.in_deflate and is_content(head.name) else None


class Arriving:
    """The snapshot in a ZIP, as `Archive`, if possible before the download has ended."""

    def __init__(self, file: BinaryIO, limits: Limits, codec: Codec = BEST) -> None:
        self._file = file
        self._limits = limits
        self._codec = codec
        self._sizes = Sizes()
        self._read: list[Content] = []
        self._entries = 0

    def contents(self) -> Iterator[Unpacked]:
        """As `Archive.contents`. Errors that only the directory shows are raised at the end: SnapshotChanged
        if it does not name an entry that was read."""
        place: int | None = 0
        while place is not None and (head := self._next(place)) is not None:
            content = Content(self._file, head.name, self._limits.ratio, self._codec, self._sizes)
            content.start = head.start
            self._read.append(content)
            yield head.name, content.inflated()
            place = self._end_of_sizes(content) if head.follows else content.end
        archive = Archive(self._file, self._limits, self._codec, self._sizes)
        self._check_names(archive)
        for content in self._read:
            archive.confirm(content)
        yield from archive.contents()

    def check(self) -> None:
        """Raises SnapshotChanged if the directory does not name an entry that was read: then errors of the
        latter do not matter. Waits for the end of the download."""
        with suppress(SnapshotRefused):  # an unusable directory names no other entry
            self._check_names(Archive(self._file, self._limits))

    def _check_names(self, archive: Archive) -> None:
        for number, content in enumerate(self._read):
            if not archive.has(content):
                which = f"number {number + 1}" if number else "the first one"
                raise SnapshotChanged(f"the ZIP's directory names another entry than {which}")

    def _next(self, place: int) -> Head | None:
        """The next entry with records, if its header is enough to inflate it; other files are skipped."""
        while self._entries < self._limits.members:  # the directory shows whether there are more
            self._entries += 1
            head = head_at(self._file, place)
            if head is None:
                return None
            if is_content(head.name):
                return head if head.in_deflate else None
            if head.end is None:
                return None
            place = head.end
        return None

    def _end_of_sizes(self, content: Content) -> int | None:
        """The end of the sizes that follow a member; None if what follows does not have them."""
        self._file.seek(content.end)
        following = self._file.read(_LONGEST)
        for sizes in _SIZES:
            most = 2 ** (4 * (sizes.size - 4))
            packed_sizes = sizes.pack(content.crc, content.packed % most, content.size % most)
            for signature in _SIGNATURES:
                if following.startswith(signature + packed_sizes):
                    return content.end + len(signature + packed_sizes)
        return None
