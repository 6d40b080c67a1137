"""ctisync in a process that counts its effects, and is killed or fails at one of them.

    python -m tests.support.doomed [--at K --when before|after --how kill|EIO|ENOSPC|reset|timeout|429|503
        [--lasting]] [--count-file F] [--later SECONDS] -- sync

Without `--at` it only counts, and writes the effects to F, one per line. Only files below the working
directory count. The clock is a fake: it starts `--later` seconds after a fixed time, and sleeping takes none.

    python -m tests.support.doomed --serve

reads calls from standard input, one JSON object (`Call`) per line. It runs each in a fork of itself, which is
faster than a new interpreter, and prints its exit code, or minus the signal that killed it.
"""

import argparse
import functools
import os
import resource
import signal
import sqlite3
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import httpx
import msgspec

from ctisync.cli import main as ctisync_main
from ctisync.feed import client
from ctisync.feed.snapshot import records as archive
from ctisync.search import index as search_index
from ctisync.stores.opensearch import writer as opensearch_writer
from ctisync.stores.opensearch.transport import HttpTransport
from ctisync.stores.sqlite import writer as sqlite_writer
from ctisync.system.clock import SystemClock
from tests.support import faults_files, faults_http, faults_sql
from tests.support.clock import FakeClock
from tests.support.faults import Effects, Fault, How, When
from tests.support.memory_feed import at_once
from tests.support.warm import warm_up

HANGS: Final = 60
"""Seconds after which SIGALRM kills a pass that hangs."""

BROKEN: Final = 70
"""The exit code if the `main` of ctisync raised an exception."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One command, run in `folder`. It leaves the files `stdout`, `stderr` and `effects`, one per line, in
    `results`. `most_bytes`: a write that makes a file longer kills it."""

    arguments: list[str]
    folder: str
    results: str
    environ: dict[str, str]
    fault: Fault | None = None
    later: float = 0.0
    most_bytes: int | None = None


def install(effects: Effects, folder: Path, later: float) -> None:
    """Replace the functions whose calls are effects; once, at the start of the process."""
    clock = FakeClock()
    clock.advance(seconds=later)
    hooks: list[tuple[Any, str, Any]] = [
        (SystemClock, "now", clock.now),
        (SystemClock, "monotonic", clock.monotonic),
        (SystemClock, "sleep", clock.sleep),
        (client, "start_on_thread", at_once),  # so that the effects have one order
        (opensearch_writer, "start_on_thread", at_once),
        (archive, "_BATCH_BYTES", 4096),  # so that a small snapshot is loaded in several transactions
        (sqlite_writer, "PACKED_AT_ONCE", 4096),
        (sqlite_writer, "WRITTEN_AT_ONCE", 4096),
        (sqlite_writer, "DROPPED_AT_ONCE", 3),
        (search_index, "BYTES_AT_ONCE", 8192),
        (sqlite3, "connect", faults_sql.connecting(sqlite3.connect, effects)),
        (
            httpx.HTTPTransport,
            "handle_request",
            faults_http.handling(httpx.HTTPTransport.handle_request, effects),
        ),
        (HttpTransport, "send", faults_http.sending(HttpTransport.send, effects)),
    ]
    for owner, name, replacement in hooks:
        assert hasattr(owner, name), f"{owner} has no {name} any more"
        setattr(owner, name, replacement)
    faults_files.watch(folder, effects)


def play(arguments: Sequence[str], fault: Fault | None, later: float, count_file: Path | None) -> int:
    """Run the `main` of ctisync in the working directory, then write the effects; returns the exit code."""
    effects = Effects(fault)
    install(effects, Path.cwd(), later)
    code = ctisync_main(arguments)
    if count_file is not None:
        count_file.write_text(
            "".join(f"{effect.place}: {effect.name}\n" for effect in list(effects.recorded))
        )
    return code


def serve() -> None:
    """Run the calls from standard input until it ends."""
    ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]
    warm_up()
    for line in sys.stdin.buffer:
        call = msgspec.json.decode(line, type=Call)
        child = os.fork()
        if child == 0:
            os._exit(_play_in_fork(call))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _play_in_fork(call: Call) -> int:
    signal.alarm(HANGS)
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, f"{call.results}/stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, f"{call.results}/stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    os.chdir(call.folder)
    os.environ.clear()
    os.environ.update(call.environ)
    if call.most_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (call.most_bytes, resource.RLIM_INFINITY))
    try:
        code = play(call.arguments, call.fault, call.later, Path(call.results, "effects"))
    except BaseException:  # noqa: BLE001  # the fork ends here, whatever comes
        sys.excepthook(*sys.exc_info())
        code = BROKEN
    sys.stderr.flush()
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description="ctisync, dying or failing at one of its effects.")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--at", type=int, metavar="K")
    parser.add_argument("--when", choices=get_args(When), default="before")
    parser.add_argument("--how", choices=get_args(How), default="kill")
    parser.add_argument("--lasting", action="store_true", help="and at every later effect of the same place")
    parser.add_argument("--count-file", type=Path, metavar="F")
    parser.add_argument("--later", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("arguments", nargs="*", metavar="-- COMMAND LINE")
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    fault = None if options.at is None else Fault(options.at, options.when, options.how, options.lasting)
    return play(options.arguments, fault, options.later, options.count_file)


if __name__ == "__main__":
    sys.exit(main())
