"""Settings as people write them: taken, or refused with what to write instead; never a crash."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ctisync import backends, host_files, settings, urls, wiring
from ctisync.commands.config import as_document, as_text
from ctisync.errors import ConfigurationError
from ctisync.settings import checks
from ctisync.settings.checks import folder_warnings, setting_warnings
from ctisync.settings.model import Settings
from ctisync.settings.schema import leaf_types, template, to_toml, variable
from ctisync.settings.sources import proxies, proxy_secrets
from ctisync.urls import Secret
from tests.fuzz.place import folder
from tests.fuzz.printed import refusing
from tests.fuzz.target import target

NAMES: Final = tuple(leaf_types(Settings))


def _used(file: Path | None, environ: Mapping[str, str]) -> None:
    with refusing(ConfigurationError):
        loaded = settings.load_settings(file, environ, system_file=folder() / "none")
        loaded.settings.backend  # noqa: B018  # it must be one that can be told
        loaded.settings.command_manager_urls  # noqa: B018
        list(setting_warnings(loaded))
        for name, one in loaded.sources.items():
            if not isinstance(one.value, Secret) and name != "consumers" and str(one.value).isprintable():
                again = tomllib.loads(f"x = {to_toml(one.value)}")["x"]
                assert again == _plain(one.value), f"{name} = {to_toml(one.value)}"


def _home() -> dict[str, str]:
    return {"HOME": str(folder()), "XDG_CONFIG_HOME": str(folder() / "none")}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


@target(
    seeds=[
        template().replace("#[[", "[[").encode()[:1900],
        b'[cti]\nurl = "https://a.example/api"\nretry_budget = 5\nallowed_hosts = ["b.example:8443"]\n',
        b'[[consumers]]\nconsumer = "x"\nresources = ["CVE-*"]\n[store]\nurl = "https://[::1]:9200,b"\n',
        b'store.url = "sqlite:////tmp/x.db"\nhistory = 5\nhooks.on_error = ["true"]\nping_url = "https://p/x"\n',
        b'[limits]\njson_depth = 801\n[store]\ncompression = "zst"\n',
        b'on_feed_reset = "init"\nstate_dir = "~nobody-knows/x"\n"a\\u001b[2J" = 1\n',
    ],
    tokens=[
        *(f"{name} = ".encode() for name in NAMES),
        b'""',
        *b"true nan".split(),
        b"[cti]\n",
        b"[store]\n",
        b"[[consumers]]\n",
        b"[limits]\n",
        b"[hooks]\n",
        b"[command_manager]\n",
        *b"-inf 0x7fffffffffffffff 1e999 1979-05-27 [[]] {a=1} ''' \\u0000 \\ud800 \xff".split(),
        *(b'"https://', b'"sqlite:///', b":9200", b"~", b"@", b"?", b"#", b"\\n", b"\\u001b", b"9" * 30),
    ],
)
def toml_files(data: bytes) -> None:
    """A file of settings."""
    path = folder() / "config.toml"
    path.write_bytes(data)
    _used(path, _home())


@target(
    seeds=[
        b"CTISYNC_CTI__URL=https://a.example\0CTISYNC_STORE__URL=sqlite:///x\0CTISYNC_HISTORY=0",
        b'CTISYNC_CONSUMERS=[{"consumer":"x"}]\0HTTPS_PROXY=http://u:pass%20word@p:3128\0no_proxy=*',
        b"CTISYNC_HISTORY=\xff\0HTTP_PROXY=http://u:\xff@p",
        b"CTISYNC_CTI__TOKEN=\x1b[2J\0CTISYNC_CTI__ALLOWED_HOSTS=[]\0STATE_DIRECTORY=/a:/b",
    ],
    tokens=[
        *(f"\0{variable(name)}=".encode() for name in NAMES),
        *b"\0HTTPS_PROXY= \0all_proxy= \0STATE_DIRECTORY= \0CREDENTIALS_DIRECTORY=".split(),
        b"\0XDG_CONFIG_HOME=",
        *b"true 1e999 [ nan -1 @ :// \xff \xc3\xa9 ~ {}".split(),
        b'["*"]',
        b"[" * 1200,
    ],
)
def environments(data: bytes) -> None:
    """An environment, as a process may be given one."""
    environ = _home()
    for entry in data.split(b"\0"):
        name, _, value = os.fsdecode(entry).partition("=")
        if name:
            environ[name] = value
    _used(None, environ)
    addresses = proxies(environ)
    secrets = [each for each in proxy_secrets(environ) if len(each) > 5]
    for name, value in addresses.items():
        assert "@" not in value, f"{name} is shown with its login"
        hidden = [each for each in secrets if each in value and environ[name].count(each) == 1]
        assert not hidden, f"{name} is shown with its password"


@target(
    seeds=[
        b'[cti]\nurl = "https://a.example"\n\0\0CTISYNC_HISTORY=5\0STATE_DIRECTORY=/a',
        b"x = " + b"[" * 1500 + b"]" * 1500,
        b"history = " + b"9" * 4400,
        b"\0\0CTISYNC_CONSUMERS=" + b"[" * 1500,
        b"\0\0CTISYNC_HISTORY=" + b"9" * 4400,
        b"\0\0CTISYNC_STORE__URL=https://[::1\0CTISYNC_STATE_DIR=x",
        b'store.url = "sqlite:///x.db"\nconsumers = [{index = "\xc4\xb1"}]\0\0CTISYNC_STORE__URL=',
    ],
    tokens=[
        *(f"{name} = ".encode() for name in NAMES),
        *(f"\0{variable(name)}=".encode() for name in NAMES),
        *(b"\0\0", b"[", b"{a=", b"9" * 40, b"1979-05-27", b"true", b'""', b"\xff", b"[[consumers]]\n"),
    ],
    most_bytes=4500,
)
def whole_settings(data: bytes) -> None:
    """A file of settings and an environment together, and what a command does first with what they say. The
    working folder may be gone."""
    text, _, variables = data.partition(b"\0\0")
    path = folder() / "whole.toml"
    path.write_bytes(text)
    environ = _home()
    for entry in variables.split(b"\0"):
        name, _, value = os.fsdecode(entry).partition("=")
        if name:
            environ[name] = value
    gone = folder() / "gone"
    gone.mkdir()
    before = Path.cwd()
    os.chdir(gone)
    if len(data) % 2:
        gone.rmdir()
    try:
        _used(path, environ)
        with refusing(ConfigurationError):
            loaded = settings.load_settings(path, environ, system_file=folder() / "none")
            wiring.policy(loaded.settings, "sync")
            list(folder_warnings(loaded.settings))
            for consumer in loaded.settings.followed:
                host_files.lock_path(loaded.settings, consumer)
            as_document(loaded, environ)
            as_text(loaded, environ)
    finally:
        os.chdir(before)
        if gone.exists():
            gone.rmdir()


@target(
    seeds=[
        *(b"sqlite:///x.db", b"sqlite:////var/x.db", b"https://a:9200,b", b"https://u:p@a", b"http://[::1]"),
        *(b"https://a.example/path?q", b"[::1]:9200", b"https://a:99999", b"*.example:8443"),
    ],
    tokens=[
        *(b"sqlite:///", b"https://", b"http://", b",", b":9200", b"@", b"[::1]", b"?", b"#", b"\0", b"~"),
        *(b"\xc4\xb1", b"*."),
    ],
    most_bytes=200,
)
def setting_urls(data: bytes) -> None:
    """An address of a store, a server or a host. One that is taken bears no login and has one meaning."""
    text = data.decode("utf-8", "replace")
    with refusing(ConfigurationError):
        backend = backends.parse_store_url(text, "store.url")
        if backend.local is None:
            for origin in backend.urls:
                parts = urlsplit(origin)
                assert parts.scheme in ("http", "https")
                assert parts.hostname
                assert parts.port is not None
                assert "@" not in origin
                assert urls.origin_of(origin) == origin
        else:
            assert backend.local.path.is_absolute()
    with refusing(ConfigurationError):
        checks.check_url(text, "cti.url", "cti.token_file")
        assert "@" not in text
        assert urlsplit(text).hostname
    with refusing(ConfigurationError):
        checks.check_hosts([text], "cti.allowed_hosts")
        assert text.isascii()
