"""The settings, and how ctisync reads them; `model` has each with its type, default and meaning.

Defaults < /etc/ctisync/config.toml < $XDG_CONFIG_HOME/ctisync/config.toml (or --config) < systemd
credentials < environment CTISYNC_* (two underscores between levels; CTISYNC_CONSUMERS is JSON).

    [cti]
    url = "https://cti.wazuh.com/api/v1"

    [[consumers]]
    consumer = "vd_4.8.0"

    [store]
    url = "https://indexer:9200"
    username = "ctisync"
    password_file = "/etc/ctisync/password"
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from ctisync.backends import StoreSettings, parse_store_url
from ctisync.errors import ConfigurationError
from ctisync.settings.checks import Mistakes, check_consumer_url, check_settings, raise_all
from ctisync.settings.model import ConsumerSettings, CtiSettings, LoadedSettings, Settings, SetValue
from ctisync.settings.schema import field_types, leaf_types
from ctisync.settings.sources import home_config_file, read_sources, read_text_file, secret_of
from ctisync.system.files import absolute

__all__ = ["CtiSettings", "LoadedSettings", "Settings", "StoreSettings", "load_settings"]

SYSTEM_FILE: Final = Path("/etc/ctisync/config.toml")


def load_settings(
    config_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    system_file: Path = SYSTEM_FILE,
) -> LoadedSettings:
    """Read and check the settings. Raises ConfigurationError; `checks.SeveralMistakes` for more than one.

    `config_file` replaces the settings file of the user, and must exist.
    """
    own_file = config_file or home_config_file(environ)
    mistakes = Mistakes()
    files = (
        {system_file: False} if own_file is None else {system_file: False, own_file: config_file is not None}
    )
    sources = _with_secret_files(read_sources(files, environ, mistakes), mistakes)
    folder, *_ = environ.get("STATE_DIRECTORY", "").split(":")  # systemd lists them with colons
    if "state_dir" not in sources and folder:
        sources["state_dir"] = SetValue(Path(folder), "STATE_DIRECTORY")
    settings = _assemble({name: one.value for name, one in sources.items()})
    settings = _with_folders(settings, chosen="state_dir" in sources)
    settings = _with_names(settings, sources, mistakes)
    check_settings(settings, sources, mistakes)
    raise_all(mistakes.errors)
    return LoadedSettings(settings, sources, tuple(files))


def _with_secret_files(sources: dict[str, SetValue], mistakes: Mistakes) -> dict[str, SetValue]:
    """Read the secrets from the files that `*_file` settings name."""
    read = dict(sources)
    for name in leaf_types(Settings):
        if (file := sources.get(f"{name}_file")) is not None:
            with mistakes.collect(name):
                if name in sources:
                    where = f"by {sources[name].origin} and by {file.origin}"
                    raise ConfigurationError(f"{name} is set twice: {where}", hint="remove one of them")
                secret = secret_of(read_text_file(file.value, file.origin), file.origin)
                read[name] = SetValue(secret, file.origin, file.value)
    return read


def _assemble(values: dict[str, Any]) -> Settings:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[key] = value
    types = field_types(Settings)
    return Settings(
        **{name: types[name](**part) if isinstance(part, dict) else part for name, part in tree.items()}
    )


def _with_folders(settings: Settings, *, chosen: bool) -> Settings:
    store = settings.store
    folder = absolute(settings.state_dir if chosen else _own_state_folder(store.url), "state_dir")
    if not store.url:
        store = msgspec.structs.replace(store, url=f"sqlite:///{folder / 'ctisync.db'}")
    return msgspec.structs.replace(settings, state_dir=folder, store=store)


def _with_names(settings: Settings, sources: dict[str, SetValue], mistakes: Mistakes) -> Settings:
    """Fill in context and consumer of those that are set by their URL."""
    usual, consumers = ConsumerSettings(), list(settings.consumers)
    for number, one in enumerate(consumers):
        if one.consumer_url is not None:
            names = (one.context, one.consumer)
            expected = None if names == (usual.context, usual.consumer) else names
            with mistakes.collect("consumers"):
                address = check_consumer_url(
                    one.consumer_url, settings.cti.url, expected, sources["consumers"].origin
                )
                consumers[number] = msgspec.structs.replace(
                    one, context=address.context, consumer=address.consumer
                )
    return msgspec.structs.replace(settings, consumers=tuple(consumers))


def _own_state_folder(store_url: str) -> Path:
    """The state folder of the user; without a home folder, that of a store on this host."""
    from platformdirs import user_state_dir

    with suppress(RuntimeError):  # no HOME and no entry for the user; some versions leave the `~`
        folder = Path(user_state_dir("ctisync", appauthor=False))
        if folder.parts[:1] != ("~",):
            return folder
    if store_url and (local := parse_store_url(store_url, "store.url").local) is not None:
        return local.path.parent
    raise ConfigurationError(
        "no state folder: HOME is not set and the user has no home folder",
        hint="set state_dir (or CTISYNC_STATE_DIR) to a folder that you can write to",
    )
