"""`ctisync examples`: example files. It needs no settings."""

from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.options import CommonOptions, common
from ctisync.errors import DONE, UsageError
from ctisync.system.files import STDOUT
from ctisync.system.process import print_result


@app.command()
@common(config=False, consumer=False)
def examples(
    options: CommonOptions,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Example to print; without it, ctisync lists all.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder to copy to; ctisync overwrites no file."),
    ] = None,
) -> int:
    """List, print or copy the examples: schedules, alert rules, roles, settings for Wazuh 5."""
    from ctisync.commands import examples as command

    options.console()
    if output == STDOUT:
        raise UsageError("--output needs a folder for examples", hint="ctisync examples NAME (prints one)")
    if output is not None:
        command.write(name, output)
    else:
        print_result(command.listed() if name is None else command.printed(name))
    return DONE
