"""`ctisync config`: show, check or create the settings. None of its commands asks a feed or a store.
`ctisync plans`: the plans of Wazuh's console, as settings that follow their consumers.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer

from ctisync import hints
from ctisync.cli.app import HelpGroup, app
from ctisync.cli.invocation import CLOCK, CommonOptions, JsonOption, command, json_fields, print_document
from ctisync.core.catalog import Plan, as_toml
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
from ctisync.wiring import console_api

_WIDEST: Final = 60
"""Shorter settings are padded to at most this many characters, so that their sources line up."""

_TEXT_OR_FILE: Final = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]},
    ]
}
"""A value in a table of texts."""

config = HelpGroup(help="Show and check the settings, or create a settings file.")
app.add_typer(config, name="config")


class SettingValue(NamedTuple):
    """One setting. `origin` is its source; None: the default."""

    name: str
    value: Any
    origin: str | None

    def is_setting_in(self, section: str) -> bool:
        """Whether it is a setting of a section, or of the sections in a list; a list includes its values."""
        return self.name.startswith((f"{section}.", f"{section}[")) and not self.name.endswith("]")


def _names_of_settings() -> list[str]:
    return list(leaf_types(Settings))


@command(group=config, consumer=False)
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
    loaded = options.read_settings()
    if as_json:
        print_document(as_document(loaded, os.environ, name))
    else:
        print_result(options.console.masked(as_text(loaded, os.environ, name)))
    return DONE


@command(group=config, consumer=False)
def get(
    options: CommonOptions,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A setting: cti.url, consumers[0].index.", autocompletion=_names_of_settings
        ),
    ],
) -> int:
    """Print only the value of one setting, for scripts; a list is printed one entry per line."""
    value = _as_value(options.read_settings(), name)
    print_result(options.console.masked(value))
    return DONE


@command(group=config, consumer=False)
def check(options: CommonOptions) -> int:
    """Check the settings, report all mistakes at once, and warn of likely ones."""
    from ctisync.settings.checks import folder_warnings, setting_warnings

    console = options.console
    try:
        loaded = options.read_settings()
    except SeveralMistakes as several:
        for each in several.errors:
            console.error(each)
        return several.exit_code
    for advice in (*setting_warnings(loaded), *folder_warnings(loaded.settings)):
        console.event("warning", "settings", message=advice.text, hint=advice.hint)
    if not options.quiet:
        print_result("the settings are valid")
    return DONE


@command(group=config, config=False, consumer=False)
def init(
    _options: CommonOptions,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to create; ctisync never overwrites one.")
    ] = None,
) -> int:
    """Print a template for a settings file: all settings with their defaults and meanings."""
    if output is None or output == STDOUT:
        print_result(template().rstrip("\n"))
    else:
        create_file(output, template(), hint="ctisync config init --output ANOTHER_FILE")
    return DONE


@command(group=config, config=False, consumer=False)
def schema(_options: CommonOptions) -> int:
    """Print the JSON Schema of a settings file, for editors."""
    print_document(json_schema())
    return DONE


def _values(loaded: LoadedSettings, name: str | None = None, command: str = "show") -> list[SettingValue]:
    """All settings, or the setting, section or part of a list with that name: `cti`, `cti.url`,
    `consumers[0].index`.

    Raises UsageError if there is none; its hint is `command` with the nearest name.
    """
    values = []
    for each in leaf_types(Settings):
        source = loaded.sources.get(each)
        origin = None if source is None else source.origin
        values.append(SettingValue(each, attrgetter(each)(loaded.settings), origin))
    if name is None:
        return values
    parts = [part for one in values for part in _parts(one)]
    chosen = [one for one in values if f"{one.name}.".startswith(f"{name}.")]
    chosen = chosen or [part for part in parts if part.name == name or part.is_setting_in(name)]
    if not chosen:
        from difflib import get_close_matches

        near = get_close_matches(name, [each.name for each in values + parts], n=1)
        hint = (
            hints.command(f"config {command}", quoted(near[0]))
            if near
            else f"{hints.command('config show')} (lists all settings)"
        )
        raise UsageError(f"unknown setting {name}", hint=hint)
    return chosen


def _parts(one: SettingValue) -> Iterator[SettingValue]:
    """The values in a list, or the settings of the sections in it, each with its own parts."""
    for index, value in enumerate(one.value if isinstance(one.value, tuple) else ()):
        name = f"{one.name}[{index}]"
        if not isinstance(value, msgspec.Struct):
            yield SettingValue(name, value, one.origin)
            continue
        for key in value.__struct_fields__:
            inner = SettingValue(f"{name}.{key}", getattr(value, key), one.origin)
            yield inner
            yield from _parts(inner)


def _settings_in(one: SettingValue) -> list[SettingValue]:
    """Those of the sections in a list of sections; else the setting itself."""
    return [part for part in _parts(one) if part.is_setting_in(one.name)] or [one]


def _as_value(loaded: LoadedSettings, name: str) -> str:
    """The value of one setting, for a script; a list has one value per line.

    Raises UsageError for a section or list of sections, and for a secret.
    """
    values = _values(loaded, name, "get")
    one = values[0]
    if values != [one] or one.name != name or _settings_in(one) != [one]:
        raise UsageError(f"{name} is not a single setting", hint=hints.command("config show", quoted(name)))
    if isinstance(one.value, Secret | dict):
        raise UsageError(
            f"{name} is a secret; ctisync does not print it",
            hint=f"{hints.command('config show', quoted(name))} (prints its source)",
        )
    return "\n".join(map(escape, map(_as_word, one.value if isinstance(one.value, tuple) else [one.value])))


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


def as_text(loaded: LoadedSettings, environ: Mapping[str, str], name: str | None = None) -> str:
    """In the syntax of a settings file; a comment on each line names its source."""
    files = [f"# {path}: {'read' if path.exists() else 'not found'}" for path in loaded.files]
    rows = [
        (f"{each.name} = {to_toml(each.value)}", each.origin or "default")
        for one in _values(loaded, name)
        for each in _settings_in(one)
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
            {"setting": one.name, "value": _plain(one.value), "origin": one.origin}
            for one in _values(loaded, name)
        ],
        "proxies": proxies(environ),
    }


def _plain(value: Any) -> Any:
    """The value for JSON."""
    return msgspec.to_builtins(value, enc_hook=lambda each: "***" if isinstance(each, Secret) else str(each))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a settings file in TOML."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_as_toml_has_it(schema_of(Settings))}


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


@command("plans", consumer=False)
def plans_(options: CommonOptions, as_json: JsonOption = False) -> int:
    """Print the plans of Wazuh's console: consumers to paste into the settings. Needs no store."""
    settings = options.read_settings().settings
    api = console_api(settings, CLOCK)
    plans = api.plans()
    if as_json:
        print_document(_plans_as_document(api.url, plans))
    else:
        lines = as_toml(plans, settings.cti.url).split("\n") if plans else ["# the console has no plans"]
        print_result(options.console.masked("\n".join(map(escape, lines))))
    return DONE


def _plans_as_document(url: str, plans: Sequence[Plan]) -> dict[str, Any]:
    """The contract of `plans --json`. `url`: the base URL of the console. `context` and `consumer` are null
    for a feature that is no consumer."""
    documents = []
    for plan in plans:
        features = [
            {
                **json_fields(each, "name", "type", "url"),
                "context": each.address and each.address.context,
                "consumer": each.address and each.address.consumer,
            }
            for each in plan.features
        ]
        documents.append({**json_fields(plan, "name", "is_public", "is_own"), "features": features})
    return {"console": url, "plans": documents}
