"""Where the feed's links may lead, and that nothing is sent to where they may not."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpcore
import pytest

from ctisync.core.model import Snapshot
from ctisync.errors import ConfigurationError, FeedUnreachable, SnapshotRefused, UsageError
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.http.transport import FeedTransport
from ctisync.feed.http.url_policy import Reach, hop, is_public, snapshot_url
from tests.feed.conftest import MakeFeed
from tests.feed.downloads import nothing
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator

PUBLIC = "93.184.215.14"
"""An address of the internet; nothing is ever sent there."""

BASE = f"https://{PUBLIC}/api/v1"
LISTED = ("files.example.com", "*.cdn.example.com", "big.example.com:8443", "10.0.0.5", "[2001:db8::5]:8443")

LINKS: dict[str, bool] = {
    f"https://{PUBLIC}/store/x.zip": True,
    f"{PUBLIC}/store/x.zip": True,
    "/store/x.zip": True,
    f"https://{PUBLIC}:443/x": True,
    f"HTTPS://{PUBLIC}/x": True,
    f"https://{PUBLIC}:8443/x": False,
    f"http://{PUBLIC}/x": False,
    f"http://{PUBLIC}:443/x": False,
    "https://files.example.com/x?sig=1": True,
    "https://FILES.example.com/x": True,
    "https://files.example.com:8443/x": False,
    "https://files.example.com.evil.org/x": False,
    "https://evil-files.example.com/x": False,
    "https://example.com/x": False,
    "https://a.cdn.example.com/x": True,
    "https://a.b.cdn.example.com/x": True,
    "https://cdn.example.com/x": False,
    "https://evilcdn.example.com/x": False,
    "https://big.example.com:8443/x": True,
    "https://big.example.com/x": False,
    "https://user@files.example.com/x": False,
    "https://files.example.com:pw@evil.org/x": False,
    "https://files.example.com\\@evil.org/x": False,
    "https://evil.org#@files.example.com/x": False,
    "//evil.org/x": False,
    "//files.example.com/x": True,
    "https://10.0.0.5/x": False,
    "https://[2001:db8::5]:8443/x": False,
    "https://127.0.0.1/x": False,
    "https://2130706433/x": False,
    "https://0x7f.1/x": False,
    "https://localhost/x": False,
    "https://169.254.169.254/latest/meta-data": False,
    "https://[::1]/x": False,
    "https://[::ffff:127.0.0.1]/x": False,
    "https://files%2eexample.com/x": False,
    "https://files.example.com:99999/x": False,
    "https:///x": True,
    "ftp://files.example.com/x": False,
    "file:///etc/passwd": False,
    "gopher://files.example.com": False,
    "https://files.example.com/\n/x": True,
    "https://files.exa mple.com/x": False,
}


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_the_feeds_host_and_to_listed_ones_alone(link: str) -> None:
    reach = Reach(BASE, LISTED)

    def follow() -> None:
        reach.check(snapshot_url(link, BASE))

    if LINKS[link]:
        follow()
    else:
        with pytest.raises(SnapshotRefused):
            follow()


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://files.example.org/x?sig=canary", "files.example.org"),
        ("https://files.example.org:8443/x", "files.example.org:8443"),
        ("https://[2001:4860::1]:8443/x", "[2001:4860::1]:8443"),
    ],
)
def test_a_refusal_names_the_host_and_the_setting_that_would_allow_it(url: str, entry: str) -> None:
    with pytest.raises(SnapshotRefused) as caught:
        Reach(BASE).check(url)
    assert f"leads to {entry}," in caught.value.message
    assert caught.value.hint == f'if this is expected, set cti.allowed_hosts = ["{entry}"]'
    assert "canary" not in str(caught.value)
    Reach(BASE, [entry]).check(url)


def test_the_port_of_the_feed_is_a_usual_one_everywhere() -> None:
    reach = Reach("http://feed.example.com:8080/api", ["files.example.com"])
    for url in (
        "http://feed.example.com:8080/x",
        "http://feed.example.com/x",
        "https://feed.example.com/x",
        "http://files.example.com:8080/x",
    ):
        reach.check(url)
    with pytest.raises(SnapshotRefused):
        reach.check("http://feed.example.com:8081/x")


@pytest.mark.parametrize(
    "target",
    ["http://files.example.com/x", "https://me:pw@files.example.com/x", "https://files.example.com\\x"],
)
def test_a_redirect_from_https_never_leads_to_http_or_to_a_login(target: str) -> None:
    with pytest.raises(SnapshotRefused) as caught:
        hop("https://files.example.com/x", target)
    assert "pw" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:220:1::1", True),
        ("::ffff:93.184.215.14", True),
        ("2002:5db8:d70e::1", True),
        ("64:ff9b::93.184.215.14", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("127.0.0.53", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),  # noqa: S104
        ("224.0.0.1", False),
        ("239.1.1.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("ff0e::1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:0a00:0001::1", False),
        ("2002:7f00:0001::1", False),
        ("64:ff9b::169.254.169.254", False),
        # Special-purpose nets (IANA), which `is_global` judges one way or the other, by version of Python.
        ("192.0.0.1", False),
        ("192.0.0.9", False),
        ("192.0.2.1", False),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
        ("198.51.100.1", False),
        ("203.0.113.1", False),
        ("64:ff9b:1::1", False),
        ("100::1", False),
        ("100:0:0:1::1", False),
        ("2001::1", False),
        ("2001:2::1", False),
        ("2001:10::1", False),
        ("2001:20::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("fec0::1", False),
        ("feff::1", False),
        ("4000::1", False),
        ("::127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False),
    ],
)
def test_an_address_is_one_of_the_internet_or_it_is_not(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:8080", "http://localhost", "https://10.1.1.1", "http://[::1]"]
)
def test_a_feed_inside_may_lead_to_addresses_inside(base: str) -> None:
    Reach(base, ["192.168.1.1"]).check("https://192.168.1.1/x")


@pytest.mark.parametrize("base", [BASE, "https://no.such.host.invalid"])
def test_a_feed_outside_or_nowhere_may_not(base: str) -> None:
    with pytest.raises(SnapshotRefused, match=r"192\.168\.1\.1 is not a public one") as caught:
        Reach(base, ["192.168.1.1"]).check("https://192.168.1.1/x")
    assert "init-snapshot --from" in str(caught.value.hint)


@contextmanager
def _listening() -> Iterator[socket.socket]:
    """A server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


