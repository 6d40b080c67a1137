"""What is wrong with TLS is told in a sentence of its own, with what to type: of the store, of the feed and
of the Command Manager."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
import trustme

from ctisync import tls
from ctisync.core.model import Consumer
from ctisync.errors import CommandNotAccepted, ConfigurationError, CtisyncError, StoreUnavailable
from ctisync.settings import load_settings
from ctisync.system.clock import SystemClock
from ctisync.wiring import command_manager, opened_feed, opened_store
from tests.support.authority import Authority, KeyPair
from tests.support.http_proxy import http_proxy, tls_proxy
from tests.support.log import KeptLog

NOW: Final = datetime.now(UTC)
PARTS: Final = ["store", "cti", "command_manager"]
WITH_CERTIFICATE: Final = ["store", "command_manager"]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


def use(part: str, environ: dict[str, str]) -> None:
    clock, consumer = SystemClock(), Consumer()
    settings = load_settings(None, environ).settings
    if part == "store":
        with opened_store(settings, clock) as store:
            store.read_state(consumer)
    elif part == "cti":
        with opened_feed(settings, consumer, clock, KeptLog()) as feed:
            feed.consumer_info()
    else:
        manager = command_manager(settings, clock)
        assert manager is not None
        manager.send_update("wazuh-cve", 1)


def typed(command: str) -> str:
    """What a shell prints for it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here: NOTHING TYPES THE HINTS ABOUT CERTIFICATES")
    return subprocess.check_output(["/bin/sh", "-c", command], text=True)


def ended(part: str, url: str, home: Path, **settings: object) -> CtisyncError:
    """How the first request of that part of a pass ends, with these settings of it."""
    environ = {f"CTISYNC_{part.upper()}__{name.upper()}": str(value) for name, value in settings.items()}
    environ |= dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(home))
    environ |= {f"CTISYNC_{part.upper()}__URL": url, "CTISYNC_CTI__RETRY_BUDGET": "0.2"}
    with pytest.raises(CtisyncError) as raised:
        use(part, environ)
    error = raised.value
    assert error.exit_code == (
        8 if part == "command_manager" and isinstance(error, CommandNotAccepted) else 3
    )
    assert not any(word in f"{error.message}{error.hint}" for word in ("_ssl.c", "SSLError", "ALERT"))
    assert error.hint is not None
    return error


@contextmanager
def served(certificate: trustme.LeafCert, client_authority: trustme.CA | None = None) -> Iterator[int]:
    with tls_proxy(None, certificate, client_authority=client_authority) as proxy:
        yield proxy.port


def in_days(days: int) -> datetime:
    return NOW + timedelta(days=days)


