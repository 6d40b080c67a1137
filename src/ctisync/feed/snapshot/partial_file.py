"""A file that is read while it is being downloaded: each read waits for the bytes that it needs.

There is no second thread. While the caller works on the bytes that it has read, the kernel's buffers receive
what the server sends. That is enough, because reads are small and frequent.
"""

import io
import os
from collections.abc import Generator
from contextlib import suppress
from typing import BinaryIO

from ctisync.errors import StoreUnavailable


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
