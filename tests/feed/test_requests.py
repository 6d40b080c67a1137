"""What a request does about failures, whom it tells the token, and what it calls each refusal."""

import gzip
import json
import logging
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Final

import httpx
import pytest
import trustme

from ctisync import __version__
from ctisync.core.limits import Limits
from ctisync.core.model import Consumer, OffsetRange
from ctisync.errors import (
    AccessRefused,
    ConfigurationError,
    CtisyncError,
    FeedRefused,
    FeedUnreachable,
)
from ctisync.feed.client import CtiFeed
from ctisync.feed.http import replies as bodies
from ctisync.feed.http import transport
from ctisync.feed.http.budget import PIECE, PassLimits, RetryBudget, RetryLater
from ctisync.tls import Files
from tests.feed.conftest import MakeFeed
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_failures import Failure, Reply
from tests.support.feed_simulator import FeedSimulator, unused_port
from tests.support.log import KeptLog

TRANSIENT: dict[str, Failure] = {
    "429": failures.status(429),
    "500 with HTML": failures.status(500),
    "502": failures.status(502),
    "503": failures.status(503),
    "504": failures.status(504),
    "reset before the reply": failures.reset(),
    "reset within the body": failures.reset(0.5),
    "cut off": failures.cut_off(0.5),
    "cut off before the body": failures.cut_off(0),
    "cut off without a length": failures.undelimited(0.5),
    "HTML": failures.html(),
    "empty body": failures.body(b""),
    "half a document": failures.body(b'{"data": '),
    "two documents": failures.body(b'{"data": {}}{"data": {}}'),
    "no UTF-8": failures.body(b'{"data": "\xff"}'),
    "gzip that is cut": lambda reply: failures.Reply(
        200, gzip.compress(reply.body)[:-12], {"Content-Encoding": "gzip"}
    ),
    "204": failures.status(204, body=b""),
    "gzip that is none": failures.headers(content_encoding="gzip"),
    "an encoding that nobody asked for": failures.headers(content_encoding="br"),
}


@pytest.mark.parametrize("kind", ["info", "changes"])
@pytest.mark.parametrize("failure", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_what_may_be_gone_later_is_requested_again(
    sim: FeedSimulator, feed: CtiFeed, log: KeptLog, clock: FakeClock, kind: str, failure: Failure
) -> None:
    sim.history.create("CVE-2024-1")
    sim.fail("info" if kind == "info" else "changes", failure, times=2)
    if kind == "info":
        assert feed.consumer_info().last_offset == 1001
    else:
        assert [change.offset for change in feed.changes(OffsetRange(1000, 1001))] == [1001]
    retries = log.named("retry")
    assert [retry["attempt"] for retry in retries] == [1, 2]
    assert [retry["wait"] for retry in retries] == [round(wait, 1) for wait in clock.slept]
    assert all(retry["reason"] for retry in retries)
    assert len(sim.requests) == 3


def test_a_server_that_does_not_answer_in_time_gets_the_request_again(
    sim: FeedSimulator, make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_READ", 0.2)
    feed = make_feed()
    sim.fail("info", failures.stall(5.0))
    sim.fail("info", failures.stall(5.0, after=10))
    assert feed.consumer_info().last_offset == 1000
    assert len(sim.requests) == 3


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("429", FeedUnreachable),
        ("503", FeedUnreachable),
        ("reset before the reply", FeedUnreachable),
        ("reset within the body", FeedUnreachable),
        ("HTML", FeedRefused),
        ("cut off", FeedRefused),
        ("half a document", FeedRefused),
    ],
)
def test_a_spent_budget_distinguishes_a_silent_feed_from_a_useless_one(
    sim: FeedSimulator, feed: CtiFeed, clock: FakeClock, name: str, error: type[CtisyncError]
) -> None:
    sim.fail("info", TRANSIENT[name], times=None)
    with pytest.raises(error) as caught:
        feed.consumer_info()
    assert type(caught.value) is error
    assert 20 < sum(clock.slept) <= 60
    assert caught.value.hint


