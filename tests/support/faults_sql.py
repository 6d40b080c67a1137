"""Statements of SQLite as effects, through a connection class of its own."""

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from tests.support.faults import Effect, Effects, How, When

_MEANINGS: Final = {
    "EIO": ("disk I/O error", sqlite3.SQLITE_IOERR),
    "ENOSPC": ("database or disk is full", sqlite3.SQLITE_FULL),
}

CLOSE: Final = "close"
"""An effect that does not fail: SQLite reports no error when it closes."""


def connecting(connect: Callable[..., sqlite3.Connection], effects: Effects) -> Callable[..., Any]:
    """Replaces `sqlite3.connect`: each statement is an effect."""

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            return effects.around(
                _statement(sql), lambda: super(Connection, self).execute(sql, parameters), _spoilt
            )

        def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
            return effects.around(
                _statement(sql), lambda: super(Connection, self).executemany(sql, parameters), _spoilt
            )

        def close(self) -> None:
            effects.around(
                Effect("database", CLOSE), super().close, lambda how, when: super(Connection, self).close()
            )

    return partial(connect, factory=Connection)


def _statement(sql: str) -> Effect:
    """The verb and the table of a statement: `INSERT INTO records`, `COMMIT`, `PRAGMA journal_mode`."""
    words = sql.split()
    for marker in ("INTO", "FROM", "UPDATE", "PRAGMA"):
        if marker in words[:-1]:
            return Effect("database", f"{words[0]} {words[words.index(marker) + 1]}")
    return Effect("database", " ".join(words[:2]))


def _spoilt(how: How, _when: When) -> sqlite3.Cursor:
    text, code = _MEANINGS[how]
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    raise error
