"""`ctisync status`: the stored content, its age, and problems.

`read` reads the store, `judge` says how bad it is, and `render` makes the table and the JSON document.
"""

import sys
from typing import Annotated, Final

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CLOCK, CommonOptions, JsonOption, common, print_document
from ctisync.commands.status import judge, read, render
from ctisync.errors import DONE, CtisyncError, UsageError
from ctisync.escaping import escape
from ctisync.system.process import print_drawn, print_result

_LONGEST_TIMEOUT: Final = 86_400.0


def _valid_timeout(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= _LONGEST_TIMEOUT:  # also true for nan
        raise typer.BadParameter(f"{seconds:g} is not in the range 0<x<={_LONGEST_TIMEOUT:g}.")
    return seconds


@app.command()
@common()
def status(
    options: CommonOptions,
    remote: Annotated[bool, typer.Option("--remote", help="Also ask the feed.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Print one line, and exit as a monitoring plugin does.")
    ] = False,
    warn_behind: Annotated[
        int | None,
        typer.Option(
            "--warn-behind", metavar="N", min=0, help="With --check: WARNING if more than N offsets behind."
        ),
    ] = None,
    crit_behind: Annotated[
        int | None,
        typer.Option("--crit-behind", metavar="N", min=0, help="CRITICAL if more than N offsets behind."),
    ] = None,
    warn_age: Annotated[
        str | None,
        typer.Option("--warn-age", metavar="TIME", help="WARNING if out of step for longer: 90m, 24h, 7d."),
    ] = None,
    crit_age: Annotated[
        str | None, typer.Option("--crit-age", metavar="TIME", help="CRITICAL if out of step for longer.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            callback=_valid_timeout,
            help="End after so long, if store or feed do not answer. [default: 10 with --check, else 60]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show what is stored, how old it is, and problems. Changes nothing."""
    if check and as_json:
        raise UsageError("--check and --json cannot be combined", hint="ctisync status --json")
    try:
        limits = judge.thresholds(warn_behind, crit_behind, warn_age, crit_age)
        if limits != judge.USUAL_THRESHOLDS and not check:
            raise UsageError("--warn-... and --crit-... need --check", hint="ctisync status --check")
        invocation = options.invocation()
        within = timeout or (read.CHECK_TIMEOUT if check else read.USUAL_TIMEOUT)
        result = read.read_status(invocation, remote=remote, certificates=check, within=within)
    except CtisyncError as error:
        if not check:
            raise
        return _print_check(options, *judge.check_failed(error))
    if check:
        return _print_check(options, *judge.check(result, CLOCK.now(), limits))
    if as_json:
        print_document(render.as_document(result))
    else:
        print_drawn(render.as_table(result, sys.stdout, CLOCK.now(), invocation.console.hint))
    if result.unreadable:
        raise result.unreadable[0].error
    return DONE


def _print_check(options: CommonOptions, line: str, code: int) -> int:
    """Print the line of `--check`, without secrets and control characters; returns `code`."""
    print_result(escape(options.context.obj.masked(line)))
    return code