def test_nobody_listening_is_a_feed_that_cannot_be_reached(make_feed: MakeFeed) -> None:
    with pytest.raises(FeedUnreachable, match="cannot be reached"):
        make_feed(base_url=f"http://127.0.0.1:{unused_port()}/api").consumer_info()


def test_the_budget_is_one_for_the_whole_pass(sim: FeedSimulator, feed: CtiFeed, clock: FakeClock) -> None:
    sim.fail("info", failures.status(429, {"Retry-After": "50"}))
    feed.consumer_info()
    sim.fail("info", failures.status(429, {"Retry-After": "20"}), times=None)
    with pytest.raises(FeedUnreachable):
        feed.consumer_info()
    assert len(clock.slept) == 1


def test_the_time_of_a_failed_try_is_spent_from_the_budget(clock: FakeClock, log: KeptLog) -> None:
    def slow_failure() -> None:
        clock.advance(seconds=40)
        raise RetryLater("slow")

    with pytest.raises(FeedUnreachable, match="slow"):
        RetryBudget(60, 0, PassLimits(clock), log, lambda: True).persist(slow_failure)
    assert len(clock.slept) == 1


def test_retry_after_in_seconds_is_kept(sim: FeedSimulator, feed: CtiFeed, clock: FakeClock) -> None:
    sim.fail("info", failures.status(429, {"Retry-After": "17"}))
    feed.consumer_info()
    assert 17 <= clock.slept[0] <= 19


def test_retry_after_as_a_date_is_kept(sim: FeedSimulator, feed: CtiFeed, clock: FakeClock) -> None:
    date = format_datetime(clock.now() + timedelta(seconds=25), usegmt=True)
    sim.fail("info", failures.status(503, {"Retry-After": date}))
    feed.consumer_info()
    assert 25 <= clock.slept[0] <= 28


def test_a_server_that_wants_more_time_than_is_left_is_not_waited_for(
    sim: FeedSimulator, feed: CtiFeed, clock: FakeClock
) -> None:
    sim.fail("info", failures.status(429, {"Retry-After": "3600"}), times=None)
    with pytest.raises(FeedUnreachable, match="3600 s") as caught:
        feed.consumer_info()
    assert caught.value.hint is not None
    assert "2026-03-01T13:00:00Z" in caught.value.hint
    assert clock.slept == []
    assert len(sim.requests) == 1


@pytest.mark.parametrize(
    ("failure", "error", "words"),
    [
        pytest.param(failures.refusal(401, "who are you"), AccessRefused, "401.*who are you", id="401"),
        pytest.param(failures.refusal(403, "subscribe first"), AccessRefused, "403.*subscribe", id="403"),
        pytest.param(failures.refusal(404, "Not Found"), AccessRefused, "404", id="404"),
        pytest.param(failures.status(407), AccessRefused, "407", id="407"),
        pytest.param(failures.refusal(400, "no integer"), FeedRefused, "400.*no integer", id="400"),
        pytest.param(failures.refusal(422, "too wide"), FeedRefused, "422.*too wide", id="422"),
        pytest.param(failures.status(410), FeedRefused, "410$", id="410"),
        pytest.param(
            failures.redirect("https://login.example.org/?secret=1"),
            ConfigurationError,
            r"login\.example\.org/;",
            id="redirect",
        ),
    ],
)
def test_what_waiting_does_not_mend_is_refused_at_once(
    sim: FeedSimulator,
    feed: CtiFeed,
    clock: FakeClock,
    failure: Failure,
    error: type[CtisyncError],
    words: str,
) -> None:
    sim.fail("info", failure)
    with pytest.raises(error, match=words) as caught:
        feed.consumer_info()
    assert type(caught.value) is error
    assert clock.slept == []
    assert len(sim.requests) == 1
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message


_WRONG: Final = {"errors": {"to_offset": ["is too far", "must be\x1b[31m less"], "from_offset": ["is odd"]}}


