"""What `ctisync` alone and `ctisync --version` do. The commands add themselves to `app`."""

from typing import Annotated

import typer

from ctisync.cli.call import print_result
from ctisync.errors import DONE, UsageError

app = typer.Typer(
    name="ctisync",
    help="Keeps a local copy of Wazuh's CTI vulnerability feed in step, on SQLite or OpenSearch.",
    epilog="Exit codes: 0 done, 1 a bug, 2 usage, 3 settings or access, 4 another pass is running, "
    "5 feed not reachable, 6 feed refused or blocked, 7 store not reachable or full, "
    "8 command not accepted, 9 audit, 10 no content, 11 a hook failed, 130/143 stopped.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _no_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the versions of it all.")] = False,
) -> int:
    if version:
        from ctisync.commands.version import as_text

        print_result(as_text())
        raise typer.Exit(DONE)
    if context.invoked_subcommand is None:
        raise UsageError("a command is missing", hint="ctisync --help")
    return DONE
