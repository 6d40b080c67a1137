"""Operations on the files below one folder as effects: the lock, the spool.

Without those of SQLite, which do not pass through Python: its statements are effects.
"""

import errno
import fcntl
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from tests.support.faults import Effect, Effects, How, When

_NAMED: Final = {
    ".alerts": "alerts",
    ".db": "database",
    ".json": "note",
    ".lock": "lock",
    ".part": "part",
    ".search": "index",
}
_TURN: Final = ".db.lock"
"""The file by which the writers of a database take turns: a part of each transaction."""

# Functions of `os` that are told a path or a descriptor first, but for `open`.
_BY_FIRST_ARGUMENT: Final = ("fsync", "ftruncate", "pwrite", "unlink", "replace", "rename", "mkdir")


def watch(folder: Path, effects: Effects) -> None:
    """Replace the functions with which this process works on files. For a process that runs one pass."""
    watched = _Watched(folder.resolve(), effects)
    os.open = watched.function("open", os.open)
    for name in _BY_FIRST_ARGUMENT:
        setattr(os, name, watched.function(name, getattr(os, name)))
    fcntl.flock = watched.function("flock", fcntl.flock)
    io.open = watched.opening(io.open)  # what pathlib and os.fdopen call


class _Watched:
    def __init__(self, folder: Path, effects: Effects) -> None:
        self._prefix = str(folder)
        self._effects = effects

    def function(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any, **named: Any) -> Any:
            effect = self._effect(name, first)
            if effect is None:
                return inner(first, *rest, **named)
            return self._effects.around(effect, lambda: inner(first, *rest, **named), _spoilt)

        return call

    def opening(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """Opens binary files of which each read and write is an effect; ctisync has no others in the
        folder."""

        def call(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            effect = self._effect("open", file)
            if effect is None or "b" not in mode:
                return inner(file, mode, *rest, **named)
            raw = self._effects.around(effect, lambda: self._raw(file, mode), _spoilt)
            return io.BufferedWriter(raw) if raw.writable() else io.BufferedReader(raw)

        return call

    def _raw(self, file: Any, mode: str) -> io.FileIO:
        effects, what = self._effects, _what(self._path(file) or "")

        class File(io.FileIO):
            def write(self, data: Any, /) -> int:
                return effects.around(
                    Effect("files", f"write {what}"), lambda: super(File, self).write(data), _spoilt
                )

            def readinto(self, buffer: Any, /) -> int:
                return effects.around(
                    Effect("files", f"read {what}"), lambda: super(File, self).readinto(buffer), _spoilt
                )

            def readall(self) -> bytes:
                return effects.around(Effect("files", f"read {what}"), super().readall, _spoilt)

        return File(file, mode)

    def _effect(self, name: str, file: Any) -> Effect | None:
        path = self._path(file)
        if path is not None and path.endswith(_TURN):
            return Effect("database", f"{name} turn")
        return None if path is None else Effect("files", f"{name} {_what(path)}")

    def _path(self, file: Any) -> str | None:
        """The path of the file if it is in the folder, or is the folder; else None."""
        target = Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else Path(file).absolute()
        path = str(target)
        return path if path == self._prefix or path.startswith(self._prefix + os.sep) else None


def _what(path: str) -> str:
    what = _NAMED.get(Path(path).suffix, "folder")
    return "new note" if what == "part" and Path(path).name.startswith(".") else what


def _spoilt(how: How, _when: When) -> NoReturn:
    number = getattr(errno, how)
    raise OSError(number, os.strerror(number))