@pytest.mark.parametrize("packed", [False, True])
def test_the_errors_of_a_refusal_are_listed_by_field(sim: FeedSimulator, feed: CtiFeed, packed: bool) -> None:
    """A server may compress them, as ctisync asks it to."""
    text = json.dumps(_WRONG).encode()
    encoding = {"Content-Encoding": "gzip"} if packed else {}
    body = gzip.compress(text) if packed else text
    reply = Reply(422, body, {"Content-Type": "application/json", **encoding})
    sim.fail("changes", lambda _: reply)
    with pytest.raises(FeedRefused) as caught:
        feed.changes(OffsetRange(1000, 1005))
    message = "answers 422: to_offset: is too far, must be [31m less; from_offset: is odd"
    assert caught.value.message.endswith(message)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"errors": {"detail": "Not Found"}}', ": Not Found"),
        (b'{"error": "access_denied", "error_description": "expired"}', ": access_denied: expired"),
        (b'{"errors": "all wrong"}', ': {"errors": "all wrong"}'),
        (b'{"errors": {"a": 5, "b": [1, null]}}', ": a: 5; b: 1, None"),
        (b'{"errors": ' + b"[" * 3000, ": " + ('{"errors": ' + "[" * 3000)[:200] + "..."),
        (b"out of order", ": out of order"),
        (b"", ""),
    ],
)
def test_the_reason_of_a_refusal_is_shown_whatever_its_form(
    sim: FeedSimulator, feed: CtiFeed, body: bytes, words: str
) -> None:
    sim.fail("info", lambda _: Reply(400, body, {"Content-Type": "application/json"}))
    with pytest.raises(FeedRefused) as caught:
        feed.consumer_info()
    assert caught.value.message.partition(" answers 400")[2] == words


@pytest.mark.parametrize("body", [b"\x1f\x8b damaged", gzip.compress(b"a" * 300_000)[:-20]])
def test_a_refusal_whose_text_cannot_be_read_is_one(sim: FeedSimulator, feed: CtiFeed, body: bytes) -> None:
    sim.fail("info", lambda _: Reply(422, body, {"Content-Encoding": "gzip"}))
    with pytest.raises(FeedRefused, match="answers 422"):
        feed.consumer_info()
    assert len(sim.requests) == 1


@pytest.mark.parametrize(
    ("consumer", "hint"),
    [
        (Consumer("t1-iocs-5", "public-iocs-6"), "the feed has no t1-iocs-5/public-iocs-6"),
        (Consumer(), "the feed has no vd_1.0.0/vd_4.8.0"),
        (Consumer("vd_1.0.0", "vd_4.9.0"), "no vd_1.0.0/vd_4.9.0 (usually vd_1.0.0/vd_4.8.0)"),
    ],
)
def test_the_hint_for_404_names_the_consumers_own_catalog(
    sim: FeedSimulator, make_feed: MakeFeed, consumer: Consumer, hint: str
) -> None:
    sim.fail("info", failures.refusal(404, "not here"))
    with pytest.raises(AccessRefused) as caught:
        make_feed(consumer=consumer).consumer_info()
    assert str(caught.value.hint).endswith(hint)
    assert f"contexts/{consumer.context}/consumers/{consumer.name} answers 404" in caught.value.message


def test_a_long_refusal_is_shortened(sim: FeedSimulator, feed: CtiFeed) -> None:
    sim.fail("info", failures.refusal(422, "word\n\x1b[31m " * 1000))
    with pytest.raises(FeedRefused) as caught:
        feed.consumer_info()
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


def test_the_product_names_itself(sim: FeedSimulator, feed: CtiFeed) -> None:
    feed.consumer_info()
    assert sim.requests[0].headers["user-agent"] == f"ctisync/{__version__}"


def test_the_token_goes_to_the_configured_server(sim: FeedSimulator, make_feed: MakeFeed) -> None:
    sim.required_token = "s3cret"
    assert make_feed(token="s3cret").consumer_info().last_offset == 1000
    with pytest.raises(AccessRefused) as caught:
        make_feed(token="wr0ng").consumer_info()
    assert "wr0ng" not in caught.value.message + str(caught.value.hint)


