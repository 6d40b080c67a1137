"""A consumer that is not public: addresses are signed in exchange for the token, which goes nowhere else."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from ctisync.core.model import OffsetRange, Snapshot
from ctisync.errors import AccessRefused, ConfigurationError, FeedRefused, FeedUnreachable
from ctisync.feed.client import CtiFeed
from tests.feed.conftest import MakeFeed
from tests.feed.downloads import ALWAYS, nothing, served
from tests.feed.private import TOKEN, refusing, replies_of
from tests.support import feed_failures as failures
from tests.support.feed_exchange import EXCHANGE
from tests.support.feed_failures import Failure
from tests.support.feed_history import populate
from tests.support.feed_server import Kind, Request
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog


@pytest.fixture
def console() -> Iterator[FeedSimulator]:
    """Another server, at which the token is exchanged: it hands on to nobody."""
    with FeedSimulator() as simulator:
        yield simulator


def test_information_changes_and_snapshot_come_by_signed_links(
    private: FeedSimulator, signing: CtiFeed
) -> None:
    info = signing.consumer_info()
    assert info.last_offset == private.history.last_offset
    assert info.snapshot is not None
    first = [("info", 401), ("exchange", 200), ("info", 200)]
    assert replies_of(private) == first, "whether it is public is asked"
    file = signing.fetch_snapshot(info.snapshot, None, nothing)
    assert file.path.read_bytes() == served(private).body
    assert "verify" not in info.snapshot.link
    changes = signing.changes(OffsetRange(info.snapshot.offset, private.history.last_offset))
    assert len(changes) >= 50
    rest = [("exchange", 200), ("snapshot", 200), ("exchange", 200), ("changes", 200)]
    assert replies_of(private) == first + rest


def test_the_form_is_that_of_a_token_exchange(private: FeedSimulator, signing: CtiFeed) -> None:
    signing.consumer_info()
    (exchange,) = private.requests_for("exchange")
    assert exchange.method == "POST"
    assert exchange.headers["content-type"] == "application/x-www-form-urlencoded"
    assert exchange.headers["authorization"] == f"Bearer {TOKEN}"
    assert exchange.headers["user-agent"].startswith("ctisync/")
    assert exchange.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": TOKEN,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "requested_token_type": "urn:wazuh:params:oauth:token-type:signed_url",
        "resource": private.url + private.consumer_path.removeprefix("/api/v1"),
    }
    assert all("authorization" not in each.headers for each in private.requests if each.kind != "exchange")


def test_a_public_consumer_costs_no_exchange(sim: FeedSimulator, make_feed: MakeFeed) -> None:
    populate(sim.history, 20)
    sim.publish_snapshot()
    sim.info["is_public"] = True
    feed = make_feed(token=TOKEN, token_exchange_url=sim.exchange_url)
    info = feed.consumer_info()
    assert info.snapshot is not None
    feed.fetch_snapshot(info.snapshot, None, nothing)
    feed.changes(OffsetRange(1000, sim.history.last_offset))
    assert [request.kind for request in sim.requests] == ["info", "snapshot", "changes"]
    assert all("authorization" not in each.headers for each in sim.requests)


def test_public_information_says_that_the_rest_is_to_be_signed(
    private: FeedSimulator, signing: CtiFeed
) -> None:
    private.info["is_public"] = False
    private.exchanged_token = None
    signing.consumer_info()
    private.exchanged_token = TOKEN
    signing.changes(OffsetRange(1000, 1100))
    assert replies_of(private) == [("info", 200), ("exchange", 200), ("changes", 200)]


def test_a_consumer_that_is_hidden_from_strangers_is_tried_signed_once(
    private: FeedSimulator, signing: CtiFeed
) -> None:
    private.fail("info", failures.refusal(404, "Not Found"))
    info = signing.consumer_info()
    assert info.last_offset == private.history.last_offset
    assert replies_of(private) == [("info", 404), ("exchange", 200), ("info", 200)]


def test_what_is_not_there_with_a_signature_either_is_not_requested_again(
    private: FeedSimulator, signing: CtiFeed
) -> None:
    private.fail("info", failures.refusal(404, "Not Found"), times=None)
    with pytest.raises(AccessRefused, match="answers 404") as caught:
        signing.consumer_info()
    assert "verify" not in caught.value.message
    assert replies_of(private) == [("info", 404), ("exchange", 200), ("info", 404)]


@pytest.mark.parametrize("kind", ["changes", "snapshot"])
def test_what_a_public_consumer_lacks_is_not_signed(
    sim: FeedSimulator, make_feed: MakeFeed, kind: Kind
) -> None:
    populate(sim.history, 20)
    sim.publish_snapshot()
    sim.info["is_public"] = True
    feed = make_feed(token=TOKEN, token_exchange_url=sim.exchange_url)
    info = feed.consumer_info()
    snapshot = info.snapshot
    assert snapshot is not None
    requests: dict[str, Callable[[], object]] = {
        "changes": lambda: feed.changes(OffsetRange(1000, 1005)),
        "snapshot": lambda: feed.fetch_snapshot(snapshot, None, nothing),
    }
    sim.fail(kind, failures.refusal(404, "Not Found"))
    with pytest.raises(AccessRefused, match="404"):
        requests[kind]()
    assert not sim.requests_for("exchange")


def test_without_an_exchange_a_private_consumer_is_refused_as_ever(
    private: FeedSimulator, make_feed: MakeFeed
) -> None:
    with pytest.raises(AccessRefused, match="401"):
        make_feed(token=TOKEN).consumer_info()


def test_each_request_has_a_link_of_its_own_so_that_none_expires_between_two(
    private: FeedSimulator, signing: CtiFeed, log: KeptLog
) -> None:
    """The rest of a range that was cut, and a try after a failure."""
    signing.consumer_info()
    private.fail("changes", failures.only_first(10))
    private.fail("changes", expiring(private, failures.status(503)))
    offsets = OffsetRange(1000, 1300)
    assert [each.offset for each in signing.changes(offsets)] == list(range(1001, 1301))
    assert replies_of(private)[3:] == [
        ("exchange", 200),
        ("changes", 200),
        ("exchange", 200),
        ("changes", 503),
        ("exchange", 200),
        ("changes", 200),
    ]
    assert len(log.named("retry")) == 1, "what has expired is no failure of the feed"


def expiring(sim: FeedSimulator, then: Failure) -> Failure:
    def worse(reply: failures.Reply) -> failures.Reply:
        sim.expire_links()
        return then(reply)

    return worse


@pytest.mark.parametrize("while_it_comes", [True, False])
def test_a_link_that_expires_in_the_middle_of_a_download_is_signed_again(
    private: FeedSimulator, signing: CtiFeed, while_it_comes: bool
) -> None:
    snapshot = signing.consumer_info().snapshot
    assert snapshot is not None
    private.fail("snapshot", expiring(private, failures.cut_off(0.3)))
    private.fail("snapshot", expiring(private, failures.cut_off(0.5)))
    get = signing.open_snapshot if while_it_comes else signing.fetch_snapshot
    with closing(get(snapshot, None, nothing)) as file:
        count = sum(len(batch) for batch in file.records(private.history.last_offset))
    assert count == 300
    assert file.path.read_bytes() == served(private).body
    statuses = [status for kind, status in replies_of(private) if kind == "snapshot"]
    assert statuses.count(206) == 2
    assert statuses.count(403) == 0


def test_a_pass_goes_on_with_the_part_of_an_earlier_one_by_a_new_link(
    private: FeedSimulator, make_feed: MakeFeed
) -> None:
    def feed(**how: Any) -> CtiFeed:
        return make_feed(token=TOKEN, token_exchange_url=private.exchange_url, **how)

    earlier = feed(retry_budget=0.0)
    snapshot = earlier.consumer_info().snapshot
    assert snapshot is not None
    private.fail("snapshot", failures.cut_off(0.5))
    with pytest.raises(FeedUnreachable):
        earlier.fetch_snapshot(snapshot, None, nothing)
    private.expire_links()
    later = feed()
    later.consumer_info()
    assert later.fetch_snapshot(snapshot, None, nothing).path.read_bytes() == served(private).body
    assert private.requests[-1].status == 206


def test_an_exchange_that_is_refused_leaves_the_part_where_it_is(
    private: FeedSimulator, make_feed: MakeFeed, tmp_path: Any
) -> None:
    feed = make_feed(token=TOKEN, token_exchange_url=private.exchange_url)
    snapshot = feed.consumer_info().snapshot
    assert snapshot is not None
    private.fail("snapshot", expiring(private, failures.cut_off(0.5)))
    private.fail("exchange", lambda reply: reply)
    private.fail("exchange", refusing(400, "invalid_request"))
    with pytest.raises(ConfigurationError, match="invalid_request"):
        feed.fetch_snapshot(snapshot, None, nothing)
    (part,) = (tmp_path / "spool").glob("[!.]*.part")
    assert part.stat().st_size == len(served(private).body) // 2


def test_a_new_link_that_is_refused_is_an_error_and_no_loop(private: FeedSimulator, signing: CtiFeed) -> None:
    body = b'{"error":"access_denied","error_description":"verify=1767225600-00 is not known"}'
    private.fail(
        "info", lambda _: failures.Reply(403, body, {"Content-Type": "application/json"}), times=ALWAYS
    )
    with pytest.raises(AccessRefused, match="403") as caught:
        signing.consumer_info()
    assert [kind for kind, _ in replies_of(private)] == ["info", "exchange", "info"]
    assert "verify" not in caught.value.message, "the server may repeat the link"
    assert "clock" in str(caught.value.hint)


@pytest.mark.parametrize("status", [401, 403])
def test_a_consumer_that_refuses_the_token_in_a_header_leads_to_the_exchange(
    private: FeedSimulator, make_feed: MakeFeed, status: int
) -> None:
    """Another token in cti.token would be refused, too."""
    private.fail("info", failures.status(status))
    with pytest.raises(AccessRefused) as caught:
        make_feed(token=TOKEN).consumer_info()
    assert "cti.token_exchange_url" in str(caught.value.hint)


def test_the_token_goes_to_the_exchange_alone(
    console: FeedSimulator, sim: FeedSimulator, make_feed: MakeFeed
) -> None:
    """The console that exchanges it is another server than the feed."""
    console.exchanged_token = sim.exchanged_token = TOKEN
    feed = make_feed(token=TOKEN, token_exchange_url=console.origin + EXCHANGE)

    def signed(reply: failures.Reply) -> failures.Reply:
        address = console_url()
        sim.signed["1-1"] = address.removeprefix(sim.origin)
        link = f"{address}?verify=1-1"
        return failures.body(json.dumps({"access_token": link, "expires_in": 300}).encode())(reply)

    def console_url() -> str:
        return str(forms[-1]["resource"])

    forms: list[dict[str, str]] = []

    def is_kept(request: Request) -> bool:
        forms.append(request.form)
        return True

    console.fail(is_kept, signed, times=ALWAYS)
    assert feed.consumer_info().last_offset == 1000
    assert TOKEN not in repr(sim.requests)
    assert TOKEN in repr(console.requests)


def test_an_address_that_a_person_gives_is_signed_only_on_the_feeds_own_server(
    console: FeedSimulator, private: FeedSimulator, make_feed: MakeFeed
) -> None:
    feed = make_feed(token=TOKEN, token_exchange_url=private.exchange_url)
    feed.consumer_info()
    (path,) = private.files
    assert feed.fetch_from(private.origin + path, nothing).path.read_bytes() == served(private).body
    exchanged = len(private.requests_for("exchange"))
    feed.fetch_from(private.publish_snapshot(host=console), nothing)
    assert len(private.requests_for("exchange")) == exchanged
    assert "verify" not in console.requests[-1].query


def test_a_link_of_the_feed_to_a_host_that_is_not_allowed_is_not_signed(
    console: FeedSimulator, private: FeedSimulator, signing: CtiFeed
) -> None:
    signing.consumer_info()
    before = len(private.requests)
    with pytest.raises(FeedRefused, match="not the feed's host"):
        signing.fetch_snapshot(Snapshot(private.publish_snapshot(host=console), 1005), None, nothing)
    assert len(private.requests) == before


def test_the_doctor_gets_in_as_a_pass_does(private: FeedSimulator, signing: CtiFeed) -> None:
    results, size = signing.diagnose()
    assert [each.what for each in results if each.health == "ok"] == ["feed", "snapshot"]
    assert size == len(served(private).body)


def test_no_signed_link_is_in_a_log_or_a_file(
    private: FeedSimulator, signing: CtiFeed, log: KeptLog, tmp_path: Any
) -> None:
    snapshot = signing.consumer_info().snapshot
    assert snapshot is not None
    private.fail("snapshot", failures.cut_off(0.5))
    private.fail("changes", failures.status(500))
    signing.changes(OffsetRange(1000, 1100))
    signing.fetch_snapshot(snapshot, None, nothing)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "spool").iterdir())
    for text in (repr(log.__dict__).encode(), kept):
        assert b"1767225600-0" not in text
        assert TOKEN.encode() not in text