def _place(listener: socket.socket, host: str = "127.0.0.1") -> str:
    return f"{host}:{listener.getsockname()[1]}"


def _nobody_came(listener: socket.socket) -> bool:
    listener.settimeout(0)
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("how", ["link", "redirect", "redirect of a redirect"])
def test_no_byte_goes_to_a_host_that_is_not_allowed(
    sim: FeedSimulator, make_feed: MakeFeed, how: str
) -> None:
    populate(sim.history, 5)
    link = sim.publish_snapshot()
    with _listening() as other:
        target = f"http://{_place(other)}/store/5_1746459961.zip"
        if how == "link":
            link = target
        elif how == "redirect of a redirect":
            sim.fail("snapshot", failures.redirect("/store/again"))
        sim.fail("snapshot", failures.redirect(target))
        with pytest.raises(SnapshotRefused, match=_place(other)):
            make_feed(token="s3cret").fetch_snapshot(Snapshot(link, 1005), None, nothing)
        assert _nobody_came(other)


def test_an_allowed_host_gets_requests_without_the_token(sim: FeedSimulator, make_feed: MakeFeed) -> None:
    populate(sim.history, 5)
    with FeedSimulator() as other:
        link = sim.publish_snapshot(host=other)
        place = urlsplit(other.origin).netloc
        make_feed(token="s3cret", allowed_hosts=[place]).fetch_snapshot(Snapshot(link, 1005), None, nothing)
        assert len(other.requests) == 1
        assert "s3cret" not in str(other.requests)


def _transport(clock: FakeClock) -> FeedTransport:
    return FeedTransport(BASE, None, None, PassLimits(clock))


def _ask(transport: FeedTransport, url: str, reach: Reach) -> bytes:
    with transport.follow(url, headers={}, accept=(200,), reach=reach) as reply:
        return b"".join(reply.chunks)


