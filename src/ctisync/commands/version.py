"""`--version`: what somebody who reports a bug is asked for."""

import platform
import re
import sqlite3
from collections.abc import Iterator
from importlib import metadata

from ctisync import __version__


def as_text() -> str:
    """A line each: ctisync itself first, then what it runs on, then the libraries that it names."""
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
