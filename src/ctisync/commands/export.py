"""`ctisync export`: the content as NDJSON, to standard output or atomically to a file."""

from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CommonOptions, Invocation, common
from ctisync.core.model import Consumer
from ctisync.errors import DONE
from ctisync.ports import Store
from ctisync.system.files import STDOUT, atomic_write, named_write_errors
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
    path = output or STDOUT
    name = "standard output" if path == STDOUT else path
    errors = named_write_errors(name, hint="ctisync export --output FILE")
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
