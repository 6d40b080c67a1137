"""Checks of the values of settings, and warnings of likely mistakes in valid ones.

`Mistakes` collects what the checks find, so that one mistake does not hide the next. Each check raises
ConfigurationError, with a valid value as the hint. `where` is the source of the value, with which the message
begins: `config.toml: cti.url` or `CTISYNC_CTI__URL`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from operator import attrgetter
from os import geteuid
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ctisync.backends import parse_store_url
from ctisync.core.health import Advice
from ctisync.core.links import NAME, Address, parse_consumer_url
from ctisync.core.model import Consumer
from ctisync.core.words import counted
from ctisync.errors import ConfigurationError
from ctisync.escaping import quoted
from ctisync.settings.mirrors import check_keys
from ctisync.settings.model import LoadedSettings, Settings, SetValue
from ctisync.settings.schema import leaf_types, variable
from ctisync.system.files import open_any
from ctisync.system.folders import folder_risk, network_disk_risk
from ctisync.urls import Secret, address_of, redacted, refuse_credentials, split

OUR_INDICES: Final = ("wazuh-context", "ctisync-history")
"""Indices of the state and of the history."""

_OF_OTHERS: Final = 0o077
"""Permissions of the group and of others."""

_CATALOG_NAME: Final = re.compile(NAME)
_HOST: Final = re.compile(
    r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?"
)
_INDEX_NAME: Final = re.compile(r"[a-z0-9.][^A-Z\\/*?\"<>|\s,#:]*")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""The names of headers (RFC 9110, 5.6.2)."""
_OUR_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "cookie"}
    | {"expect", "host", "if-match", "if-none-match", "if-range", "keep-alive", "proxy-authorization"}
    | {"proxy-connection", "range", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"}
)