@pytest.mark.parametrize("part", PARTS)
def test_an_expired_certificate(part: str, authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    issued = authority.issue_cert("localhost", not_before=in_days(-9), not_after=in_days(-1))
    with served(issued) as port:
        error = ended(part, f"https://localhost:{port}", tmp_path, ca_file=ca_file)
        assert error.message == f"the certificate of https://localhost:{port} has expired"
        shown = typed(str(error.hint).partition("to print it: ")[2])
    assert "notAfter=" in shown, "the hint is typed as it stands"


@pytest.mark.parametrize("part", PARTS)
def test_a_certificate_of_tomorrow(part: str, authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    with served(authority.issue_cert("localhost", not_before=in_days(1), not_after=in_days(9))) as port:
        error = ended(part, f"https://localhost:{port}", tmp_path, ca_file=ca_file)
    assert error.message == f"the certificate of https://localhost:{port} is not valid yet"
    assert str(error.hint).startswith("timedatectl")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("has_ca_file", [True, False])
def test_a_certificate_from_a_foreign_authority(
    part: str, has_ca_file: bool, ca_file: Path, tmp_path: Path
) -> None:
    with served(trustme.CA().issue_cert("localhost")) as port:
        settings = {"ca_file": ca_file} if has_ca_file else {}
        error = ended(part, f"https://localhost:{port}", tmp_path, **settings)
    trusted = f"not the one in {ca_file}" if has_ca_file else "not trusted by the system"
    message = f"the authority of the certificate of https://localhost:{port} is {trusted}"
    assert error.message == message
    assert f"set {part}.ca_file to" in str(error.hint)


@pytest.mark.parametrize("part", PARTS)
def test_a_wrong_host_name(part: str, authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    with served(authority.issue_cert("indexer.example")) as port:
        error = ended(part, f"https://localhost:{port}", tmp_path, ca_file=ca_file)
        message = f"the certificate of https://localhost:{port} is for other names than localhost"
        assert error.message == message
        assert f"use one of its names in {part}.url" in str(error.hint)
        shown = typed(str(error.hint).partition("to print it: ")[2])
    assert "DNS:indexer.example" in shown


@pytest.mark.parametrize("part", PARTS)
def test_plain_http_to_a_port_with_tls(
    part: str, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    with served(authority.issue_cert("localhost")) as port:
        error = ended(part, f"http://localhost:{port}", tmp_path, ca_file=ca_file)
    assert error.message == f"localhost:{port} uses TLS, but {part}.url begins with http://"
    assert error.hint == f"set {part}.url to https://localhost:{port}"


@pytest.mark.parametrize("part", PARTS)
def test_https_to_a_port_without_tls(part: str, ca_file: Path, tmp_path: Path) -> None:
    with http_proxy(None) as plain:
        port = plain.port
        error = ended(part, f"https://localhost:{port}", tmp_path, ca_file=ca_file)
    assert error.message == f"localhost:{port} does not use TLS, but {part}.url begins with https://"
    assert f"set {part}.url to http://localhost:{port}" in str(error.hint)


@pytest.mark.parametrize("part", WITH_CERTIFICATE)
def test_a_client_certificate_that_is_required_or_refused(
    part: str, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    foreign = Authority(tmp_path / "foreign").issue("ctisync")
    old = authority.issue_cert("old", not_before=in_days(-9), not_after=in_days(-1))
    expired = KeyPair(tmp_path / "old.pem", tmp_path / "old.key")
    old.cert_chain_pems[0].write_to_path(str(expired.certificate))
    old.private_key_pem.write_to_path(str(expired.key))
    with served(authority.issue_cert("localhost"), authority) as port:
        url = f"https://localhost:{port}"
        without = ended(part, url, tmp_path, ca_file=ca_file)
        refused, late = (
            ended(part, url, tmp_path, ca_file=ca_file, client_cert=pair.certificate, client_key=pair.key)
            for pair in (foreign, expired)
        )
    # Whether the alert arrives before the connection ends is the network's to decide.
    assert re.fullmatch(rf"{url} (closes .*)?requires a client certificate", without.message)
    assert f"set {part}.client_cert and {part}.client_key" in str(without.hint)
    for error, pair in ((refused, foreign), (late, expired)):
        assert re.match(
            rf"{url} (closes .*)?refuses the client certificate {pair.certificate}", error.message
        )
        assert re.search(rf"openssl x509 -noout .*-dates -in {pair.certificate}", str(error.hint))


def _of_the_alert(reason: str, client_cert: Path | None) -> tuple[str, str]:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1)")
    error.reason = reason
    advice = tls.refusal(error, "https://h:9200/x", tls.Files("store", None, client_cert))
    assert advice is not None
    return advice.text, advice.hint


def test_an_expired_client_certificate_is_renewed_not_signed_by_another_authority() -> None:
    text, hint = _of_the_alert("SSLV3_ALERT_CERTIFICATE_EXPIRED", Path("/c.pem"))
    assert text == "https://h:9200 refuses the client certificate /c.pem: it has expired"
    assert hint == "renew it; its dates: openssl x509 -noout -dates -in /c.pem"


@pytest.mark.parametrize("client_cert", [None, Path("/c.pem")])
@pytest.mark.parametrize(
    ("reason", "is_about_it"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", True),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", True),
        ("TLSV1_ALERT_UNKNOWN_CA", True),
        ("SSLV3_ALERT_BAD_CERTIFICATE", True),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", True),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", True),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", False),
        ("WRONG_CERTIFICATE_TYPE", False),
        ("TLSV1_ALERT_PROTOCOL_VERSION", False),
    ],
)
def test_only_an_alert_about_the_authority_of_a_client_certificate_asks_for_another_one(
    reason: str, is_about_it: bool, client_cert: Path | None
) -> None:
    text, hint = _of_the_alert(reason, client_cert)
    required = (
        "requires a client certificate" if client_cert is None else "refuses the client certificate /c.pem"
    )
    closed = f"closes the TLS connection: {reason}"
    assert text == f"https://h:9200 {required if is_about_it else closed}"
    assert hint.startswith("set store.client_cert" if is_about_it else "check its log")


@pytest.mark.parametrize("part", WITH_CERTIFICATE)
def test_an_encrypted_key_is_named_and_the_hint_opens_it(part: str, tmp_path: Path) -> None:
    """Without a terminal OpenSSL would ask at, and the pass would wait for ever."""
    locked = Authority(tmp_path).issue("ctisync", passphrase=b"canary")
    settings = {"client_cert": locked.certificate, "client_key": locked.key}
    error = ended(part, "https://localhost:9", tmp_path, **settings)
    assert error.message.startswith(f"the key in {locked.key} ({part}.client_key) is encrypted")
    opening = str(error.hint).partition(", then: ")[0]
    typed(opening.replace("openssl pkey", "openssl pkey -passin pass:canary"))
    opened = Path(f"{locked.key}.open")
    assert opened.stat().st_mode & 0o077 == 0
    tls.context(tls.Files(part, None, locked.certificate, opened))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("setting", ["ca_file", "client_cert", "client_key"])
def test_a_file_that_holds_something_else(part: str, setting: str, tmp_path: Path) -> None:
    if part == "cti" and setting != "ca_file":
        return
    pair = Authority(tmp_path).issue("ctisync")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    why = "it holds no private key in PEM" if setting == "client_key" else "it contains no PEM certificate"
    settings: dict[str, Path] = {setting: nonsense}
    if setting != "ca_file":
        settings = {"client_cert": pair.certificate, "client_key": pair.key, setting: nonsense}
    error = ended(part, "https://localhost:9", tmp_path, **settings)
    assert error.message == f"{part}.{setting} {nonsense} cannot be used: {why}"
    assert f"set {part}.{setting} to" in str(error.hint)


def test_a_key_that_belongs_to_another_certificate(tmp_path: Path) -> None:
    one, other = (Authority(tmp_path / name).issue(name) for name in ("one", "other"))
    with pytest.raises(ConfigurationError, match="does not belong to the certificate") as raised:
        tls.context(tls.Files("store", None, one.certificate, other.key))
    keys = typed(str(raised.value.hint).partition(": ")[2]).split("-----END PUBLIC KEY-----")
    assert keys[0].strip() != keys[1].strip()


UNREADABLE: Final = """
import os, sys
from pathlib import Path
from ctisync.errors import ConfigurationError
from ctisync.settings.checks import check_readable
os.setuid(65534)
try:
    check_readable(Path(sys.argv[1]), "store.client_key")
except ConfigurationError as error:
    print(error.message, error.hint, sep="\\n")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_a_key_that_the_user_may_not_read(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("ctisync")
    printed = subprocess.check_output([sys.executable, "-c", UNREADABLE, pair.key], text=True)
    message, hint = printed.splitlines()
    assert message == f"store.client_key: cannot read {pair.key}: Permission denied"
    placed = f"{pair.key} /etc/ctisync/{pair.key.name}; then set the path of that file"
    assert hint == f"sudo install -D -m 400 -o 65534 {placed}"


def test_a_server_that_is_gone_is_not_called_one_with_tls(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        files = tls.Files("store")
        assert tls.speaks_tls(f"http://127.0.0.1:{unused.getsockname()[1]}", files) is None
    with http_proxy(None) as plain:
        assert tls.speaks_tls(plain.url, files) is None
    assert not issubclass(StoreUnavailable, ConfigurationError)


def test_the_end_of_a_certificate_is_read(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    files = tls.Files("cti")
    for days in (-1, 5, 40_000):  # expired, and in either of the two forms that a certificate has for times
        ends = in_days(days).replace(microsecond=0)
        issued = authority.issue_cert("localhost", not_after=ends)
        cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
        cert.write_bytes(b"# text\n" + issued.cert_chain_pems[0].bytes())
        key.write_bytes(issued.private_key_pem.bytes())
        files = tls.Files("cti", ca_file, cert, key)
        with served(issued) as port:
            urls = [f"http://localhost:{port}", f"https://localhost:{port}"]
            server, client = (
                (f"the certificate of https://localhost:{port}", ends),
                (f"the client certificate {cert}", ends),
            )
            assert list(tls.expiry_dates(urls, files)) == ([server, client] if days > 0 else [client])
            assert list(tls.expiry_dates(urls, tls.Files("cti"))) == [], "each request says what is wrong"
    assert list(tls.expiry_dates([], files._replace(client_cert=tmp_path / "absent"))) == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_the_end_of_a_client_certificate_that_is_no_file_is_not_waited_for(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    pair = Authority(tmp_path).issue("ctisync")
    odd = tmp_path / "odd"
    make(odd)
    for key in (None, pair.key):
        assert list(tls.expiry_dates([], tls.Files("store", None, odd, key))) == []
