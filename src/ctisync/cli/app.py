"""`ctisync`: where its commands are, and one call from its arguments to its exit code.

Each command adds itself to `app` when it is imported. `main` reports all errors.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import CommandFunctionType

from ctisync import __version__
from ctisync.bug import exit_code_of_bug
from ctisync.console import Console, silence_libraries
from ctisync.errors import AFTER_STOP, BUG, DONE, Stopped, UsageError
from ctisync.escaping import escape
from ctisync.system import process
from ctisync.system.clock import SystemClock
from ctisync.system.process import print_result

COMMANDS: Final[Mapping[str, str]] = {
    "sync": "ctisync.commands.sync",
    "update": "ctisync.commands.sync",
    "init-snapshot": "ctisync.commands.sync",
    "status": "ctisync.commands.status",
    "export": "ctisync.commands.exports",
    "show": "ctisync.commands.records",
    "search": "ctisync.commands.search",
    "match": "ctisync.commands.match",
    "watch": "ctisync.commands.watch",
    "mirror": "ctisync.commands.mirror",
    "bundle": "ctisync.commands.bundles",
    "import": "ctisync.commands.bundles",
    "serve": "ctisync.commands.serve",
    "verify": "ctisync.commands.verify",
    "history": "ctisync.commands.history",
    "log": "ctisync.commands.records",
    "doctor": "ctisync.commands.doctor",
    "diff": "ctisync.commands.exports",
    "completion": "ctisync.cli.help",
    "forget": "ctisync.commands.forget",
    "plans": "ctisync.commands.config",
    "help": "ctisync.cli.help",
    "demo": "ctisync.commands.demo",
    "examples": "ctisync.cli.help",
    "config": "ctisync.commands.config",
}
"""The module of each command, in the order in which `ctisync --help` lists them."""

COMPLETION_VARIABLE: Final = "_CTISYNC_COMPLETE"
"""The environment variable with which a completion script requests completions; its value names the shell."""

_UNCUT: Final = 1000
"""Characters of a summary in a list of commands: so many that a summary is wrapped and never cut."""

# The base class of all command line errors, in the click that typer includes or in the one it imports.
_CommandLineError: Final[type[Exception]] = typer.BadParameter.__mro__[1]


class _WithHelpText:
    """The help of a command ends with its examples and exit codes, and no list cuts its summary."""

    def get_short_help_str(self, limit: int = _UNCUT) -> str:
        summary: str = super().get_short_help_str(_UNCUT)  # type: ignore[misc]  # of the other base
        return summary

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from ctisync.cli.help import write_help_text  # imported only for help, so that other calls start fast

        write_help_text(ctx.command_path, formatter)


class _Command(_WithHelpText, TyperCommand):
    pass


class _Group(_WithHelpText, TyperGroup):
    """It lists its commands if it is called without one."""

    def invoke(self, ctx: Any) -> Any:
        ended = super().invoke(ctx)
        if ctx.invoked_subcommand is None:
            _list_commands(ctx)
        return ended


class _Commands(_Group):
    """`ctisync`. It imports a command when it is called, so that no call waits for the libraries of another;
    a help, a completion or a wrong name imports all."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            self._import([cmd_name] if cmd_name in COMMANDS else COMMANDS)
        return self.commands.get(cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        self._import(COMMANDS)
        return list(self.commands)

    def _import(self, names: Iterable[str]) -> None:
        for name in names:
            import_module(COMMANDS[name])
        imported = dict(typer.main.get_group(app).commands)
        self.commands = {name: imported[name] for name in COMMANDS if name in imported} | imported


class HelpGroup(typer.Typer):
    """A group of commands. The help of each, and its own, ends with the examples and exit codes of
    help_texts.toml."""

    def __init__(self, cls: type[TyperGroup] = _Group, **options: Any) -> None:
        super().__init__(
            cls=cls,
            context_settings={"help_option_names": ["-h", "--help"]},
            add_completion=False,
            rich_markup_mode=None,
            invoke_without_command=True,
            **options,
        )

    def command(
        self, name: str | None = None, **options: Any
    ) -> Callable[[CommandFunctionType], CommandFunctionType]:
        return super().command(name, **{"cls": _Command, **options})


app = HelpGroup(
    cls=_Commands,
    name="ctisync",
    help="Keeps a local copy of Wazuh's CTI vulnerability feed in step, on SQLite or OpenSearch.",
    pretty_exceptions_enable=False,
)


def command_line() -> Any:
    """The whole command line, with each command imported."""
    root: Any = typer.main.get_command(app)
    root.list_commands(None)
    return root


def _list_commands(context: Any) -> None:
    command = context.command
    formatter = context.make_formatter()
    command.format_usage(context, formatter)
    command.format_help_text(context, formatter)
    command.format_commands(context, formatter)
    inner = context.command_path.partition(" ")[2]
    more = [
        (" ".join(filter(None, ("ctisync help", inner, "COMMAND"))), "its options, with examples"),
        (f"{context.command_path} --help", "this list with options, examples and exit codes"),
    ]
    with formatter.section("More"):
        formatter.write_dl(more)
    print_result(formatter.getvalue().rstrip("\n"))


@app.callback()
def _without_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Show the versions of ctisync, Python, SQLite and the libraries."
        ),
    ] = False,
) -> None:
    if version:
        print_result("\n".join(_versions()))
        raise typer.Exit(DONE)


