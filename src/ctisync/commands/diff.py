"""`diff`: the differences between two exports."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from ctisync.core.difference import Difference, NoExport, differences
from ctisync.errors import SnapshotRefused, UsageError
from ctisync.escaping import to_json
from ctisync.feed.snapshot.records import lines
from ctisync.system.process import standard_input

_MOST_SHOWN: Final = 5
"""Changed fields of a record that the text output names."""

_STDIN: Final = Path("-")

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


def compare(old: Path, new: Path) -> Iterator[Difference]:
    """Exports, which may be compressed with gzip or zstd; `-` is standard input. Raises UsageError for a file
    that cannot be read or is not an export."""
    both = (old, new)
    if old == new == _STDIN:
        raise UsageError("only one of the two files can be standard input", hint="ctisync diff - NEW")
    names = ["standard input" if path == _STDIN else str(path) for path in both]
    with ExitStack() as opened:
        try:
            files = [
                standard_input() if path == _STDIN else opened.enter_context(path.open("rb")) for path in both
            ]
            yield from differences(*map(_lines, files, names))
        except NoExport as error:
            raise _no_export(f"{names[error.which]}, line {error.number}: {error}") from error
        except OSError as error:
            raise UsageError(f"cannot read {error.filename or old}: {error.strerror}") from error


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    try:
        yield from lines(file)
    except SnapshotRefused as error:
        raise _no_export(f"{name}: {error.message}") from error


def _no_export(said: str) -> UsageError:
    return UsageError(said, hint="compare two files written by `ctisync export --output FILE`")


def as_json(found: Difference) -> str:
    """`diff --json`: one line per difference."""
    return to_json(found)


def as_text(found: Difference) -> str:
    """One line per difference: its sign, the record's name and its changed fields."""
    shown = ", ".join(found.fields[:_MOST_SHOWN])
    more = len(found.fields) - _MOST_SHOWN
    said = f"  {shown} and {more} more" if more > 0 else f"  {shown}" if shown else ""
    return f"{_SIGNS[found.what]} {found.name}{said}"


def summary(counted: Counter[str]) -> str:
    """The number of added, removed and changed records."""
    return ", ".join(f"{counted[what]} {what}" for what in _SIGNS)
