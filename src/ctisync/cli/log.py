"""`ctisync log`: the records that the last passes changed."""

from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.call import Given, JsonLinesOption, common
from ctisync.errors import DONE
from ctisync.harmless import harmless
from ctisync.process import print_json, print_result


@app.command()
@common()
def log(
    given: Given,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this record: CVE-2024-3094.")
    ] = None,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, help="Maximum number of lines.")] = 100,
    as_json: JsonLinesOption = False,
) -> int:
    """List the records that the last passes created, updated and deleted, newest first."""
    from ctisync.commands import log as command

    call = given.call()
    told = False
    for one, entry in command.touched(call, name, last):
        told = True
        if as_json:
            print_json(command.entry_as_json(one, entry))
        else:
            several = f"{one}  " if len(call.consumers) > 1 else ""
            print_result(several + harmless(command.entry_as_text(entry)))
    if not told and not as_json:
        print_result("no pass in the history changed " + ("any record" if name is None else name))
    return DONE
