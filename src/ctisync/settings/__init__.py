"""The settings: every one with its type and default, and how they are put together.

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

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ctisync.core.limits import Limits
from ctisync.core.model import Consumer
from ctisync.errors import ConfigurationError
from ctisync.settings.checks import (
    OpenSearchPlace,
    Place,
    check_consumers,
    check_hosts,
    check_key_pair,
    check_login,
    check_readable,
    check_secret_url,
    check_url,
    parse_store_url,
)
from ctisync.settings.sources import (
    Given,
    Secret,
    gather,
    home_config_file,
    leaves,
    read_text_file,
    secret_of,
    variable,
)

SYSTEM_FILE: Final = Path("/etc/ctisync/config.toml")

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class CtiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The feed. `token` is sent as Bearer to the URL's host alone."""

    url: str = "https://cti.wazuh.com/api/v1"
    token: Secret | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    # How long a pass waits, in all, for what is transient.
    retry_budget: Seconds = 300.0
    # How long the feed is left alone once that is spent. 0: not at all.
    cooldown: Annotated[float, Meta(ge=0, le=86_400)] = 600.0
    # Other hosts that a snapshot's link may lead to: "host", "*.domain", either with ":port".
    allowed_hosts: tuple[str, ...] = ()
    # Whether a snapshot is loaded while it still comes in, or only when all of it is here.
    load_while_downloading: bool = True


class ConsumerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to follow, and the name under which readers find it."""

    context: str = "vd_1.0.0"
    consumer: str = "vd_4.8.0"
    index: str = "wazuh-cve"
    # Shell-style patterns of record names.
    resources: tuple[str, ...] = ("*",)

    def consumer_of_core(self) -> Consumer:
        return Consumer(self.context, self.consumer, self.index, self.resources)


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the content is kept, and how to get in."""

    # sqlite:///relative, sqlite:////absolute or http(s)://host:9200[,host2:9200]. Empty: the state folder's.
    url: str = ""
    username: str | None = None
    password: Secret | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    shards: Annotated[int, Meta(ge=1, le=1024)] = 1
    replicas: Annotated[int, Meta(ge=0, le=1000)] = 0
    # Of the records in a SQLite file, as they are written from now on. "none" is for who reads it with
    # nothing but SQL.
    compression: Literal["zstd", "none"] = "zstd"
    codec: Literal["default", "best_compression"] = "default"
    senders: Annotated[int, Meta(ge=1, le=32)] = 4
    bulk_bytes: Annotated[int, Meta(ge=100_000, le=100_000_000)] = 3_000_000


class CommandManagerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of new content. Credentials default to the store's, at the store's own origin only."""

    # None: on when the store is OpenSearch, or when a URL is set.
    enabled: bool | None = None
    url: str | None = None
    version: str = "5.0.0"
    target_id: str = "vulnerability-detector"
    timeout: Seconds = 30.0
    username: str | None = None
    password: Secret | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


class HookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is run after a pass: a program and its arguments, without a shell."""

    # When readers have another content than before.
    on_update: tuple[str, ...] = ()
    # When the exit code is not 0.
    on_error: tuple[str, ...] = ()
    # When the content was last known to be in step longer than `stale_after` seconds ago.
    on_stale: tuple[str, ...] = ()
    stale_after: Annotated[float, Meta(gt=0, le=31_536_000)] = 86_400.0
    # Of each, in seconds; then it is ended.
    timeout: Seconds = 60.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of them. As `load` returns them, `*_file` secrets are read and the folders are filled in."""

    cti: CtiSettings = CtiSettings()
    consumers: tuple[ConsumerSettings, ...] = (ConsumerSettings(),)
    store: StoreSettings = StoreSettings()
    command_manager: CommandManagerSettings = CommandManagerSettings()
    limits: Limits = Limits()
    hooks: HookSettings = HookSettings()
    # Who is told that a run begins (/start), and how it has ended: itself, or /fail.
    ping_url: Secret | None = None
    ping_url_file: Path | None = None
    # What `sync` does when the feed's last offset lies below ours.
    on_feed_reset: Literal["refuse", "init"] = "refuse"
    # Seconds between two initialisations that a failed change causes.
    reinit_interval: Annotated[float, Meta(ge=0, le=31_536_000)] = 86_400.0
    # Where this host keeps what is its own. Empty: $STATE_DIRECTORY, else the user's state folder.
    state_dir: Path = Path()

    @property
    def place(self) -> Place:
        """Where the store is."""
        return parse_store_url(self.store.url, "store.url")

    @property
    def followed(self) -> tuple[Consumer, ...]:
        return tuple(consumer.consumer_of_core() for consumer in self.consumers)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: as it is set, and as a login is sent (RFC 7617)."""
        logins = [
            (section.username, section.password.reveal())
            for section in (self.store, self.command_manager)
            if section.password is not None
        ]
        token = () if self.cti.token is None else (self.cti.token.reveal(),)
        sent = (base64.b64encode(f"{user}:{password}".encode()).decode() for user, password in logins)
        ping = () if self.ping_url is None else (self.ping_url.reveal(),)
        return (*token, *ping, *(password for _, password in logins), *sent)


