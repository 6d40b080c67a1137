"""The command that needs neither settings nor a store: two files are all it knows."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.call import (
    JsonLinesOption,
    LogFormatOption,
    QuietOption,
    VerboseOption,
    console_of,
)
from ctisync.errors import DONE, AuditFailed
from ctisync.harmless import harmless
from ctisync.process import print_json, print_result


@app.command()
def diff(
    context: typer.Context,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="What `export` has written; -: standard input.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same, later; one of the two may be -.")],
    as_json: JsonLinesOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 9 when there are differences.")
    ] = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Tell which records two exports have not in common, and what has changed in the others."""
    from ctisync.commands import diff as command

    console_of(context, verbose, quiet, log_format)
    counted: Counter[str] = Counter()
    for found in command.compare(old, new):
        counted[found.what] += 1
        if as_json:
            print_json(command.as_json(found))
        else:
            print_result(harmless(command.as_text(found)))
    if not as_json:
        print_result(command.summary(counted))
    return AuditFailed.exit_code if exit_code and counted else DONE
