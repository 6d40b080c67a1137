"""A snapshot on this machine's disk: one that was downloaded or still comes in, or one that a person gave."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal, cast

from ctisync.core import wire
from ctisync.core.model import MAX_OFFSET, Record
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import SnapshotRefused, StoreUnavailable, UsageError
from ctisync.feed.http.pass_limits import PassLimits
from ctisync.feed.snapshot import records as archive
from ctisync.feed.snapshot.partial_file import PartialFile, PartialReader
from ctisync.feed.snapshot.zip_stream import Member
from ctisync.harmless import quoted
from ctisync.own_files import reading

OffsetSource = Literal["file name", "member name", "highest line"]


class LocalSnapshot:
    """`ports.SnapshotFile`. `link`, `etag` and `announced` (size) are how the feed offered it; the files
    in `ours` are removed when it is discarded. `arriving`: what of it is still to come, with an `announced`
    size or without one. Raises as `bounds` do, too, and as what is arriving does."""

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
        """Bytes of it that were not here yet when it was opened, as far as that is known."""
        return 0 if self.size is None else self.size - self._have

    @property
    def unpacked_size(self) -> int:
        """About the bytes of its records; 0 while that is not known."""
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

    def member_name(self) -> str | None:
        """The name of the member that holds the records, when the file is a ZIP."""
        with self._opened() as file:
            return Member(file, self._pass_limits.limits).name if archive.is_zip(file) else None

    def close(self) -> None:
        if self._arriving is not None:
            self._arriving.close()

    def as_refused(self, reason: str) -> RefusedSnapshot:
        return RefusedSnapshot(link=self._link, etag=self._etag, size=self._announced, reason=reason)

    def discard(self) -> None:
        for path in self._ours:
            with suppress(OSError):  # the next pass tries again, and says so if it cannot
                path.unlink(missing_ok=True)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        with self._on_disk() as file:
            yield file if self._arriving is None else cast(BinaryIO, PartialReader(file, self._arriving))

    @contextmanager
    def _on_disk(self) -> Iterator[BinaryIO]:
        try:
            with reading(self.path) if self._ours else self.path.open("rb") as file:
                yield file
        except OSError as error:
            said = f"the snapshot {self.path} cannot be read: {error.strerror or error}"
            if self._ours:
                raise StoreUnavailable(
                    said, hint=f"look at the disk and the rights of {quoted(self.path.parent)}"
                ) from error
            raise UsageError(said, hint="give --from a file that can be read, or an address") from error


def open_given(path: Path, pass_limits: PassLimits) -> LocalSnapshot:
    """A snapshot file that a person gave; it is never removed. Raises UsageError when it cannot be read."""
    return LocalSnapshot(path, link=str(path), etag=None, announced=None, ours=(), pass_limits=pass_limits)


def given_offset(file: LocalSnapshot, name: str) -> tuple[int, OffsetSource]:
    """The offset that a given snapshot stands for, and what told it.

    `name` is the file's name or its address. The highest offset of the lines, for which the whole
    file is read, can be too low: when the last changes before the snapshot were deletes.
    Raises SnapshotRefused when the file cannot be used at all.
    """
    offset, source = _told_offset(file, name)
    if offset == 0:
        raise SnapshotRefused("it stands for offset 0, from which nothing can be followed")
    return offset, source


def _told_offset(file: LocalSnapshot, name: str) -> tuple[int, OffsetSource]:
    if (offset := wire.offset_in_name(name)) is not None:
        return offset, "file name"
    member = file.member_name()
    if member is not None and (offset := wire.offset_in_name(member)) is not None:
        return offset, "member name"
    highest = max(record.offset for batch in file.records(MAX_OFFSET) for record in batch)
    return highest, "highest line"
