"""Where targets put the files that they read: one folder a process."""

import tempfile
from functools import cache
from pathlib import Path


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="ctisync-fuzz-"))
