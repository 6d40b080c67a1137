"""`ctisync diff`: compare two exports. It needs neither settings nor a store."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CommonOptions, JsonLinesOption, common
from ctisync.errors import DONE, AuditFailed
from ctisync.escaping import escape
from ctisync.system.process import print_json, print_result


@app.command()
@common(config=False, consumer=False)
def diff(
    options: CommonOptions,
    old: Annotated[
        Path, typer.Argument(metavar="OLD", help="The older export, compressed or not; -: standard input.")
    ],
    new: Annotated[
        Path, typer.Argument(metavar="NEW", help="The newer export; only one of the two can be -.")
    ],
    as_json: JsonLinesOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 9 if there are differences.")
    ] = False,
) -> int:
    """Compare two exports: records that only one of them has, and records that differ."""
    from ctisync.commands import diff as command

    options.console()
    counted: Counter[str] = Counter()
    for found in command.compare(old, new):
        counted[found.what] += 1
        if as_json:
            print_json(command.as_json(found))
        else:
            print_result(escape(command.as_text(found)))
    if not as_json:
        print_result(command.summary(counted))
    return AuditFailed.exit_code if exit_code and counted else DONE
