"""A snapshot on this host's disk: one that was or is being downloaded, or a file that you passed.

A file that is being downloaded can be read: each read waits for the bytes that it needs. There is no second
thread. While the caller works on the bytes that it has read, the kernel's buffers receive what the server
sends. That is enough, because reads are small and frequent.
"""

import io
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal, cast

from ctisync.core import wire
from ctisync.core.model import MAX_OFFSET, Record
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import SnapshotRefused, StoreUnavailable, UsageError
from ctisync.escaping import quoted
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.snapshot import records as archive
from ctisync.feed.snapshot.zip_stream import Archive
from ctisync.system.files import open_own


class PartialFile:
    """The rest of a download. `coming` yields after each piece that it has written, and ends after the
    last."""

    def __init__(self, coming: Generator[None]) -> None:
        self._coming = coming

    def more(self) -> bool:
        """Wait for the next piece. False if the download is complete. Raises the download's errors."""
        try:
            next(self._coming)
        except StopIteration:
            return False
        return True

    def close(self) -> None:
        """Stop the download; the received bytes stay on the disk.

        The caller stops early because of an error, which it reports: an error of the disk is ignored here.
        """
        with suppress(StoreUnavailable):
            self._coming.close()


class PartialReader:
    """The part of BinaryIO that reading a snapshot needs, on the file of the download."""

    def __init__(self, file: BinaryIO, rest: PartialFile) -> None:
        self._file = file
        self._rest = rest

    def read(self, size: int) -> bytes:
        """Waits for the bytes. Returns fewer than `size` only at the end of the download."""
        end = self._file.tell() + size
        while os.fstat(self._file.fileno()).st_size < end and self._rest.more():
            pass
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """`SEEK_END` waits for the end of the download."""
        while whence == io.SEEK_END and self._rest.more():
            pass
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


OffsetSource = Literal["file name", "member name", "manifest", "highest line"]


class LocalSnapshot:
    """`ports.SnapshotFile`.

    `link`, `etag` and `announced` (size in bytes) describe the feed's offer. `ours`: the files that `discard`
    removes. `arriving`: the rest of a running download, whose errors `records` raises, too. Raises
    StoreUnavailable, or UsageError for a file that you passed, if the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        link: str,
        etag: str | None,
        announced: int | None,
        ours: tuple[Path, ...],
        pass_limits: PassLimits,
        arriving: PartialFile | None = None,
    ) -> None:
        self.path = path
        self._link = link
        self._etag = etag
        self._announced = announced
        self._ours = ours
        self._pass_limits = pass_limits
        self._arriving = arriving
        self._position = 0
        with self._on_disk() as file:
            self._have = os.fstat(file.fileno()).st_size

    @property
    def size(self) -> int | None:
        return self._have if self._arriving is None else self._announced

    @property
    def to_come(self) -> int:
        """Bytes that were not downloaded yet when it was opened; 0 if unknown."""
        return 0 if self.size is None else self.size - self._have

    @property
    def unpacked_size(self) -> int:
        """Estimated bytes of its records; 0 if unknown."""
        if self.size is None:
            return 0
        with self._opened() as file:
            if self._arriving is None:
                return archive.unpacked_size(file, self.size)
            return archive.unpacked_size_by_head(file, self.size)

    @property
    def position(self) -> int:
        return self._position

    def records(self, highest_offset: int) -> Iterator[list[Record]]:
        whole = self._arriving is None
        with self._opened() as file:
            for batch in archive.records(file, highest_offset, self._pass_limits.limits, whole=whole):
                self._pass_limits.check_time()
                self._position = file.tell()
                yield batch
            self._position = file.seek(0, io.SEEK_END)

    def member_names(self) -> list[str]:
        """The names of the members with the records, if the file is a ZIP."""
        with self._opened() as file:
            return Archive(file, self._pass_limits.limits).names if archive.is_zip(file) else []

    def close(self) -> None:
        if self._arriving is not None:
            self._arriving.close()

    def as_refused(self, reason: str) -> RefusedSnapshot:
        return RefusedSnapshot(link=self._link, etag=self._etag, size=self._announced, reason=reason)

    def discard(self) -> None:
        for path in self._ours:
            with suppress(OSError):  # the next pass tries again, and reports an error
                path.unlink(missing_ok=True)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        with self._on_disk() as file:
            yield file if self._arriving is None else cast(BinaryIO, PartialReader(file, self._arriving))

    @contextmanager
    def _on_disk(self) -> Iterator[BinaryIO]:
        try:
            with open_own(self.path) if self._ours else self.path.open("rb") as file:
                yield file
        except OSError as error:
            said = f"the snapshot {self.path} cannot be read: {error.strerror or error}"
            if self._ours:
                raise StoreUnavailable(
                    said, hint=f"check the disk and the permissions of {quoted(self.path.parent)}"
                ) from error
            raise UsageError(said, hint="pass a readable file or an address to --from") from error


def open_given(path: Path, pass_limits: PassLimits) -> LocalSnapshot:
    """A snapshot file that you passed; it is never removed. Raises UsageError if it cannot be read."""
    return LocalSnapshot(path, link=str(path), etag=None, announced=None, ours=(), pass_limits=pass_limits)


def given_offset(file: LocalSnapshot, name: str, packaged: int | None = None) -> tuple[int, OffsetSource]:
    """The offset of a given snapshot, and its source.

    `packaged`: the offset in its manifest, or the highest of its lines if that is higher (API fact). `name`:
    the file's name or its address. Without an offset in a name, the whole file is read for the
    highest offset of its lines. That is too low if the last changes before the snapshot were deletes.
    Raises SnapshotRefused if the file cannot be used.
    """
    offset, source = _told_offset(file, name) if packaged is None else _at_least(file, packaged)
    if offset == 0:
        raise SnapshotRefused("its offset is 0, from which ctisync cannot continue")
    return offset, source


def _told_offset(file: LocalSnapshot, name: str) -> tuple[int, OffsetSource]:
    if (offset := wire.offset_in_name(name)) is not None:
        return offset, "file name"
    found = {wire.offset_in_name(name) for name in file.member_names()}
    if len(found) == 1 and (offset := found.pop()) is not None:
        return offset, "member name"
    return _highest(file), "highest line"


def _at_least(file: LocalSnapshot, offset: int) -> tuple[int, OffsetSource]:
    highest = _highest(file)
    return (offset, "manifest") if offset >= highest else (highest, "highest line")


def _highest(file: LocalSnapshot) -> int:
    return max(record.offset for batch in file.records(MAX_OFFSET) for record in batch)
