"""`ctisync serve`: a mirror folder as the CTI API, until a signal ends it."""

import hashlib
import re
import socket
import ssl
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ctisync import hints
from ctisync.cli.invocation import CommonOptions, Invocation, command
from ctisync.core.manifest import safe_name
from ctisync.core.model import Consumer
from ctisync.errors import DONE, ConfigurationError, UsageError
from ctisync.escaping import quoted
from ctisync.feed.mirror_files import LocalFiles
from ctisync.host_files import make_folder
from ctisync.mirror.serve import ServedMirror
from ctisync.system.files import absolute, expand_home
from ctisync.urls import refuse_credentials, split

_ANY: tuple[str, ...] = ("", "0.0.0.0", "::")  # noqa: S104  # they are recognised, not listened on


@command()
def serve(
    options: CommonOptions,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the mirror.")],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address to listen on; port 0: a free one.")
    ] = "127.0.0.1:8080",
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where clients reach this server; not set: at --listen."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file with the certificate: serve HTTPS.")
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM file with its private key; not set: it is in --tls-cert."),
    ] = None,
) -> int:
    """Serve a mirror folder as the CTI API, read-only, until a signal ends it."""
    invocation = options.invocation()
    if find_spec("aiohttp") is None:
        raise ConfigurationError(
            "ctisync serve needs aiohttp, which is not installed",
            hint=f"{quoted(sys.executable)} -m pip install 'aiohttp>=3.14,<4'",
        )
    from ctisync.mirror.serve_http import ApiServer, serve_until_signal

    root = absolute(expand_home(folder, "DIR"), "DIR", UsageError)
    if not root.is_dir():
        raise ConfigurationError(
            f"the mirror {root} does not exist", hint=hints.command("mirror", quoted(root))
        )
    tls = _tls(tls_cert, tls_key)
    with _listening(listen, is_reachable=url is not None) as listening:
        address = f"{listen.rpartition(':')[0]}:{listening.getsockname()[1]}"
        url = _checked_url(url or f"{'http' if tls is None else 'https'}://{address}")
        log, consumers = invocation.console, invocation.consumers
        mirrors = [_mirror(invocation, root, each, url) for each in consumers]
        names = ", ".join(map(str, consumers))
        log.event("info", "serve-started", url=url, listen=address, folder=str(root), consumers=names)
        for each in mirrors:
            each.refresh()
        serve_until_signal(ApiServer(mirrors, log), listening, tls)
    return DONE


def _mirror(invocation: Invocation, root: Path, consumer: Consumer, url: str) -> ServedMirror:
    """What clients are sent there is remembered in the state folder."""
    settings, folder = invocation.settings, invocation.settings.state_dir
    make_folder(folder)
    place = hashlib.sha256(url.encode()).hexdigest()[:16]
    memory = folder / f"serve-{place}.{safe_name(consumer.context)}.{safe_name(consumer.name)}.json"
    files = LocalFiles(root)
    return ServedMirror(
        files, consumer, url, memory, settings.cti.trust, invocation.clock, invocation.console
    )


def _listening(address: str, *, is_reachable: bool) -> socket.socket:
    """`is_reachable`: clients reach it under another address."""
    from ctisync.mirror.serve_http import listen

    match = re.fullmatch(r"\[?([^\[\]\s]*)\]?:([0-9]{1,5})", address)
    if match is None or int(match[2]) >= 1 << 16 or (":" in match[1] and address[0] != "["):
        raise UsageError(f"--listen {address} is not HOST:PORT", hint="ctisync serve DIR --listen HOST:PORT")
    if match[1] in _ANY and not is_reachable:
        raise UsageError(
            f"--listen {address} is no address that clients can reach, so --url must name one",
            hint="ctisync serve DIR --listen HOST:PORT --url URL",
        )
    try:
        return listen(match[1], int(match[2]))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {address}: {error.strerror or error}",
            hint="choose another address: ctisync serve DIR --listen HOST:PORT",
        ) from error


def _checked_url(url: str) -> str:
    parts = split(url, "--url")
    refuse_credentials(url, "--url", "no login")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(
            f"--url {url} is not the address of a server", hint="ctisync serve DIR --url https://HOST"
        )
    return url.rstrip("/")


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None and key is not None:
        raise UsageError("--tls-key needs --tls-cert")
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password="")  # without one, OpenSSL asks at the terminal
    except OSError as error:
        raise ConfigurationError(
            f"--tls-cert {certificate}, --tls-key {key or certificate}: {error.strerror or error}",
            hint="pass PEM files of one certificate with its chain, and of its key, not encrypted",
        ) from error
    return context
