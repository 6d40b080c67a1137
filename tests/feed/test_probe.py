"""What an examination tells of the feed: one look, whatever answers, and nothing but a look."""

from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme

from ctisync.core.health import CheckResult
from ctisync.core.limits import Limits
from ctisync.feed.http.budget import PassLimits
from tests.feed.conftest import MakeFeed
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_history import populate
from tests.support.feed_simulator import ABSENT, FeedSimulator, unused_port
from tests.support.http_proxy import tls_proxy


@pytest.fixture(autouse=True)
def _offered(sim: FeedSimulator) -> None:
    populate(sim.history, 20)
    sim.publish_snapshot()


def by_what(results: list[CheckResult]) -> dict[str, CheckResult]:
    assert len(results) == len({each.what for each in results})
    return {each.what: each for each in results}


def test_a_feed_that_is_well_gets_two_requests_and_no_snapshot_is_fetched(
    make_feed: MakeFeed, sim: FeedSimulator, clock: FakeClock, tmp_path: Path
) -> None:
    results, size = make_feed(pass_limits=PassLimits(AtTheFeeds())).diagnose()

    assert [(each.what, each.health) for each in results] == [
        ("feed", "ok"),
        ("clock", "ok"),
        ("snapshot", "ok"),
    ]
    (file,) = sim.files.values()
    assert size == len(file.body)
    assert [(request.kind, request.method) for request in sim.requests] == [
        ("info", "GET"),
        ("snapshot", "GET"),
    ]
    assert sim.requests[1].headers["range"] == "bytes=0-0"
    assert not (tmp_path / "spool").exists()


class AtTheFeeds(FakeClock):
    """The real time, as the simulator sends it."""

    def __init__(self) -> None:
        from ctisync.system.clock import SystemClock

        super().__init__()
        self.now = SystemClock().now  # type: ignore[method-assign]


@pytest.mark.parametrize(("apart", "health"), [(0, "ok"), (299, "ok"), (301, "warning"), (-301, "warning")])
def test_the_clocks_are_compared_by_the_date_that_the_server_sends(
    make_feed: MakeFeed, sim: FeedSimulator, clock: FakeClock, apart: int, health: str
) -> None:
    date = format_datetime(clock.now() + timedelta(seconds=apart), usegmt=True)
    sim.fail("info", failures.headers(Date=date))
    assert by_what(make_feed().diagnose()[0])["clock"].health == health


@pytest.mark.parametrize(
    "date",
    ["", "yesterday", "Thu, 99 Foo 2026 99:99:99 GMT", "Thu, 31 Dec 99999999999999999999 23:59:59 GMT"],
)
def test_a_date_that_is_none_is_no_reason_to_say_anything(
    make_feed: MakeFeed, sim: FeedSimulator, date: str
) -> None:
    sim.fail("info", failures.headers(Date=date))
    checks = by_what(make_feed().diagnose()[0])
    assert set(checks) == {"feed", "snapshot"}


HOSTILE: dict[str, tuple[failures.Failure, str, str]] = {
    "a page in HTML": (
        failures.html(),
        "is not JSON",
        "sign-in page",
    ),
    "401": (failures.status(401), "401", "cti.token"),
    "403": (failures.status(403), "403", "subscription"),
    "404": (failures.status(404), "404", "cti.url"),
    "429": (failures.status(429, {"Retry-After": "60"}), "429", "60 s"),
    "500": (failures.status(500), "500", "curl"),
    "hanging": (failures.stall(60), "does not answer in time", "curl"),
    "another document": (failures.body(b"[1]"), "", "nothing was changed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_answers_otherwise_has_failed_and_says_what_to_type_at_once(
    make_feed: MakeFeed, sim: FeedSimulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    failure, message, hint = HOSTILE[name]
    sim.fail("info", failure, times=None)
    monkeypatch.setattr("ctisync.feed.http.transport._READ", 0.3)
    (check,) = make_feed().diagnose()[0]

    assert (check.what, check.health) == ("feed", "failed")
    assert message in check.text
    assert hint in str(check.hint)
    assert "retry_budget" not in check.text
    assert (len(sim.requests), clock.slept) == (1, [])


def test_a_server_that_never_comes_to_an_end_is_left_in_time(make_feed: MakeFeed, sim: FeedSimulator) -> None:
    from ctisync.system.clock import SystemClock

    sim.fail("info", failures.stall(60))
    pass_limits = PassLimits(SystemClock(), Limits(pass_seconds=0.3))
    (check,) = make_feed(pass_limits=pass_limits).diagnose()[0]
    assert check.health == "failed"
    assert "pass_seconds" not in check.text


def test_nobody_there_has_failed(make_feed: MakeFeed) -> None:
    (check,) = make_feed(base_url=f"http://127.0.0.1:{unused_port()}/api/v1").diagnose()[0]
    assert check.health == "failed"
    assert "cannot be reached" in check.text


@pytest.mark.parametrize(
    ("arrange", "health", "text"),
    [
        (lambda sim: sim.info.update(last_snapshot_link=ABSENT), "warning", "offers no snapshot"),
        (lambda sim: sim.files.clear(), "failed", "404"),
        (lambda sim: sim.fail("snapshot", failures.status(503)), "failed", "503"),
        (
            lambda sim: sim.info.update(last_snapshot_link="http://169.254.1.1/1_1.zip"),
            "failed",
            "169.254.1.1",
        ),
    ],
)
def test_a_snapshot_that_cannot_be_had_is_reported_beside_a_feed_that_is_well(
    make_feed: MakeFeed, sim: FeedSimulator, arrange: Callable[[FeedSimulator], None], health: str, text: str
) -> None:
    sim.info["last_snapshot_offset"] = ABSENT if health == "warning" else sim.history.last_offset
    arrange(sim)
    results, size = make_feed().diagnose()

    checks = by_what(results)
    assert checks["feed"].health == "ok"
    assert checks["snapshot"].health == health
    assert text in checks["snapshot"].text
    assert size is None


def test_a_feed_without_a_last_offset_is_worth_a_warning(make_feed: MakeFeed, sim: FeedSimulator) -> None:
    sim.info["last_offset"] = None
    assert by_what(make_feed().diagnose()[0])["feed"].health == "warning"


def test_a_certificate_that_nobody_vouches_for_has_failed(make_feed: MakeFeed, sim: FeedSimulator) -> None:
    with tls_proxy(sim.origin, trustme.CA().issue_cert("localhost")) as proxy:
        (check,) = make_feed(base_url=f"https://localhost:{proxy.port}/api/v1").diagnose()[0]
    assert (check.health, "certificate" in check.text) == ("failed", True)
    assert "cti.ca_file" in str(check.hint)
    assert sim.requests == []
