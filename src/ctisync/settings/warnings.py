"""Likely mistakes in valid settings: secrets that others can read, folders that others can change."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ctisync.core.health import Advice
from ctisync.escaping import quoted
from ctisync.settings import LoadedSettings, Settings
from ctisync.system.folders import folder_risk, network_disk_risk
from ctisync.urls import Secret

_OF_OTHERS: Final = 0o077


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
        if secret is not None and any(map(_is_without_tls, urls)):
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
