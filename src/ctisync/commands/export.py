"""`ctisync export`: the content as NDJSON, to standard output or atomically to a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CommonOptions, Invocation, common
from ctisync.core.model import Consumer
from ctisync.errors import DONE, UsageError
from ctisync.ports import Store
from ctisync.system.files import STDOUT, atomic_write
from ctisync.wiring import opened_store

_PIECE: Final = 256 << 10
"""Bytes per write."""


@app.command()
@common()
def export(
    options: CommonOptions,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="File to write, atomically; -: standard output."),
    ] = None,
) -> int:
    """Write the content as NDJSON, sorted by name."""
    invocation = options.invocation()
    consumer = invocation.only_consumer("export writes")
    with opened_store(invocation.settings, invocation.clock) as store:
        if output is None or output == STDOUT:
            _write(invocation, store, consumer, sys.stdout.buffer, "standard output")
        else:
            with _named_errors(str(output)), atomic_write(output) as file:
                _write(invocation, store, consumer, file, str(output))
    return DONE


def _write(invocation: Invocation, store: Store, consumer: Consumer, target: BinaryIO, name: str) -> None:
    """Every line of the live content, sorted by name. Raises EmptyStore if there is no content, UsageError if
    the output cannot be written."""
    summary = store.summary(consumer)
    invocation.warn_of_hidden(summary.hidden, consumer)
    piece = bytearray()
    bar = invocation.console.progress("export", summary.records, "records")
    with bar as progress, _named_errors(name):
        for number, line in enumerate(store.export(consumer), start=1):
            piece += line
            piece += b"\n"
            if len(piece) >= _PIECE:
                target.write(piece)
                piece.clear()
                progress.reached(number)
        target.write(piece)
        target.flush()


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Raises UsageError for an OSError, except that of a reader that has closed its end of the pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(
            f"cannot write to {name}: {error.strerror}", hint="ctisync export --output FILE"
        ) from error
