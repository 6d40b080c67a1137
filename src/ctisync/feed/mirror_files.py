"""Where the files of a mirror come from."""

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from ctisync.errors import FeedRefused, FeedUnreachable
from ctisync.escaping import quoted
from ctisync.system.files import open_inside

_MISSING: Final = (errno.ENOENT, errno.ESTALE)

Folders = tuple[str, ...]
"""Names of folders below the root of the mirror: those of the consumer's context and of its name."""


class MirrorFiles(Protocol):
    """The files of a mirror, which may be damaged, incomplete, or change while they are read."""

    def opened(self, folders: Folders, name: str) -> AbstractContextManager[BinaryIO]:
        """Yields a stream of the file. Raises, also in the block: FeedUnreachable if the file is not there,
        FeedRefused if it cannot be read."""

    def has(self, folders: Folders, name: str) -> bool:
        """False only if it is sure, without a look, that the file is not there."""

    def place(self, folders: Folders) -> str:
        """For messages."""

    @property
    def hint(self) -> str:
        """What heals a file with other bytes than it should have."""


class LocalFiles:
    """A folder: on a disk, a stick, a network disk, or a copy that is not finished."""

    hint = "copy the mirror again (each file is checked against its digest)"

    def __init__(self, root: Path) -> None:
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
                ) from None
            raise FeedRefused(
                f"the mirror {folder} cannot be read: {place}: {error.strerror}",
                hint=f"ls -l {quoted(folder)}",
            ) from None

    def has(self, folders: Folders, name: str) -> bool:
        return True

    def place(self, folders: Folders) -> str:
        return str(self._root.joinpath(*folders))
