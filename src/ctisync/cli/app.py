"""What `ctisync` alone and `ctisync --version` do. The commands add themselves to `app`."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import CommandFunctionType

from ctisync.errors import DONE, UsageError
from ctisync.process import print_result


class _Command(TyperCommand):
    """Its help ends with examples and exit codes."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _teach(ctx.command_path, formatter)


class _Group(TyperGroup):
    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _teach(ctx.command_path, formatter)


def _teach(path: str, formatter: Any) -> None:
    from ctisync.cli.teaching import write  # only who asks for help pays for it

    write(path, formatter)


class Teaching(typer.Typer):
    """Commands, and groups of them, whose helps end with what `teaching` knows of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=_Group, add_completion=False, rich_markup_mode=None, **options)

    def command(
        self, name: str | None = None, **options: Any
    ) -> Callable[[CommandFunctionType], CommandFunctionType]:
        return super().command(name, **{"cls": _Command, **options})


app = Teaching(
    name="ctisync",
    help="Keeps a local copy of Wazuh's CTI vulnerability feed in step, on SQLite or OpenSearch.",
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
