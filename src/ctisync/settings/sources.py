"""The sources of settings: files, systemd credentials and the environment; later ones override earlier ones.
Also the proxy variables, which the HTTP library reads and may log.

`read_sources` compares each source with the types of the settings: for an unknown name or a value of the
wrong type, the message names the place and the nearest valid name. An empty text counts as not set, since
TOML and the environment cannot express that otherwise. No message here repeats a value: it may be a secret.
"""

import base64
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, get_args, get_origin
from urllib.parse import unquote

import msgspec

from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.errors import ConfigurationError, in_words
from ctisync.escaping import quoted
from ctisync.settings.checks import Mistakes, raise_all
from ctisync.settings.model import Settings, SetValue
from ctisync.settings.schema import (
    ENVIRONMENT_PREFIX,
    field_types,
    is_section,
    leaf_types,
    type_in_words,
    variable,
    without_none,
)
from ctisync.system.files import file_name, open_any
from ctisync.urls import Secret

_decoder: Final = msgspec.json.Decoder()

_NAMES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_SCHEME: Final = re.compile("^[a-z0-9+.-]*://", re.IGNORECASE)


def read_sources(
    files: Mapping[Path, bool], environ: Mapping[str, str], mistakes: Mistakes
) -> dict[str, SetValue]:
    """All settings that are set, by their dotted names. Raises nothing: errors go to `mistakes`.

    `files`: the settings files, and whether each must exist; a later one overrides an earlier one.
    """
    values: dict[str, SetValue] = {}
    for path, needed in files.items():
        with mistakes.collect():
            values.update(_from_table(Settings, _table_of(path, needed), path, "", mistakes))
    values.update(_from_credentials(environ, mistakes))
    values.update(_from_environment(environ, mistakes))
    return values


def read_text_file(path: Path, origin: str) -> str:
    """The text of a file that a setting names. Raises ConfigurationError, whose message begins with `origin`,
    if it cannot be read or is not UTF-8."""
    try:
        with open_any(path) as file, TextIOWrapper(file, encoding="utf-8") as text:
            return text.read()
    except OSError as error:
        raise ConfigurationError(
            f"{origin}: cannot read {path}: {error.strerror}", hint=f"ls -l {quoted(path)}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{origin}: {path} is not UTF-8 text") from error


def _table_of(path: Path, needed: bool) -> dict[str, Any]:
    try:
        if not needed and not path.exists():
            return {}
    except OSError:
        pass  # no permission for the folder: reading reports it
    text = read_text_file(path, "settings")
    try:
        return tomllib.loads(text)
    except Exception as error:  # also nested too deeply, or a number of too many digits
        why = error if isinstance(error, ValueError) else in_words(error)
        raise ConfigurationError(f"{path} is not valid TOML: {why}", hint=f"edit {quoted(path)}") from error


def _from_table(
    schema: type[msgspec.Struct], raw: Mapping[str, Any], file: Path, prefix: str, mistakes: Mistakes
) -> Iterator[tuple[str, SetValue]]:
    types = field_types(schema)
    for key, value in raw.items():
        name = prefix + key
        origin = f"{file}: {name}"
        if key not in types:
            mistakes.add(_unknown(f"{file}: unknown setting {name}", name, _all_names(schema, prefix)))
        elif not is_section(types[key]):
            with mistakes.collect(name):
                if value != "":
                    yield name, SetValue(_typed(types[key], value, origin), origin, file)
        elif isinstance(value, dict):
            yield from _from_table(types[key], value, file, f"{name}.", mistakes)
        else:
            mistakes.add(ConfigurationError(f"{origin}: expected a table", hint=f"write [{name}] as a line"))


