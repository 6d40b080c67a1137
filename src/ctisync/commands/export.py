"""`export`: the content as NDJSON, to standard output or atomically to a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ctisync.cli.invocation import Invocation
from ctisync.core.model import Consumer
from ctisync.errors import UsageError
from ctisync.ports import Store
from ctisync.system.files import STDOUT, atomic_write
from ctisync.wiring import opened_store

_PIECE: Final = 256 << 10
"""Bytes per write."""


def export(invocation: Invocation, output: Path | None) -> None:
    """Write every line of the live content of the only consumer, sorted by name, to a file or to standard
    output. Raises EmptyStore if there is no content, UsageError if the output cannot be written."""
    consumer = invocation.only_consumer("export writes")
    with opened_store(invocation.settings, invocation.clock) as store:
        if output is None or output == STDOUT:
            _write(invocation, store, consumer, sys.stdout.buffer, "standard output")
            return
        with _write_errors(str(output)), atomic_write(output) as file:
            _write(invocation, store, consumer, file, str(output))


def _write(invocation: Invocation, store: Store, consumer: Consumer, target: BinaryIO, name: str) -> None:
    summary = store.summary(consumer)
    invocation.warn_of_hidden(summary.hidden, consumer)
    piece = bytearray()
    progress_of = invocation.console.progress("export", summary.records, "records")
    with progress_of as progress, _write_errors(name):
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
def _write_errors(name: str) -> Iterator[None]:
    """Raises UsageError for an OSError, except that of a reader that has closed its end of the pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(
            f"cannot write to {name}: {error.strerror}", hint="ctisync export --output FILE"
        ) from error