@pytest.mark.parametrize("token", ["", "two words", "line\n", "é", "nul\0"])
def test_a_token_that_no_header_takes_is_refused_without_being_shown(make_feed: MakeFeed, token: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cti\.token") as caught:
        make_feed(token=token)
    assert not token or token not in caught.value.message


def test_names_with_special_characters_stay_in_their_part_of_the_path(make_feed: MakeFeed) -> None:
    from ctisync.core.model import Consumer

    with FeedSimulator("a b", "c%2F..?d") as sim:
        sim.consumer = "c%252F..%3Fd"
        sim.context = "a%20b"
        feed = make_feed(base_url=sim.url, consumer=Consumer(context="a b", name="c%2F..?d"))
        assert feed.consumer_info().last_offset == 1000


def test_a_packed_reply_is_read(sim: FeedSimulator, feed: CtiFeed) -> None:
    def packed(reply: failures.Reply) -> failures.Reply:
        return failures.Reply(200, gzip.compress(reply.body), {"Content-Encoding": "gzip"})

    sim.fail("info", packed)
    assert feed.consumer_info().last_offset == 1000
    assert len(sim.requests) == 1


def test_a_reply_that_unpacks_without_end_is_stopped_in_bounded_memory() -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    sizes: list[int] = []
    with pytest.raises(FeedRefused, match="larger than 16777216 bytes"):
        sizes.extend(map(len, bodies.decoded(iter([bomb]), "gzip", 16 << 20)))
    assert sum(sizes) == 16 << 20
    assert max(sizes) <= PIECE


def test_a_reply_larger_than_allowed_is_refused(
    sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock
) -> None:
    sim.history.create("CVE-2024-1", {"text": "x" * 3_000_000})
    small = PassLimits(clock, Limits(reply_bytes=2 << 20))
    with pytest.raises(FeedRefused, match="larger than 2097152 bytes") as caught:
        make_feed(pass_limits=small).changes(OffsetRange(1000, 1001))
    assert "limits.reply_bytes" in str(caught.value.hint)


def _transport(clock: FakeClock) -> transport.FeedTransport:
    return transport.FeedTransport("http://127.0.0.1/", None, None, PassLimits(clock))


def test_a_body_that_only_drips_is_abandoned(clock: FakeClock) -> None:
    talker = _transport(clock)

    def drip() -> Iterator[bytes]:
        while True:
            clock.advance(seconds=4)
            yield b"x"

    with pytest.raises(RetryLater, match="bytes a second"):
        for _ in talker._steady(drip(), "http://host/"):
            pass
    assert clock.monotonic() < 70
    talker.close()


def test_a_slow_body_that_keeps_coming_is_waited_for(clock: FakeClock) -> None:
    talker = _transport(clock)

    def slow() -> Iterator[bytes]:
        for _ in range(100):
            clock.advance(seconds=4)
            yield b"x" * 4100

    assert sum(map(len, talker._steady(slow(), "http://host/"))) == 410_000
    talker.close()


def test_a_host_whose_international_name_is_invalid_is_a_mistake_in_the_settings(
    make_feed: MakeFeed,
) -> None:
    feed = make_feed(base_url="http://xn--a/api/v1")
    with pytest.raises(ConfigurationError, match="InvalidCodepoint") as caught:
        feed.consumer_info()
    assert caught.value.hint == "check cti.url"
    with pytest.raises(ConfigurationError, match="InvalidCodepoint"):
        feed.fetch_from("https://xn--a/snapshot.zip", lambda: None)


def test_text_that_its_reader_cannot_encode_is_no_mistake_in_the_settings(
    sim: FeedSimulator, clock: FakeClock
) -> None:
    """httpx raises such an error only for an address."""
    talker = _transport(clock)
    with pytest.raises(UnicodeEncodeError), talker.open(sim.url, {}):
        "\udcff".encode()
    talker.close()


def test_every_transport_error_of_httpx_has_a_meaning(clock: FakeClock) -> None:
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(below(sub) for sub in kind.__subclasses__()))

    talker = _transport(clock)
    for kind in below(httpx.TransportError) | {httpx.DecodingError}:
        meaning = talker._failure(
            kind("words"), "http://host/path?secret=1", in_body=False, setting="cti.url"
        )
        assert isinstance(meaning, RetryLater | CtisyncError), kind
        assert "secret" not in str(meaning)
    talker.close()