def _versions() -> Iterator[str]:
    """Those that a bug report needs, one per line; last the libraries that ctisync requires."""
    import platform
    import sqlite3
    from importlib import metadata

    yield f"ctisync {__version__}"
    yield f"Python {platform.python_version()}"
    yield f"SQLite {sqlite3.sqlite_version}"
    try:
        required = metadata.requires("ctisync") or []
    except metadata.PackageNotFoundError:  # it runs from its sources
        return
    for requirement in required:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            if "extra ==" not in requirement:
                yield f"{name} not installed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors are printed here: the message, and below it the hint.

    `arguments`: without the name of the program; None: those of the process.
    """
    process.open_streams()
    clock = SystemClock()
    console = Console(sys.stderr, clock)
    silence_libraries()

    typed = sys.argv[1:] if arguments is None else arguments
    console.after_stop = lambda: AFTER_STOP.get(typed[0], "") if typed else ""

    def report_forced_end(number: int) -> None:
        stop = Stopped(number, console.after_stop())
        stop.message += "; stopped at once"
        console.error(stop)

    try:
        with process.stopping_on_signals(report_forced_end, clock.monotonic):
            code = _run_reporting(typed, console)
    except process.StopRequested as error:
        stop = Stopped(error.signal_number, console.after_stop())
        console.failure(stop, error)
        process.drop_results()
        return stop.exit_code
    process.drop_unwritten_results()
    return code


def _run_reporting(arguments: Sequence[str], console: Console) -> int:
    """Run one command and print its error, if any; returns the exit code."""
    try:
        code = _run(arguments, console)
        process.flush_results()
    except _CommandLineError as error:
        code = _report_usage(error, console)
    except BrokenPipeError:  # the reader of the output has closed it
        code = DONE
    except Exception as error:  # noqa: BLE001  # nothing above reports it
        reported = process.error_to_report(error)
        console.error(reported)
        code = reported.exit_code
        if code == BUG:
            code = exit_code_of_bug(arguments, escape(console.masked(reported.message)))
    return code


def _run(arguments: Sequence[str], console: Console) -> int:
    """Parse and run. Not by `main` of click, which would handle signals and broken pipes in its own way."""
    command = typer.main.get_command(app)
    if instruction := os.environ.get(COMPLETION_VARIABLE):
        from ctisync.cli.help import complete

        return complete(command, instruction)
    try:
        with command.make_context("ctisync", list(arguments), obj=console) as context:
            return int(command.invoke(context) or DONE)
    except typer.Exit as end:  # --help, --version
        return end.exit_code


def _report_usage(error: Any, console: Console) -> int:
    path = error.ctx.command_path if getattr(error, "ctx", None) else "ctisync"
    usage = UsageError(error.format_message(), hint=f"{path} --help")
    console.failure(usage, error)
    return usage.exit_code
