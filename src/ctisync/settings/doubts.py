"""Likely mistakes in valid settings: secrets that others can read, settings without effect."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ctisync.core.health import Advice
from ctisync.escaping import quoted
from ctisync.settings import Found, Settings
from ctisync.settings.checks import SqlitePlace
from ctisync.settings.sources import Secret
from ctisync.system.folders import folder_risk, network_disk_risk

_OF_OTHERS: Final = 0o077

_FOR_TLS: Final = frozenset({"ca_file", "client_cert", "client_key"})
_FOR_OPENSEARCH: Final = frozenset(
    {"username", "password", "password_file", "shards", "replicas", "codec", "senders", "bulk_bytes"}
)


def doubts(found: Found) -> list[Advice]:
    """Likely mistakes, those about files first."""
    return [*_readable_secrets(found), *_in_the_clear(found.settings), *_in_vain(found)]


def folder_doubts(settings: Settings) -> list[Advice]:
    """Problems of the folder for locks, downloads and a SQLite file, which a pass refuses or warns about."""
    place = settings.place
    folder = place.path.parent if isinstance(place, SqlitePlace) else settings.state_dir
    return [each for each in (folder_risk(folder), network_disk_risk(folder)) if each is not None]


def _readable_secrets(found: Found) -> Iterator[Advice]:
    held: dict[Path, list[str]] = {}
    for name, one in sorted(found.given.items()):
        secrets = one.value.values() if isinstance(one.value, dict) else [one.value]
        for secret in secrets:
            file = secret.file or one.file if isinstance(secret, Secret) else None
            if file is not None and name not in held.setdefault(file, []):
                held[file].append(name)
        if name.endswith(".client_key"):
            held.setdefault(one.value, []).append(name)
    for file, names in held.items():
        if file.stat().st_mode & _OF_OTHERS:
            holds = " and ".join(names)
            yield Advice(f"{file} contains {holds}, but other users can read it", f"chmod 600 {quoted(file)}")


def _in_the_clear(settings: Settings) -> Iterator[Advice]:
    """Secrets that ctisync sends to another host without TLS."""
    place, cti, manager = settings.place, settings.cti, settings.command_manager
    exchange = cti.token_exchange_url
    asked = "cti.url" if exchange is None else "cti.token_exchange_url"
    indexers = () if isinstance(place, SqlitePlace) else place.urls
    sent: list[tuple[str, object, str, tuple[str, ...]]] = [
        ("cti.token", cti.token, asked, (exchange or cti.url,)),
        ("cti.headers", cti.headers or None, "cti.url", _feed_urls(settings)),
        ("store.password", settings.store.password, "store.url", indexers),
        ("command_manager.password", manager.password, "command_manager.url", settings.command_manager_urls),
    ]
    if exchange is not None:
        sent.append(("each signed link", cti.token, "cti.url", (cti.url,)))
    if settings.ping_url is not None:
        sent.append(("ping_url", settings.ping_url, "it", (settings.ping_url.reveal(),)))
    for what, secret, setting, urls in sent:
        if secret is not None and any(map(_is_in_the_clear, urls)):
            yield Advice(f"{what} goes over the network without TLS", f"set {setting} to an https address")


def _feed_urls(settings: Settings) -> tuple[str, ...]:
    """The addresses of the feed, and of the server at which its token is exchanged."""
    cti = settings.cti
    return (cti.url, *filter(None, (cti.token_exchange_url,)))


def _is_in_the_clear(url: str) -> bool:
    """Whether the address is on another host and uses http."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True


def _in_vain(found: Found) -> Iterator[Advice]:
    """Settings that are set, but have no effect."""
    for name, one in found.given.items():
        if f"{name}_file" in found.given:
            continue  # that one is reported
        reason = _why_in_vain(found, *name.rpartition(".")[::2])
        if reason is not None:
            yield Advice(f"{one.origin} has no effect: {reason}", "remove it")


def _why_in_vain(found: Found, section: str, key: str) -> str | None:
    settings = found.settings
    on_sqlite = isinstance(settings.place, SqlitePlace)
    match section:
        case "store" if on_sqlite and key in _FOR_OPENSEARCH | _FOR_TLS:
            return "the store is a SQLite file"
        case "store" if not on_sqlite and key == "compression":
            return "the store is OpenSearch; use store.codec"
        case "command_manager" if not settings.command_manager_urls and key != "enabled":
            return "update commands are disabled"
        case "cti" if key in _FOR_TLS and all(url.startswith("http:") for url in _feed_urls(settings)):
            return "cti.url does not use TLS"
        case "store" if key in _FOR_TLS and settings.store.url.startswith("http:"):
            return "store.url does not use TLS"
    return None
