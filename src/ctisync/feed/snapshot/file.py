"""A snapshot on this host's disk: one that was or is being downloaded, or a file that you passed.

A file that is being downloaded can be read: each read waits for the bytes that it needs. There is no second
thread. While the caller works on the bytes that it has read, the kernel's buffers receive what the server
sends. That is enough, because reads are small and frequent.
"""

import io
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, cast

from ctisync.core import wire
from ctisync.core.model import MAX_OFFSET, Record
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import SnapshotRefused, StoreUnavailable, UsageError
from ctisync.escaping import quoted
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.snapshot import records as archive
from ctisync.feed.snapshot.download import Offer
from ctisync.feed.snapshot.zip_stream import Archive
from ctisync.ports import SnapshotFile
from ctisync.system.files import open_own


class PartialReader:
    """The part of BinaryIO that reading a snapshot needs, on the file of the download."""

    def __init__(self, file: BinaryIO, rest: Iterator[int]) -> None:
        """`rest`: the running download, which yields after each piece that it has written."""
        self._file = file
        self._rest = rest
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """Waits for the bytes. Returns fewer than `size` only at the end of the download."""
        end = self._file.tell() + size
        while os.fstat(self._file.fileno()).st_size < end and next(self._rest, None) is not None:
            pass
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """`SEEK_END` waits for the end of the download."""
        if whence == io.SEEK_END:
            for _ in self._rest:
                pass
        return self._file.seek(offset, whence)


OffsetSource = Literal["file name", "member name", "manifest", "highest line"]


@dataclass(eq=False)
class LocalSnapshot:
    """`ports.SnapshotFile`.

    `offer`: the feed's. `ours`: the files that `discard` removes. `arriving`: the rest of a running download,
    which yields after each piece; `records` raises its errors, too. `position`: see `ports.SnapshotFile`.
    Raises StoreUnavailable, or UsageError for a file that you passed, if the file cannot be read.
    """

    path: Path
    offer: Offer
    pass_limits: PassLimits
    ours: tuple[Path, ...] = ()
    arriving: Generator[int] | None = None
    position: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        with self._on_disk() as file:
            self._have = os.fstat(file.fileno()).st_size

    @property
    def size(self) -> int | None:
        return self._have if self.arriving is None else self.offer.size

    @property
    def unpacked_size(self) -> int:
        """Estimated bytes of its records; 0 if unknown."""
        if self.size is None:
            return 0
        with self._opened() as file:
            return archive.unpacked_size(file, self.size, whole=self.arriving is None)

    def check_disk_space(self) -> None:
        if self.pass_limits.disk is not None:
            to_come = 0 if self.size is None else self.size - self._have
            self.pass_limits.disk.check(self.unpacked_size, to_come)

    def records(self, highest_offset: int) -> Iterator[list[Record]]:
        whole = self.arriving is None
        with self._opened() as file:
            for batch in archive.records(file, highest_offset, self.pass_limits.limits, whole=whole):
                self.pass_limits.check_time()
                self.position = file.tell()
                yield batch
            self.position = file.seek(0, io.SEEK_END)

    def member_names(self) -> list[str]:
        """The names of the members with the records, if the file is a ZIP."""
        with self._opened() as file:
            if not archive.is_zip(file):
                return []
            return [info.filename for info in Archive(file, self.pass_limits.limits).members]

    def close(self) -> None:
        # The caller stops early because of an error, which it reports: one of the disk is ignored here.
        if self.arriving is not None:
            with suppress(StoreUnavailable):
                self.arriving.close()

    def as_refused(self, reason: str) -> RefusedSnapshot:
        offer = self.offer
        return RefusedSnapshot(link=offer.link, etag=offer.etag, size=offer.size, reason=reason)

    def discard(self) -> None:
        for path in self.ours:
            with suppress(OSError):  # the next pass tries again, and reports an error
                path.unlink(missing_ok=True)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        with self._on_disk() as file:
            yield file if self.arriving is None else cast(BinaryIO, PartialReader(file, self.arriving))

    @contextmanager
    def _on_disk(self) -> Iterator[BinaryIO]:
        try:
            with open_own(self.path) if self.ours else self.path.open("rb") as file:
                yield file
        except OSError as error:
            message = f"the snapshot {self.path} cannot be read: {error.strerror or error}"
            if self.ours:
                raise StoreUnavailable(
                    message, hint=f"check the disk and the permissions of {quoted(self.path.parent)}"
                ) from error
            raise UsageError(message, hint="pass a readable file, or an address") from error


def open_file(path: Path, pass_limits: PassLimits) -> LocalSnapshot:
    """A snapshot file that you passed; it is never removed. Raises UsageError if it cannot be read."""
    return LocalSnapshot(path, Offer(str(path)), pass_limits)


def snapshot_offset(file: SnapshotFile, name: str, packaged: int | None = None) -> tuple[int, OffsetSource]:
    """The offset of a snapshot that you passed, and its source.

    `packaged`: the offset in its manifest, or the highest of its lines if that is higher (API fact). `name`:
    the file's name or its address. Without an offset in a name, the whole file is read for the
    highest offset of its lines. That is too low if the last changes before the snapshot were deletes.
    Raises SnapshotRefused if the file cannot be used.
    """
    offset, source = _named_offset(file, name) if packaged is None else (packaged, "manifest")
    if offset is None or packaged is not None:
        highest = max(record.offset for batch in file.records(MAX_OFFSET) for record in batch)
        if offset is None or highest > offset:
            offset, source = highest, "highest line"
    if offset == 0:
        raise SnapshotRefused("its offset is 0, from which ctisync cannot continue")
    return offset, source


def _named_offset(file: SnapshotFile, name: str) -> tuple[int | None, OffsetSource]:
    """The offset in the name of the file, or in those of all members; None without one."""
    if (offset := wire.offset_in_name(name)) is not None:
        return offset, "file name"
    offsets = {wire.offset_in_name(member) for member in file.member_names()}
    return offsets.pop() if len(offsets) == 1 else None, "member name"