def test_a_name_that_leads_inside_is_refused_at_the_connection_before_a_byte_is_sent(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a name resolved to before: it is the connection itself that is looked at."""
    monkeypatch.setenv("NO_PROXY", "*")
    transport = _transport(clock)
    with _listening() as inside:
        place = _place(inside, "localhost")
        with pytest.raises(SnapshotRefused, match=r"localhost, whose address 127\.0\.0\.1 is not"):
            _ask(transport, f"http://{place}/x", Reach(BASE, [place]))
        connection, _ = inside.accept()
        with connection:
            assert connection.recv(1) == b""
    transport.close()


def test_a_proxy_inside_is_no_address_of_the_link(
    sim: FeedSimulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", sim.origin)
    sim.fail(lambda request: True, failures.body(b"through the proxy"))
    transport = _transport(clock)
    reach = Reach(BASE, ["files.example.com", "127.0.0.1"])
    assert _ask(transport, "http://files.example.com/x", reach) == b"through the proxy"
    with pytest.raises(SnapshotRefused, match="not a public one"):
        _ask(transport, "http://127.0.0.1/x", reach)
    transport.close()


def rename(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """As a later httpcore might: it promises no names of the steps that it tells."""
    really = httpcore._trace.Trace.trace

    def trace(self: httpcore._trace.Trace, name: str, info: dict[str, object]) -> None:
        really(self, name.replace(old, new), info)

    monkeypatch.setattr(httpcore._trace.Trace, "trace", trace)


def test_an_unchecked_connection_gets_no_byte(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a name could lead inside, unseen, once httpx is another version."""
    monkeypatch.setenv("NO_PROXY", "*")
    rename(monkeypatch, "connect_tcp", "dial")
    transport = _transport(clock)
    with _listening() as inside:
        place = _place(inside, "localhost")
        with pytest.raises(ConfigurationError, match="cannot check the address"):
            _ask(transport, f"http://{place}/x", Reach(BASE, [place]))
        connection, _ = inside.accept()
        with connection:
            assert connection.recv(1) == b""
    transport.close()


@pytest.mark.parametrize("used_before", [False, True], ids=["the first", "one that an API request left open"])
def test_an_answer_over_an_unchecked_connection_is_not_believed(
    sim: FeedSimulator, make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch, used_before: bool
) -> None:
    """Not even when no step at all has its name any more."""
    populate(sim.history, 5)
    link = sim.publish_snapshot()
    feed = make_feed()
    if used_before:
        feed.consumer_info()
    rename(monkeypatch, ".", "_")
    with pytest.raises(ConfigurationError, match="cannot check the address"):
        feed.fetch_snapshot(Snapshot(link, 1005), None, nothing)


def test_the_api_gets_no_request_over_a_connection_without_a_deadline(
    sim: FeedSimulator, make_feed: MakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is seen of a connection also says how long its server may drip."""
    rename(monkeypatch, "connect_tcp", "dial")
    with pytest.raises(ConfigurationError, match="cannot check the address"):
        make_feed().consumer_info()
    assert sim.requests == []


def test_a_person_may_lead_anywhere_but_from_https_to_http(sim: FeedSimulator, make_feed: MakeFeed) -> None:
    with FeedSimulator() as other:
        populate(other.history, 5)
        link = other.publish_snapshot()
        sim.fail("snapshot", failures.redirect(link))
        feed = make_feed(base_url=BASE, token="s3cret")
        file = feed.fetch_from(f"{sim.origin}/store/x.zip", nothing)
        assert sum(len(batch) for batch in file.records(1005)) == 5
        assert "s3cret" not in str(sim.requests + other.requests)


def test_a_person_gives_no_password_in_an_address(make_feed: MakeFeed) -> None:
    with _listening() as listener:
        with pytest.raises(UsageError, match="user name or password") as caught:
            make_feed().fetch_from(f"http://me:canary@{_place(listener)}/x", nothing)
        assert _nobody_came(listener)
    assert "canary" not in f"{caught.value.message}{caught.value.hint}"


def test_a_feed_whose_host_is_not_there_is_unreachable_as_ever(make_feed: MakeFeed) -> None:
    feed = make_feed(base_url="http://no.such.host.invalid", retry_budget=0.0)
    with pytest.raises(FeedUnreachable):
        feed.fetch_snapshot(Snapshot("http://no.such.host.invalid/5_1746459961.zip", 5), None, nothing)


@pytest.mark.parametrize("host", ['a"', "a$(id)", "a'b", "bücher.example", "a`b", "a;b"])
def test_a_host_that_a_settings_file_or_a_shell_would_read_otherwise_is_in_no_hint(host: str) -> None:
    with pytest.raises(SnapshotRefused, match="is not the feed's host") as caught:
        Reach("https://cti.example/api").check(f"https://{host}/1.zip")
    assert caught.value.hint == SnapshotRefused.usual_hint()
