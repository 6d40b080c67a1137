"""The commands about the settings themselves: none of them asks a feed or a store."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import Teaching, app, list_commands
from ctisync.cli.call import (
    ConfigOption,
    JsonOption,
    LogFormatOption,
    QuietOption,
    VerboseOption,
    console_of,
    found_settings,
    print_document,
)
from ctisync.errors import DONE
from ctisync.process import print_result
from ctisync.settings import Settings
from ctisync.settings.mistakes import Several
from ctisync.settings.sources import leaves
from ctisync.whole_file import STDOUT

config = Teaching(help="Show, check and begin the settings.")
app.add_typer(config, name="config")


@config.callback()
def _no_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_commands(context)


def _names_of_settings() -> list[str]:
    return list(leaves(Settings))


@config.command()
def show(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="One setting, or a section: cti.url, cti, consumers[0].index.",
            autocompletion=_names_of_settings,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Show each setting, its value and where that comes from. Secrets are not shown."""
    from ctisync.commands.config import show as command

    console = console_of(context, verbose, quiet, log_format)
    found = found_settings(config, console)
    if as_json:
        print_document(command.as_document(found, os.environ, name))
    else:
        print_result(console.masked(command.as_text(found, os.environ, name)))
    return DONE


@config.command()
def get(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="One setting: cti.url, or consumers[0].index.",
            autocompletion=_names_of_settings,
        ),
    ],
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Print the value of one setting and nothing else, for scripts; of a list, a line each."""
    from ctisync.commands.config import show as command

    console = console_of(context, verbose, quiet, log_format)
    print_result(console.masked(command.as_value(found_settings(config, console), name)))
    return DONE


@config.command()
def check(
    context: typer.Context,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Check the settings, tell all that is wrong with them, and warn of what is hardly meant."""
    from ctisync.settings.doubts import doubts, folder_doubts

    console = console_of(context, verbose, quiet, log_format)
    try:
        found = found_settings(config, console)
    except Several as several:
        for each in several.errors:
            console.error(each)
        return several.exit_code
    for doubt in (*doubts(found), *folder_doubts(found.settings)):
        console.event("warning", "settings", message=doubt.message, hint=doubt.hint)
    if not quiet:
        print_result("the settings can be used")
    return DONE


@config.command()
def init(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="A new file; none is written over.")
    ] = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Print a settings file to begin with: all settings, explained, with their defaults."""
    from ctisync.settings.toml_text import sample

    console_of(context, verbose, quiet, log_format)
    if output is None or output == STDOUT:
        print_result(sample().rstrip("\n"))
        return DONE
    from ctisync.commands.config.init import write

    write(sample(), output)
    return DONE


@config.command()
def schema(
    context: typer.Context,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Print the JSON Schema of a settings file, for editors."""
    from ctisync.commands.config.schema import schema as command

    console_of(context, verbose, quiet, log_format)
    print_document(command())
    return DONE
