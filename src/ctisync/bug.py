"""The exit code of a bug. It imports nothing, so that it works where the import of a library fails."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

_BUG: Final = 1
_UNKNOWN: Final = 3


def exit_code_of_bug(arguments: Sequence[str], message: str) -> int:
    """1, which would mean WARNING for `status --check`: it gets UNKNOWN, and a line with this message.
    `arguments`: those of the command line."""
    if list(arguments[:1]) != ["status"] or "--check" not in arguments:
        return _BUG
    with suppress(Exception):  # standard output may be closed
        sys.stdout.write(f"CTISYNC UNKNOWN - {message.replace('|', '/')}\n")
    return _UNKNOWN
