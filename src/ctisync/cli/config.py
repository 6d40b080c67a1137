"""The commands for the settings: none of them connects to a feed or a store."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ctisync.cli.app import HelpGroup, app, list_commands
from ctisync.cli.invocation import CommonOptions, JsonOption, common, print_document
from ctisync.errors import DONE
from ctisync.settings import Settings
from ctisync.settings.checks import SeveralMistakes
from ctisync.settings.schema import leaf_types
from ctisync.system.files import STDOUT
from ctisync.system.process import print_result

config = HelpGroup(help="Show and check the settings, or create a settings file.")
app.add_typer(config, name="config")


@config.callback()
def _no_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_commands(context)


def _names_of_settings() -> list[str]:
    return list(leaf_types(Settings))


@config.command()
@common(consumer=False)
def show(
    options: CommonOptions,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A setting or a section: cti.url, cti, consumers[0].index.",
            autocompletion=_names_of_settings,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show each setting, its value and its source. Secrets stay hidden."""
    from ctisync.commands.config import show as command

    console = options.console()
    found = options.read_settings(console)
    if as_json:
        print_document(command.as_document(found, os.environ, name))
    else:
        print_result(console.masked(command.as_text(found, os.environ, name)))
    return DONE


@config.command()
@common(consumer=False)
def get(
    options: CommonOptions,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A setting: cti.url, consumers[0].index.",
            autocompletion=_names_of_settings,
        ),
    ],
) -> int:
    """Print only the value of one setting, for scripts; a list is printed one entry per line."""
    from ctisync.commands.config import show as command

    console = options.console()
    print_result(console.masked(command.as_value(options.read_settings(console), name)))
    return DONE


@config.command()
@common(consumer=False)
def check(
    options: CommonOptions,
) -> int:
    """Check the settings, report all mistakes at once, and warn of likely ones."""
    from ctisync.settings.warnings import folder_warnings, setting_warnings

    console = options.console()
    try:
        loaded = options.read_settings(console)
    except SeveralMistakes as several:
        for each in several.errors:
            console.error(each)
        return several.exit_code
    for advice in (*setting_warnings(loaded), *folder_warnings(loaded.settings)):
        console.event("warning", "settings", message=advice.text, hint=advice.hint)
    if not options.quiet:
        print_result("the settings are valid")
    return DONE


@config.command()
@common(config=False, consumer=False)
def init(
    options: CommonOptions,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="File to create; ctisync never overwrites one."),
    ] = None,
) -> int:
    """Print a template for a settings file: all settings with their defaults and meanings."""
    from ctisync.settings.toml_text import template

    options.console()
    if output is None or output == STDOUT:
        print_result(template().rstrip("\n"))
        return DONE
    from ctisync.commands.config.init import write

    write(template(), output)
    return DONE


@config.command()
@common(config=False, consumer=False)
def schema(
    options: CommonOptions,
) -> int:
    """Print the JSON Schema of a settings file, for editors."""
    from ctisync.commands.config.schema import schema as command

    options.console()
    print_document(command())
    return DONE
