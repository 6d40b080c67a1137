"""`ctisync verify`: check the stored content and state."""

from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CommonOptions, JsonOption, common, print_document
from ctisync.errors import DONE
from ctisync.system.process import print_result


@app.command()
@common()
def verify(
    options: CommonOptions,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every record.")] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="FILE_OR_URL",
            help="Compare with this snapshot, or with that in the folder of a package; -: standard input.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Check the stored content and state for errors. Changes nothing."""
    from ctisync.commands import verify as command

    invocation = options.invocation()
    if against is None:
        found = command.verify(invocation, deep=deep)
    else:
        found = command.verify_against(invocation, against, deep=deep)
    if as_json:
        print_document(command.as_document(found))
    elif text := command.as_text(found, invocation.console.hint, quiet=options.quiet):
        print_result(text)
    command.raise_bad_end(found)
    return DONE