def test_the_libraries_below_do_not_log_addresses(
    sim: FeedSimulator, feed: CtiFeed, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        feed.consumer_info()
    assert [entry for entry in caplog.records if entry.name.startswith(("httpx", "httpcore"))] == []


def test_a_client_is_imported_without_its_libraries() -> None:
    code = "import sys, ctisync.feed.client; print({'httpx', 'ijson'} & sys.modules.keys() or '')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_sim(sim: FeedSimulator, authority: trustme.CA) -> FeedSimulator:
    """The same server behind TLS, with a certificate of a private authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    sim._server.socket = context.wrap_socket(sim._server.socket, server_side=True)
    return sim


def _https(sim: FeedSimulator) -> str:
    return sim.url.replace("http:", "https:")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_certificate_of_an_unknown_authority_is_refused_at_once(
    tls_sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock
) -> None:
    with pytest.raises(AccessRefused, match="the authority of the certificate") as caught:
        make_feed(base_url=_https(tls_sim)).consumer_info()
    assert caught.value.hint is not None
    assert "cti.ca_file" in caught.value.hint
    assert clock.slept == []


def test_a_configured_authority_is_trusted(
    tls_sim: FeedSimulator, make_feed: MakeFeed, authority: trustme.CA, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    assert make_feed(base_url=_https(tls_sim), ca_file=ca_file).consumer_info().last_offset == 1000


def test_a_plain_server_under_an_https_address_is_a_refusal_of_tls(
    sim: FeedSimulator, make_feed: MakeFeed
) -> None:
    with pytest.raises(AccessRefused, match="TLS"):
        make_feed(base_url=_https(sim)).consumer_info()


def test_a_feed_without_tls_reads_no_authorities(
    sim: FeedSimulator, make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are as much work as all else that a pass with nothing to do asks of the feed."""
    read = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *files, **_: read.append(files))
    feed = make_feed()
    feed.consumer_info()
    feed.fetch_from(sim.publish_snapshot(), lambda: None).discard()
    assert not read
    make_feed(base_url=_https(sim))
    assert read


def test_a_snapshot_under_https_comes_only_from_a_trusted_server(
    tls_sim: FeedSimulator,
    make_feed: MakeFeed,
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Whatever the address of the feed: only the client for http trusts nothing."""
    link = tls_sim.publish_snapshot().replace("http:", "https:")
    with pytest.raises(AccessRefused, match="the authority of the certificate"):
        make_feed().fetch_from(link, lambda: None)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with closing(make_feed().fetch_from(link, lambda: None)) as file:
        assert file.size
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        transport._client(Files("cti"), "http").get(link)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_ca_file_that_is_missing_or_no_certificate_is_a_wrong_setting(
    make_feed: MakeFeed, tmp_path: Path, content: bytes | None
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"cti\.ca_file"):
        make_feed(ca_file=ca_file)


def test_a_proxy_of_the_environment_is_used(
    sim: FeedSimulator, make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", sim.origin)
    sim.fail(lambda request: True, failures.body(b'{"data": {"last_offset": 7}}'))
    assert make_feed(base_url="http://feed.example.org/api").consumer_info().last_offset == 7


def test_a_proxy_that_wants_a_password_is_no_matter_of_waiting(
    sim: FeedSimulator, make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", sim.origin)
    sim.fail("other", failures.status(407))
    with pytest.raises(AccessRefused, match="407") as caught:
        make_feed(base_url="https://feed.example.org/api").consumer_info()
    assert "HTTPS_PROXY" in str(caught.value.hint)
    assert clock.slept == []


def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "HTTP_PROXY" not in os.environ
    monkeypatch.setenv("HTTP_PROXY", "gopher://user:s3cret@host")
    with pytest.raises(ConfigurationError, match="HTTP_PROXY") as caught:
        make_feed()
    assert "s3cret" not in caught.value.message
