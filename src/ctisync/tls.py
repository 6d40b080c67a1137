"""TLS to the store, the feed and the Command Manager: its files, and what a refusal means.

The messages of OpenSSL (`CERTIFICATE_VERIFY_FAILED`, `TLSV1_ALERT_UNKNOWN_CA`) name neither a file nor a
remedy.
"""

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ctisync.core.health import Advice
from ctisync.errors import ConfigurationError
from ctisync.escaping import quoted
from ctisync.system.files import open_any

_LONGEST: Final = 3.0
"""Seconds for each connection that checks a server."""

_UNTRUSTED: Final = (2, 18, 19, 20, 21, 27)
_EXPIRED, _NOT_YET, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""Error numbers of OpenSSL for certificates (X509_V_ERR_…)."""

_PLAIN: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE")
_NOT_ADMITTED: Final = (
    "CERTIFICATE_REQUIRED",
    "HANDSHAKE_FAILURE",
    "UNKNOWN_CA",
    "BAD_CERTIFICATE",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_REVOKED",
)
"""Parts of OpenSSL's names for replies without TLS, and for alerts that another client certificate mends."""

_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which `ssl` has no name: an expired certificate is read, too."""
_FLIGHTS: Final = 3
"""Turns of each side, which every handshake takes at most."""

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_LOCKED: Final = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


class Files(NamedTuple):
    """The files in the settings of `section` ("store"). Without `ca_file`, the authorities of the system
    count; without `client_cert`, ctisync shows none; without `client_key`, the key is in `client_cert`.
    `prefix`: what the address in the settings has before its scheme, as `mirror+`."""

    section: str
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    prefix: str = ""


def context(files: Files) -> ssl.SSLContext:
    """The context for connections that check the server and show the client certificate. Raises
    ConfigurationError for a file that cannot be read or used, and for an encrypted key."""
    if files.ca_file is not None:
        _read(files, "ca_file", _CERTIFICATE)
    try:
        made = ssl.create_default_context(cafile=files.ca_file)
    except OSError as error:
        raise _unusable(files, "ca_file", _MISSING[_CERTIFICATE]) from error
    if files.client_cert is not None:
        _read(files, "client_cert", _CERTIFICATE)
        _load_pair(made, files, files.client_cert)
    return made


def refusal(error: BaseException, url: str, files: Files) -> Advice | None:
    """Why a TLS connection to `url` failed, if the error, one of its causes or of its arguments says so. None
    for a connection that broke, which a retry may help."""
    tls_error = _inner_tls_error(error)
    if tls_error is None:
        return None
    if isinstance(tls_error, ssl.SSLCertVerificationError):
        return _server_certificate_advice(tls_error, url, files)
    reason = tls_error.reason or "no reason given"
    if any(each in reason for each in _PLAIN):
        where, quoted_url = _elsewhere(url, f"{files.prefix}http")
        return Advice(
            f"{where} does not use TLS, but {files.section}.url begins with {files.prefix}https://",
            f"enable TLS there; or, in a private network, set {files.section}.url to {quoted_url}",
        )
    if files.client_cert is not None and "CERTIFICATE_EXPIRED" in reason:
        return Advice(
            f"{_server(url)} refuses the client certificate {files.client_cert}: it has expired",
            f"renew it; its dates: openssl x509 -noout -dates -in {quoted(files.client_cert)}",
        )
    if any(each in reason for each in _NOT_ADMITTED):
        return _client_certificate_advice(_server(url), files)
    return Advice(
        f"{_server(url)} closes the TLS connection: {reason}",
        f"check its log, and {files.section}.client_cert and {files.section}.client_key",
    )


def broken_off(url: str, files: Files) -> Advice:
    """The same for a connection that the server closed during the handshake, or right after it."""
    return _client_certificate_advice(_server(url), files, "closes TLS connections at once and probably ")


def speaks_tls(url: str, files: Files, within: float = _LONGEST) -> Advice | None:
    """The same for an `http://` address of a server with TLS, whose answer is not HTTP. None if the server
    has no TLS, or does not answer `within` so many seconds. Connects to it, and sends no data."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        return None
    try:
        with _connected(_unchecked(), parts.hostname, parts.port or 80, min(within, _LONGEST)):
            pass
    except OSError as error:
        if not (isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")):  # an alert is TLS too
            return None
    where, quoted_url = _elsewhere(url, f"{files.prefix}https")
    return Advice(
        f"{where} uses TLS, but {files.section}.url begins with {files.prefix}http://",
        f"set {files.section}.url to {quoted_url}",
    )


def expiry_dates(urls: Sequence[str], files: Files) -> Iterator[tuple[str, datetime]]:
    """The certificates of these servers and of the client: a name for people, and when each expires. Those
    that cannot be read are left out, and those of servers that are not valid, which each request reports."""
    for url in urls:
        if (expiry := _server_expiry(url, files)) is not None:
            yield f"the certificate of {_server(url)}", expiry
    if files.client_cert is not None and (expiry := _client_expiry(files, files.client_cert)) is not None:
        yield f"the client certificate {files.client_cert}", expiry


def _server_expiry(url: str, files: Files) -> datetime | None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname is not None:
        with (
            suppress(OSError, ValueError, ConfigurationError),
            _connected(context(files), parts.hostname, parts.port or 443, _LONGEST) as secured,
        ):
            return _not_after(secured.getpeercert())
    return None


def _client_expiry(files: Files, client_cert: Path) -> datetime | None:
    """`ssl` reads the dates of a certificate only if a peer shows it, and it is trusted: so it is shown in a
    handshake in memory, to a server that trusts it alone, expired or not."""
    with suppress(OSError, ValueError, ConfigurationError):
        client, server = _unchecked(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.verify_mode = ssl.CERT_REQUIRED
        server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
        text = _read(files, "client_cert", _CERTIFICATE).decode("ascii", "ignore")
        server.load_verify_locations(cadata=text)
        for each in (client, server):
            _load_pair(each, files, client_cert)
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        shown = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (client.wrap_bio(to_client, to_server), shown) * _FLIGHTS:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        return _not_after(shown.getpeercert())
    return None


def _not_after(certificate: Mapping[str, Any] | None) -> datetime | None:
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


def _unchecked() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


@contextmanager
def _connected(made: ssl.SSLContext, host: str, port: int, within: float) -> Iterator[ssl.SSLSocket]:
    """A connection over which ctisync sends no data; the last address of the host raises its error."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, address) in enumerate(addresses, start=1):
        # Wrapped before it connects: Python leaks the socket of a connection that is reset in between.
        with made.wrap_socket(socket.socket(family, kind, protocol), server_hostname=host) as secured:
            secured.settimeout(within)
            try:
                secured.connect(address)
            except ssl.SSLError:
                raise
            except OSError:
                if number == len(addresses):
                    raise
                continue
            yield secured
            return


def _load_pair(made: ssl.SSLContext, files: Files, client_cert: Path) -> None:
    setting = "client_cert" if files.client_key is None else "client_key"
    key = files.client_key or client_cert
    if any(each in _read(files, setting, _KEY) for each in _LOCKED):
        raise ConfigurationError(
            f"the key in {key} ({files.section}.{setting}) is encrypted, but ctisync cannot prompt for a "
            "passphrase",
            hint=f"(umask 077; openssl pkey -in {quoted(key)} -out {quoted(f'{key}.open')}), "
            f"then: {files.section}.client_key = {quoted(f'{key}.open')}",
        )
    try:
        # Without a password, OpenSSL would prompt at the terminal, and a cron job would wait forever.
        made.load_cert_chain(client_cert, files.client_key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(
                f"the key in {key} does not belong to the certificate in {client_cert}",
                hint=f"these print the same for a pair: openssl pkey -pubout -in {quoted(key)}; "
                f"openssl x509 -noout -pubkey -in {quoted(client_cert)}",
            ) from error
        raise _unusable(files, setting, error.reason or "OpenSSL cannot read it") from error


def _read(files: Files, setting: str, mark: bytes) -> bytes:
    """The file of a setting, with the mark in it. Raises ConfigurationError."""
    try:
        with open_any(getattr(files, setting)) as opened:
            text = opened.read()
    except OSError as error:
        raise _unusable(files, setting, error.strerror or "it cannot be read") from error
    if mark not in text:
        raise _unusable(files, setting, _MISSING[mark])
    return text


_MISSING: Final = {_CERTIFICATE: "it contains no PEM certificate", _KEY: "it holds no private key in PEM"}
_EXPECTED: Final = {
    "ca_file": "the certificate, in PEM, of the authority that signed that of the server",
    "client_cert": "the client certificate, in PEM",
    "client_key": "the key, in PEM, of the certificate in client_cert",
}


def _unusable(files: Files, setting: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{files.section}.{setting} {getattr(files, setting)} cannot be used: {why}",
        hint=f"set {files.section}.{setting} to a file with {_EXPECTED[setting]}",
    )


def _server(url: str) -> str:
    """`https://host:port`, without a missing port; `url` may contain more."""
    parts = urlsplit(url)
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def _elsewhere(url: str, scheme: str) -> tuple[str, str]:
    """`host:port` of an address, and the address with another scheme for a shell."""
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    return where, quoted(parts._replace(scheme=scheme, netloc=where).geturl())


def _inner_tls_error(error: BaseException) -> ssl.SSLError | None:
    """The error of the TLS library inside other errors. A broken connection is not one."""
    errors = [error]
    for each in errors:  # it grows
        if isinstance(each, ssl.SSLError) and not isinstance(
            each, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError
        ):
            return each
        inner = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        errors += [other for other in inner if isinstance(other, BaseException) and other not in errors]
    return None


def _server_certificate_advice(error: ssl.SSLCertVerificationError, url: str, files: Files) -> Advice:
    server, parts, code = _server(url), urlsplit(url), error.verify_code
    if code in _UNTRUSTED:
        whose = "not trusted by the system" if files.ca_file is None else f"not the one in {files.ca_file}"
        text = f"the authority of the certificate of {server} is {whose}"
        remedy = f"set {files.section}.ca_file to the certificate, in PEM, of the authority that signed it; "
        part = "-issuer"
    else:
        other_name = f"is for other names than {parts.hostname}"
        use_name = f"use one of its names in {files.section}.url; "
        what, remedy, part = {
            _EXPIRED: ("has expired", "renew it on the server; ", "-dates"),
            _NOT_YET: ("is not valid yet", "timedatectl (is this host's clock right?); ", "-dates"),
            _OTHER_NAME: (other_name, use_name, "-ext subjectAltName"),
            _OTHER_ADDRESS: (other_name, use_name, "-ext subjectAltName"),
        }.get(code, (f"is not valid: {error.verify_message}", "", "-text"))
        text = f"the certificate of {server} {what}"
    quoted_place, quoted_name = quoted(f"{parts.hostname}:{parts.port or 443}"), quoted(parts.hostname)
    return Advice(
        text,
        f"{remedy}to print it: openssl s_client -connect {quoted_place} -servername {quoted_name} "
        f"</dev/null | openssl x509 -noout {part}",
    )


def _client_certificate_advice(server: str, files: Files, perhaps: str = "") -> Advice:
    shown = files.client_cert
    settings = f"{files.section}.client_cert and {files.section}.client_key"
    if shown is None:
        return Advice(
            f"{server} {perhaps}requires a client certificate",
            f"set {settings} to a certificate, and its key, that an authority of that server has signed",
        )
    return Advice(
        f"{server} {perhaps}refuses the client certificate {shown}",
        f"set {settings} to one that is valid and that an authority of that server has signed; this one: "
        f"openssl x509 -noout -issuer -dates -in {quoted(shown)}",
    )
