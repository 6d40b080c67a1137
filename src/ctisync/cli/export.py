"""`ctisync export`: the content as NDJSON."""

from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.call import (
    CLOCK,
    ConfigOption,
    ConsumerOption,
    LogFormatOption,
    QuietOption,
    VerboseOption,
    call_of,
)
from ctisync.errors import DONE


@app.command()
def export(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="File to write, atomically; -: standard output."),
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
