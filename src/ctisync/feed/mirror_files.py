"""Where the files of a mirror come from."""

import errno
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol, cast

from ctisync.core.manifest import MirroredSnapshot, WrongMirror
from ctisync.core.pass_report import Traffic
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import FeedRefused, FeedUnreachable, SnapshotRefused
from ctisync.escaping import quoted
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.feed.snapshot.spool import SpoolFolder
from ctisync.system.files import open_inside

_MISSING: Final = (errno.ENOENT, errno.ESTALE)

Folders = tuple[str, ...]
"""Names of folders below the root of the mirror: those of the consumer's context and of its name."""


class Download(NamedTuple):
    """What a snapshot is to be copied to. `refused`, `keep_alive`: as for `ports.PassFeed.fetch_snapshot`."""

    entry: MirroredSnapshot
    spool: SpoolFolder
    refused: RefusedSnapshot | None
    keep_alive: Callable[[], None]


class MirrorFiles(Traffic, Protocol):
    """The files of a mirror, which may be damaged, incomplete, or change while they are read.

    Raises FeedUnreachable, with `is_missing`, for a file that is not there, and FeedRefused for one that
    cannot be read.
    """

    is_persistent: bool
    """Whether a request that failed is sent again."""

    def has(self, folders: Folders, name: str) -> bool:
        """False only if it is sure, without a look, that the file is not there."""

    @property
    def hint(self) -> str:
        """What heals a file with other bytes than it should have."""

    def place(self, folders: Folders) -> str:
        """For messages."""

    def read(self, folders: Folders, name: str, most: int) -> bytes:
        """The content of a file; of one with more than `most` bytes, that many and one more."""

    def fetch(self, folders: Folders, download: Download) -> LocalSnapshot:
        """A copy of the file in the spool, which has the size and the digest of its entry. Raises WrongMirror
        or SnapshotRefused for one that has not, and SnapshotRefused as `ports.PassFeed.fetch_snapshot`."""

    def tidy(self, spool: SpoolFolder) -> None:
        """Remove what dead passes have left. The mirror was read to its end."""


class StreamedFiles(ABC):
    """`MirrorFiles` of which each is a stream."""

    retries = 0

    def __init__(self) -> None:
        self.received = 0
        self.is_persistent = True

    @abstractmethod
    def opened(self, folders: Folders, name: str) -> AbstractContextManager[BinaryIO]:
        """Raises what `MirrorFiles` raises, also in the block."""

    def read(self, folders: Folders, name: str, most: int) -> bytes:
        with self.opened(folders, name) as file:
            content = file.read(most + 1)
        self.received += len(content)
        return content

    def fetch(self, folders: Folders, download: Download) -> LocalSnapshot:
        entry, spool, refused, keep_alive = download
        if refused is not None and refused.link == entry.name:
            raise SnapshotRefused(f"the mirror still has the refused snapshot: {refused.reason}")
        with self.opened(folders, entry.name) as file:
            source = _Checked(file, entry, keep_alive)
            snapshot = spool.store_stream(cast(BinaryIO, source), entry.name)
        self.received += entry.size
        return snapshot

    def has(self, _folders: Folders, _name: str) -> bool:
        return True

    def tidy(self, spool: SpoolFolder) -> None:
        spool.tidy()


class _Checked:
    """A snapshot's file, of which a copy is made; the end raises WrongMirror unless it was the right one."""

    def __init__(self, file: BinaryIO, entry: MirroredSnapshot, meanwhile: Callable[[], None]) -> None:
        self._file = file
        self._entry = entry
        self._meanwhile = meanwhile
        self._digest = hashlib.sha256()
        self._size = 0

    def read(self, size: int) -> bytes:
        self._meanwhile()
        try:
            piece = self._file.read(size)
        except OSError as error:
            raise WrongMirror(f"it cannot be read: {error.strerror}") from None
        self._size += len(piece)
        self._digest.update(piece)
        is_whole = (self._size, self._digest.hexdigest()) == (self._entry.size, self._entry.sha256)
        if self._size > self._entry.size or not (piece or is_whole):
            raise WrongMirror("it is damaged: it has not the size and the digest that it should")
        return piece


class LocalFiles(StreamedFiles):
    """A folder: on a disk, a stick, a network disk, or a copy that is not finished."""

    hint = "copy the mirror again (each file is checked against its digest)"

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    @contextmanager
    def opened(self, folders: Folders, name: str) -> Iterator[BinaryIO]:
        try:
            with open_inside(self._root, folders, name) as file:
                yield file
        except OSError as error:
            folder, place = self.place(folders), error.filename or name
            if error.errno in _MISSING:
                raise FeedUnreachable(
                    f"the mirror {folder} is not complete: {place}: {error.strerror}",
                    hint=f"mount the disk, or copy the mirror again; then: ls -l {quoted(folder)}",
                    is_missing=True,
                ) from None
            raise FeedRefused(
                f"the mirror {folder} cannot be read: {place}: {error.strerror}",
                hint=f"ls -l {quoted(folder)}",
            ) from None

    def place(self, folders: Folders) -> str:
        return str(self._root.joinpath(*folders))
