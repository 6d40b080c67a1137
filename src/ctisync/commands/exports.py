"""`ctisync export`: the content as NDJSON, to standard output or atomically to a file. `ctisync diff`: the
differences between two exports; it needs neither settings nor a store.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from ctisync import hints
from ctisync.cli.invocation import CommonOptions, Invocation, JsonLinesOption, command
from ctisync.core.difference import Difference, NoExport, differences
from ctisync.core.model import Consumer
from ctisync.errors import DONE, AuditFailed, SnapshotRefused, UsageError
from ctisync.escaping import escape, to_json
from ctisync.ports import Store
from ctisync.system.files import STDOUT, atomic_write, named_write_errors
from ctisync.system.process import print_json, print_result, standard_input
from ctisync.wiring import opened_store

_PIECE: Final = 256 << 10
"""Bytes per write."""


@command()
def export(
    options: CommonOptions,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write, atomically; -: standard output.")
    ] = None,
) -> int:
    """Write the content as NDJSON, sorted by name."""
    invocation = options.invocation()
    consumer = invocation.only_consumer("export writes")
    path = output or STDOUT
    name = "standard output" if path == STDOUT else path
    errors = named_write_errors(name, hint=hints.command("export", "--output FILE"))
    with opened_store(invocation.settings, invocation.clock) as store, errors, atomic_write(path) as file:
        _write(invocation, store, consumer, file)
    return DONE


def _write(invocation: Invocation, store: Store, consumer: Consumer, file: BinaryIO) -> None:
    """Every line of the live content, sorted by name. Raises EmptyStore if there is no content."""
    summary = store.summary(consumer)
    invocation.warn_of_hidden(summary.hidden, consumer)
    piece = bytearray()
    with invocation.console.progress("export", summary.records, "records") as progress:
        for number, line in enumerate(store.export(consumer), start=1):
            piece += line
            piece += b"\n"
            if len(piece) >= _PIECE:
                file.write(piece)
                piece.clear()
                progress.reached(number)
        file.write(piece)
        file.flush()


_MOST_SHOWN: Final = 5
"""Changed fields of a record that the text output names."""

_STDIN: Final = Path("-")

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


@command(config=False, consumer=False)
def diff(
    _options: CommonOptions,
    old: Annotated[
        Path, typer.Argument(metavar="OLD", help="The older export, compressed or not; -: standard input.")
    ],
    new: Annotated[
        Path, typer.Argument(metavar="NEW", help="The newer export; only one of the two can be -.")
    ],
    as_json: JsonLinesOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 9 if there are differences.")
    ] = False,
) -> int:
    """Compare two exports: records that only one of them has, and records that differ."""
    counted: Counter[str] = Counter()
    for difference in _compare(old, new):
        counted[difference.what] += 1
        if as_json:
            print_json(to_json(difference))
        else:
            print_result(escape(_as_text(difference)))
    if not as_json:
        print_result(", ".join(f"{counted[what]} {what}" for what in _SIGNS))
    return AuditFailed.exit_code if exit_code and counted else DONE


def _compare(old: Path, new: Path) -> Iterator[Difference]:
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
    from ctisync.feed.snapshot.records import lines  # `--help` needs none of it

    try:
        yield from lines(file)
    except SnapshotRefused as error:
        raise _no_export(f"{name}: {error.message}") from error


def _no_export(message: str) -> UsageError:
    return UsageError(message, hint="compare two files written by `ctisync export --output FILE`")


def _as_text(difference: Difference) -> str:
    """One line per difference: its sign, the record's name and its changed fields."""
    fields = ", ".join(difference.fields[:_MOST_SHOWN])
    if (more := len(difference.fields) - _MOST_SHOWN) > 0:
        fields += f" and {more} more"
    return f"{_SIGNS[difference.what]} {difference.name}" + (f"  {fields}" if fields else "")
