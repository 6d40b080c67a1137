"""`ctisync history`: the last passes."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CLOCK, CommonOptions, JsonOption, common, print_document
from ctisync.errors import DONE, UsageError
from ctisync.settings.checks import MOST_PASSES
from ctisync.system.process import print_drawn


@app.command()
@common()
def history(
    options: CommonOptions,
    last: Annotated[
        int | None,
        typer.Option(
            "--last", metavar="N", min=1, max=MOST_PASSES, help="Number of passes; 20 by default in a table."
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a self-contained HTML page with charts."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show the last passes, newest first: result, duration, and offsets behind."""
    from ctisync.commands.history import look as command

    if html is not None and as_json:
        raise UsageError("--html and --json cannot be combined", hint="ctisync history --json")
    most = last or (20 if html is None and not as_json else MOST_PASSES)
    found = command.look(options.invocation(), most)
    if html is not None:
        from ctisync.commands.history.page import as_page, write_page

        write_page(as_page(found, CLOCK.now()), html)
    elif as_json:
        print_document(command.as_document(found))
    else:
        from ctisync.commands.history.table import as_table

        print_drawn(as_table(found, sys.stdout))
    return DONE
