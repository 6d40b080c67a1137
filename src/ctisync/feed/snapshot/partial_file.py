"""A file that is read while it is being downloaded: each read waits for the bytes that it needs.

There is no second thread. While what was read is worked on, the kernel's buffers take in what the server
sends; that is enough, as reads are small and frequent.
"""

import io
import os
from collections.abc import Generator
from contextlib import suppress
from typing import BinaryIO

from ctisync.errors import StoreUnavailable


class PartialFile:
    """The rest of a download. `coming` yields after each piece that it has written, and ends with the
    last."""

    def __init__(self, coming: Generator[None]) -> None:
        self._coming = coming

    def more(self) -> bool:
        """Wait for the next piece; False when all is here. Raises whatever ends the download early."""
        try:
            next(self._coming)
        except StopIteration:
            return False
        return True

    def close(self) -> None:
        """Leave it; what came stays on the disk.

        Nobody leaves in the middle without a reason: that one is told, not a disk that fails once more.
        """
        with suppress(StoreUnavailable):
            self._coming.close()


class PartialReader:
    """What of a BinaryIO a snapshot's reader needs, over the file that the download is written to."""

    def __init__(self, file: BinaryIO, rest: PartialFile) -> None:
        self._file = file
        self._rest = rest

    def read(self, size: int) -> bytes:
        """Less than `size` bytes only at the file's true end."""
        end = self._file.tell() + size
        while os.fstat(self._file.fileno()).st_size < end and self._rest.more():
            pass
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Where the end is, is known only when all is here."""
        while whence == io.SEEK_END and self._rest.more():
            pass
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
