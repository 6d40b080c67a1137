"""`diff`: what has changed between two exports."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ctisync.core.difference import Difference, NoExport, differences
from ctisync.errors import UsageError
from ctisync.harmless import json_of

_MOST_SHOWN: Final = 5
"""Fields of a record, for people."""

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


def compare(old: Path, new: Path) -> Iterator[Difference]:
    """Raises UsageError for a file that cannot be read, or is no export."""
    both = (old, new)
    with ExitStack() as opened:
        try:
            files = [opened.enter_context(path.open("rb")) for path in both]
            yield from differences(*files)
        except NoExport as error:
            raise UsageError(
                f"{both[error.which]}, line {error.number}: {error}",
                hint="compare two files that `ctisync export --output FILE` has written",
            ) from error
        except OSError as error:
            raise UsageError(f"{error.filename or old} cannot be read: {error.strerror}") from error


def as_json(found: Difference) -> str:
    return json_of(found)


def as_text(found: Difference) -> str:
    shown = ", ".join(found.fields[:_MOST_SHOWN])
    more = len(found.fields) - _MOST_SHOWN
    said = f"  {shown} and {more} more" if more > 0 else f"  {shown}" if shown else ""
    return f"{_SIGNS[found.what]} {found.name}{said}"


def summary(counted: Counter[str]) -> str:
    return ", ".join(f"{counted[what]} {what}" for what in _SIGNS)
