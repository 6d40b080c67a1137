"""`--version`: the versions that a bug report needs."""

import platform
import re
import sqlite3
from collections.abc import Iterator
from importlib import metadata

from ctisync import __version__


def as_text() -> str:
    """One per line: ctisync, then Python and SQLite, then the libraries that ctisync requires."""
    lines = [
        f"ctisync {__version__}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        *_libraries(),
    ]
    return "\n".join(lines)


def _libraries() -> Iterator[str]:
    try:
        required = metadata.requires("ctisync") or []
    except metadata.PackageNotFoundError:  # it runs from its sources
        return
    for requirement in required:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} not installed"
