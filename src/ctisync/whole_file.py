"""A file that is written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(target: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its place at the end, on the disk, when nothing went wrong. Else it
    is gone, and `target` is what it was.

    `mode`: its permissions, whatever the umask. What a link points to is replaced, not the link. A device
    or a pipe is written to as it is: it cannot be replaced without doing harm. Raises OSError.
    """
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    place = target.resolve()
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
        _sync_folder(place.parent)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def _sync_folder(folder: Path) -> None:
    """Else the new name may be gone after a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
