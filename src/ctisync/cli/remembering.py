"""The commands that tell of the passes of the past."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.call import (
    CLOCK,
    ConfigOption,
    ConsumerOption,
    JsonLinesOption,
    JsonOption,
    LogFormatOption,
    QuietOption,
    VerboseOption,
    call_of,
    print_document,
)
from ctisync.errors import DONE, UsageError
from ctisync.harmless import harmless
from ctisync.process import print_drawn, print_json, print_result
from ctisync.settings.checks import MOST_PASSES


@app.command()
def history(
    context: typer.Context,
    last: Annotated[
        int | None,
        typer.Option("--last", metavar="N", min=1, max=MOST_PASSES, help="So many passes; 20 in a table."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with charts; nothing else is needed."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Show what the last passes came to, the newest first: how long they took, how far behind they ended."""
    from ctisync.commands import history as command

    if html is not None and as_json:
        raise UsageError("--html and --json contradict each other", hint="ctisync history --json")
    call = call_of(context, config, consumer, verbose, quiet, log_format)
    most = last or (20 if html is None and not as_json else MOST_PASSES)
    found = command.look(call.settings, call.consumers, CLOCK, most)
    if html is not None:
        from ctisync.commands.history_page import as_page, write_page

        write_page(as_page(found, CLOCK.now()), html)
    elif as_json:
        print_document(command.as_document(found))
    else:
        from ctisync.commands.history_table import as_table

        print_drawn(as_table(found, sys.stdout))
    return DONE


@app.command()
def log(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of one record: CVE-2024-3094.")] = None,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, help="At most so many lines.")] = 100,
    as_json: JsonLinesOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """List the records that the last passes created, updated and deleted, the newest first."""
    from ctisync.commands import history as command

    call = call_of(context, config, consumer, verbose, quiet, log_format)
    told = False
    for one, entry in command.touched(call.settings, call.consumers, CLOCK, name, last):
        told = True
        if as_json:
            print_json(command.entry_as_json(one, entry))
        else:
            several = f"{one}  " if len(call.consumers) > 1 else ""
            print_result(several + harmless(command.entry_as_text(entry)))
    if not told and not as_json:
        print_result("no pass is remembered that touched " + ("any record" if name is None else name))
    return DONE
