"""`ctisync show`: records, as text or as stored."""

from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CommonOptions, JsonOption, common
from ctisync.errors import DONE
from ctisync.system.process import print_json, print_result


@app.command()
@common()
def show(
    options: CommonOptions,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="Name of a record: CVE-2024-3094, indicator/12345; repeat for more. Without --consumer: of "
            "each consumer that has it.",
        ),
    ],
    as_json: JsonOption = False,
) -> int:
    """Show records: of a CVE title, severity, what is affected, references; of others the fields."""
    from ctisync.commands import show as command

    invocation = options.invocation()
    shown, missing = command.find(invocation, names)
    for number, (consumer, line) in enumerate(shown):
        if as_json:
            print_json(command.as_json(line))
        else:
            owner = consumer if len(invocation.consumers) > 1 else None
            print_result("\n" * (number > 0) + command.as_text(line, invocation.console.hint, owner))
    if missing is not None:
        raise missing
    return DONE