_ANY_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""A time before which a duration in the settings is tried."""


class SeveralMistakes(ConfigurationError):
    """More than one mistake, in `errors`. The message is that of the first, with the command that prints all
    of them."""

    def __init__(self, errors: Sequence[ConfigurationError]) -> None:
        first, *others = errors
        more = counted(len(others), "more mistake", "more mistakes")
        super().__init__(f"{first.message}; ctisync config check prints {more}", hint=first.hint)
        self.errors = tuple(errors)


def raise_all(errors: Iterable[ConfigurationError]) -> None:
    """Raise the one mistake, or SeveralMistakes; do nothing if there is none."""
    mistakes: dict[str, ConfigurationError] = {}  # two consumers may have the same wrong context
    for error in errors:
        for each in error.errors if isinstance(error, SeveralMistakes) else (error,):
            mistakes.setdefault(each.message, each)
    if len(mistakes) > 1:
        raise SeveralMistakes([*mistakes.values()])
    for each in mistakes.values():
        raise each


class Mistakes:
    """The `errors` that blocks of `collect` have raised."""

    def __init__(self) -> None:
        self.errors: list[ConfigurationError] = []
        self._settings: set[str] = set()

    @contextmanager
    def collect(self, *settings: str) -> Iterator[None]:
        """Keep the ConfigurationError that the block raises, as a mistake in these settings; without
        `settings`, it is unknown which setting is affected."""
        try:
            yield
        except ConfigurationError as error:
            self.add(error, *settings)

    def add(self, error: ConfigurationError, *settings: str) -> None:
        """Keep the mistake, as `collect` does."""
        self.errors.append(error)
        self._settings.update(settings or ("",))

    def none_in(self, *settings: str) -> bool:
        """Whether no mistake so far affects these settings, so that a check of them finds a new mistake and
        not a consequence of another."""
        return "" not in self._settings and self._settings.isdisjoint(settings)


def check_url(url: str, where: str, login: str) -> None:
    """The URL must be http or https with a host; it may have a path, but no credentials, query or fragment.
    `login`: the settings for credentials, for the hint."""
    refuse_credentials(url, where, login)
    parts = split(url, where)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{where}: {redacted(url)} is not an http(s) URL with a host",
            hint="write https://host[:port][/path]",
        )


def check_feed_url(url: str, where: str) -> None:
    """The same, also after `mirror+`, or the address of a folder."""
    if not url.startswith("file:"):
        check_url(address_of(url), where, f"cti.token_file or {variable('cti.token')}")
        return
    parts = split(url, where)
    if not url.startswith("file:///") or parts.query or parts.fragment or "%00" in url:
        raise ConfigurationError(
            f"{where}: {redacted(url)} is not the address of a folder", hint="write file:///FOLDER"
        )


def check_secret_url(url: Secret, where: str) -> None:
    """The same for a URL that is a secret as a whole, which no message shows."""
    try:
        check_url(url.reveal(), where, where)
    except ConfigurationError:
        raise ConfigurationError(
            f"{where}: this is not an http(s) URL with a host", hint="write https://host[:port][/path]"
        ) from None


def check_hosts(hosts: Sequence[str], where: str) -> None:
    """Each must be the name or address of a host; it may have a port, and a name may begin with "*."."""
    for host in hosts:
        with suppress(ValueError):  # a port above 65535, an invalid address
            if _HOST.fullmatch(host) and urlsplit(f"//{host}").port != 0:
                continue
        raise ConfigurationError(
            f"{where}: {redacted(host)} is not a host name",
            hint='write names such as "files.example.com", "*.example.com" or "files.example.com:8443"',
        )


def check_headers(headers: Mapping[str, Secret], where: str) -> None:
    """Names must be valid, occur once, and not be those of headers that ctisync sets itself; values must be
    printable ASCII. No message shows a value."""
    raise_all(_header_mistakes(headers, where))


def _header_mistakes(headers: Mapping[str, Secret], where: str) -> Iterator[ConfigurationError]:
    for name, secret in headers.items():
        value = secret.reveal()
        if not _HEADER.fullmatch(name):
            yield ConfigurationError(
                f"{where}: {name!r} is not the name of a header", hint="write a name such as wazuh-tag"
            )
        elif name.lower() in _OUR_HEADERS:
            yield ConfigurationError(
                f"{where}: {name} is a header that ctisync sets itself", hint="remove it"
            )
        elif not value.isascii() or not value.isprintable() or value != value.strip():
            yield ConfigurationError(
                f"{where}.{name}: the value begins or ends with a space, or contains control characters "
                "or others than ASCII",
                hint="remove them",
            )
    yield from repeated("the header", [name.lower() for name in headers], where)


def check_readable(path: Path, where: str) -> None:
    """The file must be readable for this user; the hint for a missing permission installs a copy that is."""
    try:
        open_any(path).close()
    except OSError as error:
        copy = Path("/etc/ctisync", path.name)
        install = f"sudo install -D -m 400 -o {geteuid()} {quoted(path)} {quoted(copy)}"
        placed = f"{install}; then set the path of that file"
        hint = placed if isinstance(error, PermissionError) else f"ls -l {quoted(path)}"
        raise ConfigurationError(f"{where}: cannot read {path}: {error.strerror}", hint=hint) from error


def check_consumer_url(url: str, base_url: str, names: tuple[str, str] | None, where: str) -> Address:
    """The address must be that of a consumer, below the base URL, and of one with these names, if there are
    any. Returns its parts."""
    address = parse_consumer_url(url)
    if address is None or "@" in url:
        raise ConfigurationError(
            f"{where}: {redacted(url)} is not the URL of a consumer",
            hint="write https://HOST/api/v1/catalog/contexts/CONTEXT/consumers/CONSUMER",
        )
    if address.base.rstrip("/") != base_url.rstrip("/"):
        raise ConfigurationError(
            f"{where}: {redacted(url)} is not below cti.url, {redacted(base_url)}",
            hint=f'set cti.url = "{address.base}" (all consumers are on one server)',
        )
    if names not in (None, (address.context, address.consumer)):
        raise ConfigurationError(
            f"{where}: {redacted(url)} is of another consumer than context and consumer say",
            hint="remove context and consumer, or consumer_url",
        )
    return address


def check_consumers(consumers: Sequence[Consumer], where: str) -> None:
    """There must be one or more; their names and indices must be valid, and each must occur only once."""
    raise_all(_consumer_mistakes(consumers, where))


def _consumer_mistakes(consumers: Sequence[Consumer], where: str) -> Iterator[ConfigurationError]:
    if not consumers:
        yield ConfigurationError(f"{where}: no consumer to follow", hint="add one, or leave the setting out")
    for consumer in consumers:
        for name in (consumer.context, consumer.name):
            if not _CATALOG_NAME.fullmatch(name):
                yield ConfigurationError(
                    f"{where}: {name!r} is not a valid context or consumer name",
                    hint="write a name such as vd_4.8.0",
                )
        if not _is_index_name(consumer.index):
            yield ConfigurationError(
                f"{where}: {consumer.index!r} cannot be the index of {consumer}",
                hint='write lower-case letters, digits, ".", "-" or "_", as in "wazuh-cve"; '
                f"not {' or '.join(OUR_INDICES)}",
            )
        if not consumer.resources or "" in consumer.resources:
            yield ConfigurationError(
                f"{where}: {consumer} has an empty resources setting",
                hint='write resources = ["*"], or leave it out',
            )
    yield from repeated("the consumer", [str(consumer) for consumer in consumers], where)
    yield from repeated("the index", [consumer.index for consumer in consumers], where)


def _is_index_name(name: str) -> bool:
    """Whether OpenSearch accepts the name, and ctisync does not use it itself."""
    is_valid = _INDEX_NAME.fullmatch(name) is not None and name.isprintable() and len(name.encode()) <= 255
    return is_valid and name not in (".", "..", *OUR_INDICES)


def repeated(what: str, values: Sequence[str], where: str) -> Iterator[ConfigurationError]:
    """The mistake that one of the values occurs more than once."""
    for value, times in Counter(values).most_common(1):
        if times > 1:
            yield ConfigurationError(f"{where}: {what} {value} occurs {times} times", hint="keep one of them")


_CHECKS: Final[Mapping[str, Callable[[Any, str], object]]] = {
    "cti.url": check_feed_url,
    "cti.token_exchange_url": partial(check_url, login="cti.token_file"),
    "cti.headers": check_headers,
    "cti.allowed_hosts": check_hosts,
    "cti.trusted_keys": check_keys,
    "store.url": parse_store_url,
    "command_manager.url": partial(
        check_url, login=f"command_manager.username and {variable('command_manager.password')}"
    ),
    "ping_url": check_secret_url,
}
"""The check of each setting whose type allows more than is valid. It gets the value, and its source."""

_TOKEN: Final = ("there is no token to exchange", "set cti.token_file too, or remove it")
_USERNAME: Final = ("a password needs a username", "set username too")
_CERTIFICATE: Final = ("a client key needs a client_cert", "set client_cert too")
_NEEDS: Final = (
    ("cti.token_exchange_url", "cti.token", *_TOKEN),
    ("store.password", "store.username", *_USERNAME),
    ("store.client_key", "store.client_cert", *_CERTIFICATE),
    ("command_manager.password", "command_manager.username", *_USERNAME),
    ("command_manager.client_key", "command_manager.client_cert", *_CERTIFICATE),
)
"""Settings that need another one: both names, message and hint."""


def check_settings(settings: Settings, sources: Mapping[str, SetValue], mistakes: Mistakes) -> None:
    """Collect what is wrong in the values, in the files that they name, and between them."""

    def where(name: str) -> str:
        return sources[name].origin if name in sources else name

    for name, check in _CHECKS.items():
        if (value := attrgetter(name)(settings)) is not None:
            with mistakes.collect(name):
                check(value, where(name))
    _check_command_manager(settings, where("command_manager.enabled"), mistakes)
    _check_facts_index(settings, where("store.facts_index"), mistakes)
    read_already = {f"{name}_file" for name in leaf_types(Settings)}
    for name, one in sources.items():
        if isinstance(one.value, Path) and name != "state_dir" and name not in read_already:
            with mistakes.collect(str(one.value)):  # it is the file that is wrong, not the setting
                check_readable(one.value, one.origin)
    for name, needed, message, hint in _NEEDS:
        value, other = attrgetter(name, needed)(settings)
        is_new = mistakes.none_in(name, f"{name}_file", needed, f"{needed}_file")
        if value is not None and other is None and is_new:
            mistakes.add(ConfigurationError(f"{where(name)}: {message}", hint=hint), name)
    if mistakes.none_in("consumers"):
        with mistakes.collect("consumers"):
            check_consumers(settings.followed, where("consumers"))
    if settings.watch and mistakes.none_in("watch"):
        from ctisync.settings.watches import watches_of

        with mistakes.collect("watch"):
            watches_of(settings.watch, where("watch"), _ANY_TIME)


def _check_command_manager(settings: Settings, where: str, mistakes: Mistakes) -> None:
    manager = settings.command_manager
    if manager.enabled and manager.url is None and mistakes.none_in("store.url", "command_manager.url"):
        with mistakes.collect("command_manager.enabled"):
            if not settings.backend.urls:
                raise ConfigurationError(
                    f"{where}: with a {settings.backend.kind} store, command_manager.url is required",
                    hint="set command_manager.url, or command_manager.enabled = false",
                )


def _check_facts_index(settings: Settings, where: str, mistakes: Mistakes) -> None:
    if not settings.store.facts_index or not mistakes.none_in("store.url"):
        return
    if not settings.backend.urls:
        text = f"{where}: a {settings.backend.kind} store has no facts index"
        mistakes.add(ConfigurationError(text, hint="remove store.facts_index"))
    indices = {consumer.index for consumer in settings.followed}
    for alias in sorted(f"{index}-facts" for index in indices):
        if alias in indices or not _is_index_name(alias):
            text = f"{where}: {alias} cannot be the alias of a facts index"
            reason = "another consumer has it as its index" if alias in indices else "it is too long"
            hint = "set consumers[].index to another name"
            mistakes.add(ConfigurationError(f"{text}: {reason}", hint=hint))


def setting_warnings(loaded: LoadedSettings) -> list[Advice]:
    """Secrets that other users of this host, or of the network, can read."""
    return [*_readable_secrets(loaded), *_sent_without_tls(loaded.settings)]


def folder_warnings(settings: Settings) -> list[Advice]:
    """Problems of the folder for locks, downloads and a local store that a pass refuses or warns about."""
    folder = settings.spool_folder
    return [each for each in (folder_risk(folder), network_disk_risk(folder)) if each is not None]


def _readable_secrets(loaded: LoadedSettings) -> Iterator[Advice]:
    names_in: dict[Path, list[str]] = {}
    for name, source in sorted(loaded.sources.items()):
        values = source.value.values() if isinstance(source.value, dict) else [source.value]
        files = [each.file or source.file for each in values if isinstance(each, Secret)]
        if name.endswith(".client_key"):
            files.append(source.value)
        for file in dict.fromkeys(files):
            if file is not None:
                names_in.setdefault(file, []).append(name)
    for file, names in names_in.items():
        if file.stat().st_mode & _OF_OTHERS:
            secrets = " and ".join(names)
            yield Advice(
                f"{file} contains {secrets}, but other users can read it", f"chmod 600 {quoted(file)}"
            )


def _sent_without_tls(settings: Settings) -> Iterator[Advice]:
    """Secrets that ctisync sends to another host without TLS."""
    cti, manager, ping = settings.cti, settings.command_manager, settings.ping_url
    token_setting = "cti.url" if cti.token_exchange_url is None else "cti.token_exchange_url"
    token_url = cti.token_exchange_url or cti.url
    sent: list[tuple[str, object, str, tuple[str, ...]]] = [
        ("cti.token", cti.token, token_setting, (token_url,)),
        ("cti.headers", cti.headers or None, "cti.url", (cti.url, token_url)),
        ("store.password", settings.store.password, "store.url", settings.backend.urls),
        ("command_manager.password", manager.password, "command_manager.url", settings.command_manager_urls),
        ("each signed link", cti.token if cti.token_exchange_url else None, "cti.url", (cti.url,)),
        ("ping_url", ping, "it", () if ping is None else (ping.reveal(),)),
    ]
    for what, secret, setting, urls in sent:
        if secret is not None and any(map(_is_without_tls, map(address_of, urls))):
            yield Advice(f"{what} goes over the network without TLS", f"set {setting} to an https address")


def _is_without_tls(url: str) -> bool:
    """Whether the address is on another host and uses http."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True
