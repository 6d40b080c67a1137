"""The files of a mirror in a bundle."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from ctisync.core.bundle import BLOCK, END, member_of
from ctisync.core.manifest import WrongMirror
from ctisync.errors import FeedRefused
from ctisync.feed.mirror_files import Folders, StreamedFiles
from ctisync.feed.snapshot.spool import SpoolFolder
from ctisync.system.files import STDOUT, open_any, open_own
from ctisync.system.process import standard_input

_MOST_MEMBERS: Final = 20_000
"""More than a manifest can name."""

_MOST_NAMED: Final = 5


@contextmanager
def opened_bundle(path: Path, spool: SpoolFolder) -> Iterator["TarFiles"]:
    """A bundle that is a regular file is read where it is, another one, such as `-`, from a copy in the
    spool."""
    with ExitStack() as opened:
        file = standard_input() if path == STDOUT else opened.enter_context(open_any(path))
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            copy = spool.store_stream(file, str(path))
            file = opened.enter_context(open_own(copy.path))
            copy.discard()  # it stays until it is closed
        yield TarFiles(file, str(path))


class TarFiles(StreamedFiles):
    """`mirror_files.MirrorFiles` of a bundle, the `file`; `name`: for messages. Raises FeedRefused if it is
    none, and for a file that is not in it: waiting does not bring it."""

    hint = "copy the bundle again, or make it anew"

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__()
        self._file = file
        self._name = name
        self._places: dict[str, tuple[int, int]] = {}
        try:
            self._read_headers()
        except WrongMirror as error:
            raise self._refused(str(error)) from None
        except OSError as error:
            raise self._refused(str(error.strerror)) from None

    def _read_headers(self) -> None:
        """Of each member, where its content begins and ends."""
        at = 0
        while (member := member_of(os.pread(self._file.fileno(), BLOCK, at))) is not None:
            if member.path in self._places or len(self._places) == _MOST_MEMBERS:
                raise WrongMirror(f"{member.path} is there twice, or is one of too many")
            self._places[member.path] = (at + BLOCK, at + BLOCK + member.size)
            at += BLOCK + member.blocks_size
        if os.fstat(self._file.fileno()).st_size != at + len(END):
            raise WrongMirror("it is cut off, or has more than a bundle")

    @contextmanager
    def opened(self, folders: Folders, name: str) -> Iterator[BinaryIO]:
        if not self.has(folders, name):
            others = sorted({path.rpartition("/")[0] for path in self._places})[:_MOST_NAMED]
            raise self._refused(f"it has no {name} of {'/'.join(folders)}, but files of {', '.join(others)}")
        try:
            yield cast(BinaryIO, _Part(self._file.fileno(), *self._places["/".join((*folders, name))]))
        except OSError as error:
            raise self._refused(str(error.strerror)) from None

    def has(self, folders: Folders, name: str) -> bool:
        return "/".join((*folders, name)) in self._places

    def place(self, folders: Folders) -> str:
        return "/".join((self._name, *folders))

    def _refused(self, why: str) -> FeedRefused:
        return FeedRefused(f"the bundle {self._name} cannot be used: {why}", hint=self.hint)


class _Part:
    """Reads a part of a file."""

    def __init__(self, file: int, begin: int, end: int) -> None:
        self._file = file
        self._at = begin
        self._end = end

    def read(self, size: int) -> bytes:
        piece = os.pread(self._file, min(size, self._end - self._at), self._at)
        self._at += len(piece)
        return piece
