"""`ctisync log`: the records that the last passes changed."""

from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CLOCK, CommonOptions, JsonLinesOption, common
from ctisync.errors import DONE
from ctisync.escaping import escape
from ctisync.system.process import print_json, print_result


@app.command()
@common()
def log(
    options: CommonOptions,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this record: CVE-2024-3094.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Only from then on: 24h, 7d, 2026-11-24, 2026-11-24T07:30Z."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Only before then; forms as for --since.")
    ] = None,
    resource: Annotated[
        str | None,
        typer.Option("--resource", metavar="PATTERN", help="Only records whose name matches: 'CVE-2024-*'."),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(
            "--last", metavar="N", min=1, help="Maximum number of lines; 100 by default without --since."
        ),
    ] = None,
    as_json: JsonLinesOption = False,
) -> int:
    """List the records that the last passes created, updated and deleted, newest first."""
    from ctisync.commands import log as command

    wanted = command.wanted(since, until, resource, CLOCK.now())
    invocation = options.invocation()
    most = 100 if last is None and since is None else last
    told = False
    for one, entry in command.touched(invocation, name, wanted, most):
        told = True
        if as_json:
            print_json(command.entry_as_json(one, entry))
        else:
            several = f"{one}  " if len(invocation.consumers) > 1 else ""
            print_result(several + escape(command.entry_as_text(entry)))
    if not told and not as_json:
        said = "no pass in the history changed " + ("any record" if name is None else name)
        print_result(said if wanted == command.Wanted() else f"{said}, as far as the options select")
    return DONE
