"""`ctisync export`: the content as NDJSON."""

from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CommonOptions, common
from ctisync.errors import DONE


@app.command()
@common()
def export(
    options: CommonOptions,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="File to write, atomically; -: standard output."),
    ] = None,
) -> int:
    """Write the content as NDJSON, sorted by name."""
    from ctisync.commands.export import export as command

    command(options.invocation(), output)
    return DONE
