"""Getting in to OpenSearch: passwords, certificates, and refusals that say which setting to look at."""

from __future__ import annotations

import json
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from ctisync.errors import AccessRefused, ConfigurationError, StoreUnavailable
from ctisync.stores.opensearch.backend import parse
from ctisync.stores.opensearch.store import OpenSearchStore
from ctisync.system.process import StopRequested
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.http_proxy import Answer, HttpProxy, http_proxy, tls_proxy
from tests.support.opensearch_node import OpenSearchNode
from tests.support.opensearch_store import opensearch_at
from tests.support.raw_server import RawServer, silence
from tests.support.records import record

USER, PASSWORD = "wazuh-admin", "pässwörd:with:colons"
A = record("CVE-1", 1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    return written(tmp_path / "ca.pem", authority.cert_pem)


@pytest.fixture
def proxy(opensearch_2: OpenSearchNode, authority: trustme.CA) -> Iterator[HttpProxy]:
    certificate = authority.issue_cert("localhost")
    with tls_proxy(opensearch_2.url, certificate, credentials=f"{USER}:{PASSWORD}") as running:
        yield running


def written(file: Path, *blobs: trustme.Blob) -> Path:
    file.write_bytes(b"".join(blob.bytes() for blob in blobs))
    return file


@contextmanager
def opened(port: int, host: str = "localhost", **settings: Any) -> Iterator[OpenSearchStore]:
    settings = {"username": USER, "password": PASSWORD} | settings
    with closing(opensearch_at([f"https://{host}:{port}"], FakeClock(), **settings)) as store:
        yield store


def test_with_the_right_password_and_authority_everything_works(proxy: HttpProxy, ca_file: Path) -> None:
    consumer = kit.new_consumer()
    with opened(proxy.port, ca_file=ca_file) as store:
        kit.initialise(store, consumer, [A], 10)
        assert kit.lines(store, consumer) == [A.line]
        assert store.name == f"https://localhost:{proxy.port}"


@pytest.mark.parametrize(
    ("settings", "who"),
    [({"password": "wrong"}, f"user {USER}"), ({"username": None}, "without user and password")],
)
def test_a_wrong_password_is_refused_and_not_shown(
    proxy: HttpProxy, ca_file: Path, settings: dict[str, Any], who: str
) -> None:
    with (
        opened(proxy.port, ca_file=ca_file, **settings) as store,
        pytest.raises(AccessRefused, match=who) as refused,
    ):
        store.read_state(kit.new_consumer())
    assert refused.value.hint == "check store.username and store.password_file"
    assert "wrong" not in str(refused.value)


def test_an_authority_that_is_not_ours_is_refused(proxy: HttpProxy, tmp_path: Path) -> None:
    other = written(tmp_path / "other.pem", trustme.CA().cert_pem)
    for ca_file in (other, None):
        with opened(proxy.port, ca_file=ca_file) as store, pytest.raises(AccessRefused) as refused:
            store.read_state(kit.new_consumer())
        assert "the authority of the certificate of" in str(refused.value)
        assert "store.ca_file" in str(refused.value.hint)
    assert proxy.received == []


def test_a_certificate_for_another_host_is_refused(proxy: HttpProxy, ca_file: Path) -> None:
    with (
        opened(proxy.port, host="127.0.0.1", ca_file=ca_file) as store,
        pytest.raises(AccessRefused, match=r"is for other names than 127\.0\.0\.1"),
    ):
        store.read_state(kit.new_consumer())
    assert proxy.received == []


def test_a_client_certificate_lets_in_and_its_lack_does_not(
    opensearch_2: OpenSearchNode, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    client = authority.issue_cert("ctisync@example.org")
    client_cert = written(tmp_path / "client.pem", *client.cert_chain_pems)
    client_key = written(tmp_path / "client.key", client.private_key_pem)
    server = authority.issue_cert("localhost")
    with tls_proxy(opensearch_2.url, server, client_authority=authority) as proxy:
        with opened(proxy.port, ca_file=ca_file, client_cert=client_cert, client_key=client_key) as store:
            assert store.summary(kit.new_consumer()).records is None
        with (
            opened(proxy.port, ca_file=ca_file) as store,
            pytest.raises(AccessRefused, match="requires a client certificate") as refused,
        ):
            store.read_state(kit.new_consumer())
        assert "set store.client_cert and store.client_key" in str(refused.value.hint)


def test_a_server_without_tls_is_not_called_one_with_a_bad_certificate(
    opensearch_2: OpenSearchNode,
) -> None:
    with (
        opened(int(opensearch_2.url.rpartition(":")[2])) as store,
        pytest.raises(AccessRefused, match="does not use TLS") as refused,
    ):
        store.read_state(kit.new_consumer())
    assert "http://" in str(refused.value.hint)


@pytest.mark.parametrize("setting", ["ca_file", "client_cert"])
def test_a_certificate_that_cannot_be_read_is_a_setting_to_mend(tmp_path: Path, setting: str) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for file in (nonsense, tmp_path / "absent.pem"):
        files: dict[str, Any] = {setting: file}
        with (
            pytest.raises(ConfigurationError, match=f"store.{setting} .* cannot be used"),
            opened(9200, **files),
        ):
            pass


def test_a_refusal_of_parts_of_a_request_names_its_reason() -> None:
    """A delete by query answers so: no error of its own, but one of each shard."""
    cause = {"type": "security_exception", "reason": "no permissions for [some:action[s]] and User [x]"}
    answer = json.dumps({"deleted": 0, "failures": [{"index": "i", "cause": cause, "status": 403}]})
    with http_proxy(None) as server:
        server.intercept = lambda _: Answer(403, answer.encode(), {"Content-Type": "application/json"})
        with (
            closing(opensearch_at([server.url], FakeClock())) as store,
            pytest.raises(AccessRefused, match=r"no permissions for \[some:action"),
        ):
            store.read_state(kit.new_consumer())


def test_a_redirect_is_not_followed_so_that_no_password_goes_elsewhere(
    proxy: HttpProxy, ca_file: Path, opensearch_2: OpenSearchNode, authority: trustme.CA
) -> None:
    with tls_proxy(opensearch_2.url, authority.issue_cert("localhost")) as elsewhere:
        target = f"https://localhost:{elsewhere.port}"
        proxy.intercept = lambda request: Answer(307, b"", {"Location": target + request.target})
        with (
            opened(proxy.port, ca_file=ca_file) as store,
            pytest.raises(ConfigurationError, match="redirect"),
        ):
            store.read_state(kit.new_consumer())
        assert elsewhere.received == []


def test_neither_proxies_nor_passwords_come_from_the_environment(
    opensearch_2: OpenSearchNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with closing(kit.open_store(opensearch_2)) as store:
        assert store.summary(kit.new_consumer()).records is None


def test_nothing_that_is_sent_is_logged(
    proxy: HttpProxy, ca_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    consumer = kit.new_consumer()
    secret = record("CVE-1", 1, {"text": "only in the body"})
    with opened(proxy.port, ca_file=ca_file) as store:
        kit.initialise(store, consumer, [secret], 10)
    with opened(proxy.port, ca_file=ca_file, password="canary") as store, pytest.raises(AccessRefused):
        store.read_state(consumer)
    assert "only in the body" not in caplog.text
    assert "canary" not in caplog.text
    assert PASSWORD not in caplog.text
    assert [each for each in caplog.records if each.name.startswith("opensearch")] == []


def test_where_nothing_listens_the_store_is_unavailable_and_the_url_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        clock = FakeClock()
        with (
            closing(opensearch_at([url], clock)) as store,
            pytest.raises(StoreUnavailable, match=url) as gone,
        ):
            store.read_state(kit.new_consumer())
    assert clock.slept == [0.5, 1.0, 2.0, 4.0]
    assert gone.value.hint == f"check that it runs and that store.url is right: curl {url}"


def test_another_node_of_the_cluster_answers_for_one_that_is_down(opensearch_2: OpenSearchNode) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{unused.getsockname()[1]}"
        consumer = kit.new_consumer()
        with closing(opensearch_at([down, opensearch_2.url], FakeClock())) as store:
            kit.initialise(store, consumer, [A], 10)
            assert kit.lines(store, consumer) == [A.line]
            assert store.name == f"{down},{opensearch_2.url}"


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https://host:port",
        "https://host:9200?pretty",
        "https://[::",
    ],
)
def test_a_url_that_makes_no_sense_is_a_setting_to_mend(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"store\.url"):
        parse(url, "store.url")


def test_a_password_in_the_url_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError, match=r"store\.url: .* user name or password") as refused:
        parse("https://admin:canary@host:9200", "store.url")
    assert "canary" not in f"{refused.value}{refused.value.hint}"


def test_a_signal_that_comes_while_an_answer_is_awaited_is_no_lost_connection() -> None:
    """The handler's error passes through libraries that catch whatever is raised."""

    def stop(number: int, _frame: object) -> None:
        raise StopRequested(number, 0.0)

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with RawServer(silence) as silent, closing(opensearch_at([silent.origin], FakeClock())) as store:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(StopRequested):
                store.read_state(kit.new_consumer())
    finally:
        signal.signal(signal.SIGALRM, before)
