"""`ctisync export`: the content as NDJSON, to standard output or atomically to a file."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
    target: AbstractContextManager[BinaryIO]
    if output is None or output == STDOUT:
        name, target = "standard output", nullcontext(sys.stdout.buffer)
    else:
        name, target = str(output), atomic_write(output)
    with opened_store(invocation.settings, invocation.clock) as store, _named_errors(name), target as file:
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