def _from_credentials(environ: Mapping[str, str], mistakes: Mistakes) -> dict[str, SetValue]:
    """Secrets as systemd credentials: files named like the setting (LoadCredential=cti.token:...). One of a
    table of texts is JSON, as its variable is."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    values: dict[str, SetValue] = {}
    for name, kind in leaf_types(Settings).items() if folder else ():
        path = Path(folder or "", name)
        if (without_none(kind) is Secret or get_origin(kind) is dict) and path.exists():
            origin = f"credential {name}"
            with mistakes.collect(name):
                text = secret_of(read_text_file(path, origin), origin)
                value = text if get_origin(kind) is not dict else _of_variable(kind, origin, text.reveal())
                values[name] = SetValue(value, origin, path)
    return values


def secret_of(text: str, origin: str, file: Path | None = None) -> Secret:
    """A secret from the text of a file, without the final newline that editors add. Raises ConfigurationError
    if nothing is left."""
    secret = text.rstrip("\r\n")
    if not secret:
        raise ConfigurationError(f"{origin}: the file is empty")
    return Secret(secret, file)


def _from_environment(environ: Mapping[str, str], mistakes: Mistakes) -> dict[str, SetValue]:
    """CTISYNC_* variables."""
    types = leaf_types(Settings)
    names = {variable(name): name for name in types}
    values: dict[str, SetValue] = {}
    for key, text in environ.items():
        if not key.startswith(ENVIRONMENT_PREFIX) or text == "":
            continue
        if key not in names:
            mistakes.add(_unknown(f"unknown variable {key}", key, list(names)))
        else:
            with mistakes.collect(names[key]):
                values[names[key]] = SetValue(_of_variable(types[names[key]], key, text), key)
    return values


def _of_variable(kind: Any, key: str, text: str) -> Any:
    try:
        text = _as_utf8(text)
    except UnicodeError:
        raise ConfigurationError(f"{key} is not UTF-8 text") from None
    value: Any = text
    if get_origin(kind) in (tuple, dict):
        try:
            value = decode_as(text, _decoder)
        except UNDECODABLE as error:
            raise ConfigurationError(f"{key} is not valid JSON: {error}", hint=f"unset {key}") from error
    return _typed(kind, value, key, strict=value is not text)


def _as_utf8(text: str) -> str:
    """Python decodes bytes that are invalid in the locale to lone surrogates; with LANG=C, all but ASCII."""
    if text.isascii() or not re.search("[\ud800-\udfff]", text):
        return text
    return os.fsencode(text).decode("utf-8")


def _typed(kind: Any, value: Any, origin: str, strict: bool = True) -> Any:
    """`value` as its setting's type. Raises ConfigurationError with what is expected instead."""
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if not isinstance(value, list):
            raise ConfigurationError(f"{origin}: expected {type_in_words(kind)}")
        items, mistakes = [], Mistakes()
        for index, item in enumerate(value):
            with mistakes.collect():
                items.append(_typed(inner, item, f"{origin}[{index}]"))
        raise_all(mistakes.errors)
        return tuple(items)
    if is_section(kind) or get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise ConfigurationError(f"{origin}: expected {type_in_words(kind)}")
        return _section(kind, value, origin) if is_section(kind) else _texts(value, origin)
    if isinstance(value, str) and "\0" in value:
        raise ConfigurationError(
            f"{origin}: contains a NUL character", hint="remove it: no name or password has one"
        )
    try:
        # The type of one setting is not a Struct, and no other thread runs yet.
        return msgspec.convert(value, kind, strict=strict, dec_hook=_from_str)  # noqa: TID251
    except (*UNDECODABLE, RuntimeError):  # RuntimeError: no such ~user
        # Without the cause: its message may repeat the value, which may be a secret in the wrong place.
        raise ConfigurationError(f"{origin}: expected {type_in_words(kind)}") from None


def _section(kind: Any, value: dict[str, Any], origin: str) -> Any:
    types, items, mistakes = field_types(kind), {}, Mistakes()
    for key, item in value.items():
        with mistakes.collect():
            if key not in types:
                raise _unknown(f"{origin}: unknown setting {key}", key, list(types))
            if item != "":
                items[key] = _typed(types[key], item, f"{origin}.{key}")
    raise_all(mistakes.errors)
    return kind(**items)


def _texts(value: dict[str, Any], origin: str) -> dict[str, Secret]:
    """A table of texts, each by itself or as the file that contains it."""
    secrets, mistakes = {}, Mistakes()
    for name, text in value.items():
        where = f"{origin}.{name}"
        with mistakes.collect():
            match text:
                case "":
                    pass
                case str():
                    secrets[name] = _typed(Secret, text, where)
                case {"file": str(file)} if len(text) == 1:
                    path = _typed(Path, file, where)
                    secrets[name] = secret_of(read_text_file(path, where), where, path)
                case _:
                    hint = 'write NAME = "…" or NAME = { file = "/etc/ctisync/NAME" }'
                    raise ConfigurationError(f"{where}: expected a text or a file", hint=hint)
    raise_all(mistakes.errors)
    return secrets


def _from_str(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind is Path and isinstance(value, str):
        return Path(file_name(value)).expanduser()
    raise TypeError


def _unknown(message: str, name: str, valid: list[str]) -> ConfigurationError:
    from difflib import get_close_matches  # imported only for an unknown name

    near = get_close_matches(name, valid, n=1)
    if near:
        return ConfigurationError(f"{message}; the nearest is {near[0]}", hint=f"rename it to {near[0]}")
    return ConfigurationError(message, hint="remove it; valid here: " + ", ".join(sorted(valid)))


def _all_names(schema: type[msgspec.Struct], prefix: str) -> list[str]:
    sections = [prefix + name for name in field_types(schema)]
    return sections + [name for name in leaf_types(schema, prefix) if name not in sections]


def home_config_file(environ: Mapping[str, str]) -> Path | None:
    """The settings file of the user, which need not exist; None for a user without a home folder, as in a
    container. A relative XDG_CONFIG_HOME is ignored (XDG Base Directory Specification)."""
    folder = Path(environ.get("XDG_CONFIG_HOME", ""))
    try:
        return (folder if folder.is_absolute() else Path.home() / ".config") / "ctisync" / "config.toml"
    except RuntimeError:  # no HOME, and no entry for the user
        return None


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxies in effect, by variable, without user and password. Lower-case variables take precedence."""
    addresses: dict[str, str] = {}
    for name in _NAMES:
        chosen = name if name in environ else name.upper()
        if value := environ.get(chosen):
            before, _, address = value.rpartition("@")
            scheme = _SCHEME.match(before)
            addresses[chosen] = (scheme[0] if scheme else "") + address
    return addresses


def proxy_secrets(environ: Mapping[str, str]) -> Iterator[str]:
    """The passwords in HTTP_PROXY, https_proxy and so on, as they are written there and as they are sent.

    Without a password, the user name is the secret. Also of a variable that is not a valid address.
    """
    for name, value in environ.items():
        address, _, _ = value.rpartition("@")
        if address and name.lower().endswith("_proxy"):
            login = _SCHEME.sub("", address)
            user, _, password = login.partition(":")
            yield password or user
            yield unquote(password or user)
            sent = f"{unquote(user)}:{unquote(password)}".encode(errors="surrogateescape")
            yield base64.b64encode(sent).decode()
