"""`ctisync demo`: two passes against a built-in feed. It needs no settings."""

from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.call import (
    CLOCK,
    LogFormatOption,
    QuietOption,
    VerboseOption,
    console_of,
)


@app.command()
def demo(
    context: typer.Context,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep the database in this folder.")
    ] = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Run two passes against a built-in feed: no network, no services, a few seconds."""
    from ctisync.demo.run import play

    return play(keep, CLOCK, console_of(context, verbose, quiet, log_format))
