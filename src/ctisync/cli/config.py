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

config = Teaching(help="Show and check the settings, or create a settings file.")
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
            help="A setting or a section: cti.url, cti, consumers[0].index.",
            autocompletion=_names_of_settings,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Show each setting, its value and its source. Secrets stay hidden."""
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
            help="A setting: cti.url, consumers[0].index.",
            autocompletion=_names_of_settings,
        ),
    ],
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Print only the value of one setting, for scripts; a list is printed one entry per line."""
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
    """Check the settings, report all mistakes at once, and warn of likely ones."""
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
        Path | None,
        typer.Option("--output", metavar="FILE", help="File to create; ctisync never overwrites one."),
    ] = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Print a template for a settings file: all settings with their defaults and meanings."""
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
