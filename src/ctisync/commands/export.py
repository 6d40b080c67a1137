"""`export`: the content as NDJSON, to standard output or atomically to a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ctisync.commands.hidden import warn_of_hidden
from ctisync.commands.invocation import Invocation
from ctisync.core.model import Consumer
from ctisync.errors import UsageError
from ctisync.ports import Log, Store
from ctisync.system.files import STDOUT, atomic_write
from ctisync.wiring import opened_store

_PIECE: Final = 256 << 10
"""Bytes per write."""


def export(invocation: Invocation, output: Path | None) -> None:
    """Write every line of the live content of the only consumer, sorted by name, to a file or to standard
    output. Raises EmptyStore if there is no content, UsageError if the output cannot be written."""
    consumer, log = invocation.only_consumer("export writes"), invocation.console
    with opened_store(invocation.settings, invocation.clock) as store:
        if output is None or output == STDOUT:
            _write(store, consumer, sys.stdout.buffer, "standard output", log)
            return
        with _told(str(output)), atomic_write(output) as file:
            _write(store, consumer, file, str(output), log)


def _write(store: Store, consumer: Consumer, target: BinaryIO, name: str, log: Log) -> None:
    summary = store.summary(consumer)
    warn_of_hidden(summary.hidden, consumer, log)
    piece = bytearray()
    with log.progress("export", summary.records, "records") as progress, _told(name):
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
def _told(name: str) -> Iterator[None]:
    """Raises UsageError for an OSError, except that of a reader that has closed its end of the pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(
            f"cannot write to {name}: {error.strerror}", hint="ctisync export --output FILE"
        ) from error
