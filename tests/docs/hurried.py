"""The command, but that waiting costs no time: `python -m tests.docs.hurried sync`.

What would take minutes is seen in seconds: nobody sleeps, and a locked database is not waited for. In the
environment HURRIED_PAGES says how many pages a database may have, HURRIED_WINDOW over how many seconds a rate
is taken.
"""

import os
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any, Final

from ctisync import cli
from ctisync.system.clock import SystemClock

_PAGES: Final = os.environ.get("HURRIED_PAGES")
_WINDOW: Final = os.environ.get("HURRIED_WINDOW")

_connect: Final = sqlite3.connect


def _impatient(*arguments: Any, **options: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = _connect(*arguments, **options | {"timeout": 0.1})
    if _PAGES is not None:
        connection.execute(f"PRAGMA max_page_count = {int(_PAGES)}")
    return connection


def hurry() -> None:
    """Each is replaced once, at the start of the process."""
    SystemClock.sleep = lambda *_: None  # type: ignore[method-assign]
    sqlite3.connect = _impatient  # type: ignore[assignment]
    if _WINDOW is not None:
        from ctisync.feed.http import transport

        transport._WINDOW = float(_WINDOW)  # type: ignore[misc]


def main(arguments: Sequence[str] | None = None) -> int:
    hurry()
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
