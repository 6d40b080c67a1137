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

_EXPIRED, _NOT_YET = 10, 9
_NAME_MISMATCH: Final = (62, 64)
_UNTRUSTED: Final = (2, 18, 19, 20, 21, 27)
"""Error numbers of OpenSSL for certificates (X509_V_ERR_…)."""

_PLAIN: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE")
_REQUIRED: Final = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")
_REJECTED: Final = ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "CERTIFICATE_REVOKED")
"""Names of OpenSSL for alerts, and for replies without TLS."""

_CLOSED: Final = "it is closed"

_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which `ssl` has no name: an expired certificate is read, too."""
_FLIGHTS: Final = 3
"""Turns of each side, which every handshake takes at most."""

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_LOCKED: Final = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


class Files(NamedTuple):
    """The files in the settings of `section` ("store"). Without `ca_file`, the authorities of the system
    count; without `client_cert`, ctisync shows none; without `client_key`, the key is in `client_cert`."""

    section: str
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


def context(files: Files) -> ssl.SSLContext:
    """The context for connections that check the server and show the client certificate. Raises
    ConfigurationError for a file that cannot be read or used, and for an encrypted key."""
    if files.ca_file is not None:
        _check_certificate(files.section, "ca_file", files.ca_file)
    try:
        made = ssl.create_default_context(cafile=files.ca_file)
    except OSError as error:
        raise _unusable(files.section, "ca_file", files.ca_file, _NO_CERTIFICATE) from error
    if files.client_cert is not None:
        _check_certificate(files.section, "client_cert", files.client_cert)
        _load_pair(made, files, files.client_cert)
    return made


def refusal(error: BaseException, url: str, files: Files) -> Advice | None:
    """Why a TLS connection to `url` failed, if the error, one of its causes or of its arguments says so. None
    for a connection that broke, which a retry may help."""
    tls_error = _inner_tls_error(error, set())
    if tls_error is None:
        return None
    server, host = _server(url)
    if isinstance(tls_error, ssl.SSLCertVerificationError):
        return _server_certificate_advice(tls_error, server, host, files)
    reason = tls_error.reason or "no reason given"
    if any(each in reason for each in _PLAIN):
        return _plain_advice(url, files)
    return _client_certificate_advice(reason, server, files)


def broken_off(url: str, files: Files) -> Advice:
    """The same for a connection that the server closed during the handshake, or right after it."""
    return _client_certificate_advice(_CLOSED, _server(url)[0], files)


def speaks_tls(url: str, files: Files, within: float = _LONGEST) -> Advice | None:
    """The same for an `http://` address of a server with TLS, whose answer is not HTTP. None if the server
    has no TLS, or does not answer `within` so many seconds. Connects to it, and sends no data."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        return None
    if not _is_tls(parts.hostname, parts.port or 80, min(within, _LONGEST)):
        return None
    where = f"{parts.hostname}:{parts.port or 80}"
    secured = parts._replace(scheme="https", netloc=where).geturl()
    return Advice(
        f"{where} uses TLS, but {files.section}.url begins with http://",
        f"set {files.section}.url to {quoted(secured)}",
    )


def expiry_dates(urls: Sequence[str], files: Files) -> Iterator[tuple[str, datetime]]:
    """The certificates of these servers and of the client, valid or not: a name for people, and when each
    expires. Those that cannot be read are left out."""
    for url in urls:
        if (expiry := _server_expiry(url)) is not None:
            yield f"the certificate of {_server(url)[0]}", expiry
    if files.client_cert is not None and (expiry := _client_expiry(files, files.client_cert)) is not None:
        yield f"the client certificate {files.client_cert}", expiry


def _server_expiry(url: str) -> datetime | None:
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        return None
    host, port = parts.hostname, parts.port or 443
    with suppress(OSError, ValueError):
        with _connected(_unchecked(), host, port, _LONGEST) as secured:
            shown = secured.getpeercert(binary_form=True)
        trusting = _trusting(ssl.PROTOCOL_TLS_CLIENT, shown or b"")
        with _connected(trusting, host, port, _LONGEST) as secured:
            return _not_after(secured.getpeercert())
    return None


def _client_expiry(files: Files, client_cert: Path) -> datetime | None:
    """The certificate is shown in a handshake in memory."""
    with suppress(OSError, ValueError, ConfigurationError):
        text = _read(files.section, "client_cert", client_cert).decode("ascii", "replace")
        first = "".join(text[text.index(ssl.PEM_HEADER) :].partition(ssl.PEM_FOOTER)[:2])
        client, server = _unchecked(), _trusting(ssl.PROTOCOL_TLS_SERVER, ssl.PEM_cert_to_DER_cert(first))
        for each in (client, server):
            _load_pair(each, files, client_cert)
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        shown = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (client.wrap_bio(to_client, to_server), shown) * _FLIGHTS:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        return _not_after(shown.getpeercert())
    return None


def _unchecked() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def _trusting(protocol: int, certificate: bytes) -> ssl.SSLContext:
    """A context that trusts this certificate alone, expired or not: `ssl` reads the dates of a certificate
    only if a peer shows it, and it is trusted."""
    made = ssl.SSLContext(protocol)
    made.check_hostname, made.verify_mode = False, ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    made.load_verify_locations(cadata=certificate)
    return made


