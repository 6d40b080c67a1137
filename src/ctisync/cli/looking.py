"""The commands that look at what is stored, and change nothing."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.call import (
    CLOCK,
    ConfigOption,
    ConsumerOption,
    JsonOption,
    LogFormatOption,
    QuietOption,
    VerboseOption,
    call_of,
    print_document,
)
from ctisync.console import Console
from ctisync.errors import DONE, CtisyncError, UsageError
from ctisync.harmless import harmless
from ctisync.process import print_drawn, print_json, print_result


@app.command()
def status(
    context: typer.Context,
    remote: Annotated[bool, typer.Option("--remote", help="Ask the feed too.")] = False,
    check: Annotated[bool, typer.Option("--check", help="One line and exit code for monitoring.")] = False,
    warn_behind: Annotated[
        int | None,
        typer.Option("--warn-behind", metavar="N", min=0, help="With --check: WARNING beyond N offsets."),
    ] = None,
    crit_behind: Annotated[
        int | None, typer.Option("--crit-behind", metavar="N", min=0, help="CRITICAL beyond N offsets.")
    ] = None,
    warn_age: Annotated[
        str | None,
        typer.Option("--warn-age", metavar="TIME", help="WARNING when not in step for longer: 90m, 24h, 7d."),
    ] = None,
    crit_age: Annotated[
        str | None, typer.Option("--crit-age", metavar="TIME", help="CRITICAL when not in step for longer.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Show what is stored, how old it is and what is wrong. Changes nothing."""
    from ctisync.commands import status as command
    from ctisync.commands import status_check as checking

    if check and as_json:
        raise UsageError("--check and --json contradict each other", hint="ctisync status --json")
    try:
        limits = checking.thresholds(warn_behind, crit_behind, warn_age, crit_age)
        if limits != checking.USUAL and not check:
            raise UsageError("--warn-... and --crit-... go with --check", hint="ctisync status --check")
        call = call_of(context, config, consumer, verbose, quiet, log_format)
        found = command.look(
            call.settings, call.consumers, CLOCK, call.console, remote=remote, certificates=check
        )
    except CtisyncError as error:
        if not check:
            raise
        return print_check(context, *checking.check_failed(error))
    if check:
        return print_check(context, *checking.check(found, CLOCK.now(), limits))
    if as_json:
        print_document(command.as_document(found))
    else:
        from ctisync.commands.status_table import as_table

        print_drawn(as_table(found, sys.stdout, CLOCK.now()))
    if found.unseen:
        raise found.unseen[0].error
    return DONE


@app.command()
def export(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Written whole or not at all; -: standard output."),
    ] = None,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Write the content as NDJSON, sorted by name."""
    from ctisync.commands.export import export as command

    call = call_of(context, config, consumer, verbose, quiet, log_format)
    command(call.settings, call.only_consumer("export writes"), output, CLOCK, call.console)
    return DONE


@app.command()
def show(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Of the record: CVE-2024-3094; of several.")
    ],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Show records: title, severity, what is affected, references."""
    from ctisync.commands import show as command

    call = call_of(context, config, consumer, verbose, quiet, log_format)
    into = call.only_consumer("show looks into")
    lines, missing = command.find(call.settings, into, names, CLOCK, call.console)
    for number, line in enumerate(lines):
        if as_json:
            print_json(command.as_json(line))
        else:
            print_result("\n" * (number > 0) + command.as_text(line))
    if missing is not None:
        raise missing
    return DONE


@app.command()
def verify(
    context: typer.Context,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every record.")] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="FILE_OR_URL", help="Compare with this snapshot; -: standard input."
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Check that what is stored is what it says. Changes nothing."""
    from ctisync.commands import verify as command

    call = call_of(context, config, consumer, verbose, quiet, log_format)
    if against is None:
        found = command.verify(call.settings, call.consumers, CLOCK, call.console, deep=deep)
    else:
        one = call.only_consumer("--against compares")
        found = command.verify_against(call.settings, one, against, CLOCK, call.console, deep=deep)
    if as_json:
        print_document(command.as_document(found))
    else:
        print_result(command.as_text(found))
    command.raise_bad_end(found)
    return DONE


def print_check(context: typer.Context, line: str, code: int) -> int:
    """What a server says may be in the line."""
    console: Console = context.obj
    print_result(harmless(console.masked(line)))
    return code
