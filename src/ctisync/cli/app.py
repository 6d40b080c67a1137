"""`ctisync` without a command, and `ctisync --version`. The commands add themselves to `app`."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import CommandFunctionType

from ctisync.errors import DONE
from ctisync.system.process import print_result

_WHOLE: Final = 1000
"""Characters of a summary in a list of commands: so many that a summary is wrapped and never cut."""

_HELP: Final = {"help_option_names": ["-h", "--help"]}


class _Command(TyperCommand):
    """A command whose help ends with its examples and exit codes."""

    def get_short_help_str(self, limit: int = _WHOLE) -> str:
        return super().get_short_help_str(_WHOLE)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _teach(ctx.command_path, formatter)


class _Group(TyperGroup):
    """The same for a group."""

    def get_short_help_str(self, limit: int = _WHOLE) -> str:
        return super().get_short_help_str(_WHOLE)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _teach(ctx.command_path, formatter)


def _teach(path: str, formatter: Any) -> None:
    from ctisync.cli.teaching import write  # imported only for help, so that other calls start fast

    write(path, formatter)


class HelpGroup(typer.Typer):
    """A group of commands. The help of each, and its own, ends with the examples and exit codes that
    `teaching` has for it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            cls=_Group,
            context_settings=_HELP,
            add_completion=False,
            rich_markup_mode=None,
            invoke_without_command=True,
            **options,
        )

    def command(
        self, name: str | None = None, **options: Any
    ) -> Callable[[CommandFunctionType], CommandFunctionType]:
        return super().command(name, **{"cls": _Command, "context_settings": _HELP, **options})


app = HelpGroup(
    name="ctisync",
    help="Keeps a local copy of Wazuh's CTI vulnerability feed in step, on SQLite or OpenSearch.",
    pretty_exceptions_enable=False,
)


def list_commands(context: typer.Context) -> None:
    """Print the commands of the group in `context`, for a call without a command."""
    command: Any = context.command
    formatter = context.make_formatter()
    command.format_usage(context, formatter)
    command.format_help_text(context, formatter)
    command.format_commands(context, formatter)
    inner = context.command_path.partition(" ")[2]
    with formatter.section("More"):
        formatter.write_dl(
            [
                (" ".join(filter(None, ("ctisync help", inner, "COMMAND"))), "its options, with examples"),
                (f"{context.command_path} --help", "this list with options, examples and exit codes"),
            ]
        )
    print_result(formatter.getvalue().rstrip("\n"))


@app.callback()
def _no_command(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Show the versions of ctisync, Python, SQLite and the libraries."
        ),
    ] = False,
) -> int:
    if version:
        from ctisync.commands.version import as_text

        print_result(as_text())
        raise typer.Exit(DONE)
    if context.invoked_subcommand is None:
        list_commands(context)
    return DONE
