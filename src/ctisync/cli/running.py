"""Runs one command from its arguments to its exit code, and reports all errors."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer

from ctisync.bug import exit_code_of_bug
from ctisync.cli.app import COMPLETION_VARIABLE, app
from ctisync.cli.invocation import CLOCK
from ctisync.console import Console, silence_libraries
from ctisync.errors import AFTER_STOP, BUG, DONE, Stopped, UsageError
from ctisync.escaping import escape
from ctisync.system import process

# The base class of all command line errors, in the click that typer includes or in the one it imports.
_CommandLineError: Final[type[Exception]] = typer.BadParameter.__mro__[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors are printed here: the message, and below it the hint.

    `arguments`: without the name of the program; None: those of the process.
    """
    process.open_streams()
    console = Console(sys.stderr, CLOCK)
    silence_libraries()

    typed = sys.argv[1:] if arguments is None else arguments
    console.after_stop = lambda: AFTER_STOP.get(typed[0], "") if typed else ""

    def report_forced_end(number: int) -> None:
        stop = Stopped(number, console.after_stop())
        stop.message += "; stopped at once"
        console.error(stop)

    try:
        with process.stopping_on_signals(report_forced_end, CLOCK.monotonic):
            code = _run_reporting(typed, console)
    except process.StopRequested as error:
        stop = Stopped(error.signal_number, console.after_stop())
        console.failure(stop, error)
        process.drop_results()
        return stop.exit_code
    process.drop_unwritten_results()
    return code


def _run_reporting(arguments: Sequence[str], console: Console) -> int:
    """Run one command and print its error, if any; returns the exit code."""
    try:
        code = _run(arguments, console)
        process.flush_results()
    except _CommandLineError as error:
        code = _report_usage(error, console)
    except BrokenPipeError:  # the reader of the output has closed it
        code = DONE
    except Exception as error:  # noqa: BLE001  # nothing above reports it
        reported = process.error_to_report(error)
        console.error(reported)
        code = reported.exit_code
        if code == BUG:
            code = exit_code_of_bug(arguments, escape(console.masked(reported.message)))
    return code


def _run(arguments: Sequence[str], console: Console) -> int:
    """Parse and run. Not by `main` of click, which would handle signals and broken pipes in its own way."""
    command = typer.main.get_command(app)
    if instruction := os.environ.get(COMPLETION_VARIABLE):
        from ctisync.cli.help import complete

        return complete(command, instruction)
    try:
        with command.make_context("ctisync", list(arguments), obj=console) as context:
            return int(command.invoke(context) or DONE)
    except typer.Exit as end:  # --help, --version
        return end.exit_code


def _report_usage(error: Any, console: Console) -> int:
    path = error.ctx.command_path if getattr(error, "ctx", None) else "ctisync"
    usage = UsageError(error.format_message(), hint=f"{path} --help")
    console.failure(usage, error)
    return usage.exit_code
