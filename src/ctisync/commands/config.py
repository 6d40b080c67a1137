"""`ctisync config`: show, check or create the settings. None of its commands asks a feed or a store."""

import os
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from ctisync.cli.app import HelpGroup, app, list_commands
from ctisync.cli.invocation import CommonOptions, JsonOption, common, print_document
from ctisync.errors import DONE, UsageError
from ctisync.escaping import escape, quoted
from ctisync.settings import LoadedSettings, Settings
from ctisync.settings.checks import SeveralMistakes
from ctisync.settings.schema import json_schema as schema_of
from ctisync.settings.schema import leaf_types, template, to_toml
from ctisync.settings.sources import proxies
from ctisync.system.files import STDOUT, create_file
from ctisync.system.process import print_result
from ctisync.urls import Secret

_WIDEST: Final = 60
"""Shorter settings are padded to at most this many characters, so that their sources line up."""

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_TEXT_OR_FILE: Final = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]},
    ]
}
"""A value in a table of texts."""

config = HelpGroup(help="Show and check the settings, or create a settings file.")
app.add_typer(config, name="config")


class SettingValue(msgspec.Struct, frozen=True):
    """One setting. `origin` is its source; None: the default."""

    name: str
    value: Any
    origin: str | None


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
    console = options.console()
    loaded = options.read_settings(console)
    if as_json:
        print_document(as_document(loaded, os.environ, name))
    else:
        print_result(console.masked(as_text(loaded, os.environ, name)))
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
    console = options.console()
    print_result(console.masked(_as_value(options.read_settings(console), name)))
    return DONE


@config.command()
@common(consumer=False)
def check(options: CommonOptions) -> int:
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
    options.console()
    if output is None or output == STDOUT:
        print_result(template().rstrip("\n"))
    else:
        create_file(output, template(), hint="ctisync config init --output ANOTHER_FILE")
    return DONE


@config.command()
@common(config=False, consumer=False)
def schema(options: CommonOptions) -> int:
    """Print the JSON Schema of a settings file, for editors."""
    options.console()
    print_document(json_schema())
    return DONE


def _values(loaded: LoadedSettings, name: str | None = None, command: str = "show") -> list[SettingValue]:
    """All settings, or the setting, section or part of a list with that name: `cti`, `cti.url`,
    `consumers[0].index`.

    Raises UsageError if there is none; its hint is `command` with the nearest name.
    """
    values = [_value(loaded, each) for each in leaf_types(Settings)]
    if name is None:
        return values
    parts = [part for one in values for part in _parts(one)]
    chosen = [one for one in values if f"{one.name}.".startswith(f"{name}.")]
    chosen = chosen or [part for part in parts if _is_in(part.name, name)]
    if not chosen:
        raise _unknown(name, [each.name for each in values + parts], command)
    return chosen


def _as_value(loaded: LoadedSettings, name: str) -> str:
    """The value of one setting, for a script; a list has one value per line.

    Raises UsageError for a section or list of sections, and for a secret.
    """
    one, *others = _values(loaded, name, "get")
    if others or one.name != name or _is_list_of_sections(one.value):
        raise UsageError(f"{name} is not a single setting", hint=f"ctisync config show {quoted(name)}")
    if isinstance(one.value, Secret | dict):
        raise UsageError(
            f"{name} is a secret; ctisync does not print it",
            hint=f"ctisync config show {quoted(name)} (prints its source)",
        )
    values = one.value if isinstance(one.value, tuple) else (one.value,)
    return "\n".join(escape(_as_word(value)) for value in values)


def _as_word(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case _:
            return str(value)


def _value(loaded: LoadedSettings, name: str) -> SettingValue:
    source = loaded.sources.get(name)
    value = attrgetter(name)(loaded.settings)
    return SettingValue(name, value, None if source is None else source.origin)


def _parts(one: SettingValue) -> Iterator[SettingValue]:
    """The values in a list and in its sections; a section itself is not a part."""
    if isinstance(one.value, tuple):
        for index, value in enumerate(one.value):
            part = SettingValue(f"{one.name}[{index}]", value, one.origin)
            if isinstance(value, msgspec.Struct):
                for key, field in _fields(value):
                    inner = SettingValue(f"{part.name}.{key}", field, one.origin)
                    yield inner
                    yield from _parts(inner)
            else:
                yield part


def _is_in(name: str, section: str) -> bool:
    """Whether `name` is `section` or a setting in it; a list includes its values."""
    return name == section or (name.startswith(f"{section}.") and not name.endswith("]"))


def _is_list_of_sections(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], msgspec.Struct)


def _unknown(name: str, names: list[str], command: str) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=1)
    hint = "ctisync config show (lists all settings)"
    if near:
        hint = f"ctisync config {quoted(command)} {quoted(near[0])}"
    return UsageError(f"unknown setting {name}", hint=hint)


def as_text(loaded: LoadedSettings, environ: Mapping[str, str], name: str | None = None) -> str:
    """In the syntax of a settings file; a comment on each line names its source."""
    files = [f"# {path}: {'read' if path.exists() else 'not found'}" for path in loaded.files]
    rows = [
        (f"{setting} = {to_toml(value)}", one.origin or "default")
        for one in _values(loaded, name)
        for setting, value in _lines(one)
    ]
    width = max((len(left) for left, _ in rows if len(left) <= _WIDEST), default=0)
    lines = [f"{left:<{width}}  # {right}" for left, right in rows]
    for variable, value in proxies(environ).items():
        what = "no proxy for" if variable.lower() == "no_proxy" else "proxy for the feed"
        lines.append(f"# {variable}: {what}: {value}")
    return "\n".join(map(escape, [*files, *lines]))


def as_document(
    loaded: LoadedSettings, environ: Mapping[str, str], name: str | None = None
) -> dict[str, Any]:
    """Secrets are `***`; an `origin` of null means the default."""
    return {
        "files": [{"path": str(path), "read": path.exists()} for path in loaded.files],
        "settings": [
            {
                "setting": one.name,
                "value": msgspec.to_builtins(one.value, enc_hook=_plain),
                "origin": one.origin,
            }
            for one in _values(loaded, name)
        ],
        "proxies": proxies(environ),
    }


def _lines(one: SettingValue) -> Iterator[tuple[str, Any]]:
    """A list of sections has one line per setting of each section."""
    if not _is_list_of_sections(one.value):
        yield one.name, one.value
        return
    for index, section in enumerate(one.value):
        yield from ((f"{one.name}[{index}].{key}", value) for key, value in _fields(section))


def _fields(section: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for key in section.__struct_fields__:
        yield key, getattr(section, key)


def _plain(value: Any) -> str:
    """A value of a type that JSON lacks."""
    return "***" if isinstance(value, Secret) else str(value)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a settings file in TOML."""
    return {"$schema": _DRAFT, **_as_toml_has_it(schema_of(Settings))}


def _as_toml_has_it(node: Any) -> Any:
    """TOML has no null: an empty string means that nothing is set. A section needs no default."""
    match node:
        case {"type": "null"}:
            return {"const": ""}
        case {"default": None}:
            return _as_toml_has_it({**node, "default": ""})
        case {"$ref": _, "default": dict()}:
            return {"$ref": node["$ref"]}
        case {"additionalProperties": {"type": "string"}}:
            return {**node, "additionalProperties": _TEXT_OR_FILE}
        case dict():
            return {key: _as_toml_has_it(value) for key, value in node.items()}
        case list():
            return [_as_toml_has_it(value) for value in node]
        case _:
            return node