def load(
    config_file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    system_file: Path = SYSTEM_FILE,
) -> Settings:
    """Put the settings together and check them. Raises ConfigurationError.

    `config_file` takes the place of the user's own file, and must then be there.
    """
    own_file = config_file or home_config_file(environ)
    given = gather(Settings, {system_file: False, own_file: config_file is not None}, environ)
    settings = _built({name: one.value for name, one in _with_secret_files(given).items()})
    settings = _with_folders(settings, environ, chosen="state_dir" in given)
    _check(settings, given)
    return settings


def _with_secret_files(given: dict[str, Given]) -> dict[str, Given]:
    """Read what `*_file` settings name, into the secrets that they stand for."""
    read = dict(given)
    for name in leaves(Settings):
        file = given.get(f"{name}_file")
        if file is None:
            continue
        if name in given:
            where = f"by {given[name].origin} and by {file.origin}"
            raise ConfigurationError(f"{name} is set twice: {where}", hint="remove one of them")
        read[name] = Given(secret_of(read_text_file(file.value, file.origin), file.origin), file.origin)
    return read


def _built(values: dict[str, Any]) -> Settings:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[key] = value
    kinds = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    return Settings(
        **{name: kinds[name](**part) if isinstance(part, dict) else part for name, part in tree.items()}
    )


def _with_folders(settings: Settings, environ: Mapping[str, str], *, chosen: bool) -> Settings:
    if chosen:
        folder = settings.state_dir
    elif environ.get("STATE_DIRECTORY"):
        folder = Path(environ["STATE_DIRECTORY"].split(":")[0])  # systemd lists them with colons
    else:
        from platformdirs import user_state_dir

        folder = Path(user_state_dir("ctisync", appauthor=False))
    folder = folder.absolute()
    store = settings.store
    if not store.url:
        store = msgspec.structs.replace(store, url=f"sqlite:///{folder / 'ctisync.db'}")
    return msgspec.structs.replace(settings, state_dir=folder, store=store)


def _check(settings: Settings, given: dict[str, Given]) -> None:
    def where(name: str) -> str:
        return given[name].origin if name in given else name

    commands, store = settings.command_manager, settings.store
    check_url(settings.cti.url, where("cti.url"), f"cti.token_file or {variable('cti.token')}")
    check_hosts(settings.cti.allowed_hosts, where("cti.allowed_hosts"))
    place = parse_store_url(store.url, where("store.url"))
    if commands.url is not None:
        instead = f"command_manager.username and {variable('command_manager.password')}"
        check_url(commands.url, where("command_manager.url"), instead)
    elif commands.enabled and not isinstance(place, OpenSearchPlace):
        raise ConfigurationError(
            f"{where('command_manager.enabled')}: with a SQLite store there is no Command Manager to guess",
            hint="set command_manager.url, or command_manager.enabled = false",
        )
    if settings.ping_url is not None:
        check_secret_url(settings.ping_url.reveal(), where("ping_url"))
    for name, one in given.items():
        if isinstance(one.value, Path) and name != "state_dir":
            check_readable(one.value, one.origin)
    for name in ("store", "command_manager"):
        section = getattr(settings, name)
        check_login(section.username, section.password, where(f"{name}.password"))
        check_key_pair(section.client_cert, section.client_key, where(f"{name}.client_key"))
    check_consumers(settings.followed, where("consumers"))