def _not_after(certificate: Mapping[str, Any] | None) -> datetime | None:
    if not certificate:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


def _is_tls(host: str, port: int, within: float) -> bool:
    try:
        with _connected(_unchecked(), host, port, within):
            return True
    except ssl.SSLError as error:  # an alert is TLS too
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


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


def _check_certificate(section: str, setting: str, file: Path) -> None:
    if _BEGIN not in _read(section, setting, file):
        raise _unusable(section, setting, file, _NO_CERTIFICATE)


def _load_pair(made: ssl.SSLContext, files: Files, client_cert: Path) -> None:
    setting = "client_cert" if files.client_key is None else "client_key"
    key = files.client_key or client_cert
    text = _read(files.section, setting, key)
    if any(each in text for each in _LOCKED):
        raise ConfigurationError(
            f"the key in {key} ({files.section}.{setting}) is encrypted, but ctisync cannot prompt for a "
            "passphrase",
            hint=f"(umask 077; openssl pkey -in {quoted(key)} -out {quoted(f'{key}.open')}), "
            f"then: {files.section}.client_key = {quoted(f'{key}.open')}",
        )
    if _KEY not in text:
        raise _unusable(files.section, setting, key, "it holds no private key in PEM")
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
        raise _unusable(files.section, setting, key, error.reason or "OpenSSL cannot read it") from error


def _read(section: str, setting: str, file: Path) -> bytes:
    try:
        with open_any(file) as opened:
            return opened.read()
    except OSError as error:
        raise _unusable(section, setting, file, error.strerror or "it cannot be read") from error


_NO_CERTIFICATE: Final = "it contains no PEM certificate"

_EXPECTED: Final = {
    "ca_file": "the certificate, in PEM, of the authority that signed that of the server",
    "client_cert": "the client certificate, in PEM",
    "client_key": "the key, in PEM, of the certificate in client_cert",
}


def _unusable(section: str, setting: str, file: Path | None, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{section}.{setting} {file} cannot be used: {why}",
        hint=f"set {section}.{setting} to a file with {_EXPECTED[setting]}",
    )


def _server(url: str) -> tuple[str, str]:
    """`https://host:port`, without a missing port, and the host; `url` may contain more."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}", host


def _inner_tls_error(error: BaseException | object, visited: set[int]) -> ssl.SSLError | None:
    """The error of the TLS library inside other errors. A broken connection is not one."""
    if not isinstance(error, BaseException) or id(error) in visited:
        return None
    visited.add(id(error))
    if isinstance(error, ssl.SSLError) and not isinstance(
        error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError
    ):
        return error
    for inner in (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args):
        if (tls_error := _inner_tls_error(inner, visited)) is not None:
            return tls_error
    return None


def _server_certificate_advice(
    error: ssl.SSLCertVerificationError, server: str, host: str, files: Files
) -> Advice:
    section = files.section
    code = error.verify_code
    if code in _UNTRUSTED:
        whose = "not trusted by the system" if files.ca_file is None else f"not the one in {files.ca_file}"
        return Advice(
            f"the authority of the certificate of {server} is {whose}",
            f"set {section}.ca_file to the certificate, in PEM, of the authority that signed it; "
            f"{_print_command(server, '-issuer')}",
        )
    if code == _EXPIRED:
        what, hint = "has expired", f"renew it on the server; {_print_command(server, '-dates')}"
    elif code == _NOT_YET:
        what = "is not valid yet"
        hint = f"timedatectl (is this host's clock right?); {_print_command(server, '-dates')}"
    elif code in _NAME_MISMATCH:
        what = f"is for other names than {host}"
        hint = f"use one of its names in {section}.url; {_print_command(server, '-ext subjectAltName')}"
    else:
        what, hint = f"is not valid: {error.verify_message}", _print_command(server, "-text")
    return Advice(f"the certificate of {server} {what}", hint)


def _print_command(server: str, what: str) -> str:
    """The command that prints a part of a certificate."""
    parts = urlsplit(server)
    where, name = quoted(f"{parts.hostname}:{parts.port or 443}"), quoted(parts.hostname or "")
    shown = f"openssl s_client -connect {where} -servername {name} </dev/null"
    return f"to print it: {shown} | openssl x509 -noout {what}"


def _plain_advice(url: str, files: Files) -> Advice:
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or 443}"
    plain = parts._replace(scheme="http", netloc=where).geturl()
    return Advice(
        f"{where} does not use TLS, but {files.section}.url begins with https://",
        f"enable TLS there; or, in a private network, set {files.section}.url to {quoted(plain)}",
    )


def _client_certificate_advice(reason: str, server: str, files: Files) -> Advice:
    shown, section = files.client_cert, files.section
    settings = f"{section}.client_cert and {section}.client_key"
    if shown is not None and "CERTIFICATE_EXPIRED" in reason:
        return Advice(
            f"{server} refuses the client certificate {shown}: it has expired",
            f"renew it; its dates: openssl x509 -noout -dates -in {quoted(shown)}",
        )
    if not any(each in reason for each in (_CLOSED, *_REQUIRED, *_REJECTED)):
        return Advice(f"{server} closes the TLS connection: {reason}", f"check its log, and {settings}")
    perhaps = "closes TLS connections at once and probably " if reason == _CLOSED else ""
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
