"""Watches over some days, on each store: what is reported of new, changed, rejected and deleted records."""

from typing import Any

import pytest

from ctisync.core.conditions import Conditions
from ctisync.core.inventory import platform_of
from ctisync.core.steps import Policy
from ctisync.core.watches import Watch
from tests.support.feed_history import populate
from tests.support.world import World

WALL = Watch("our wall", Conditions(products=frozenset({"wall"})))
SEVERE = Watch("severe", Conditions(severities=frozenset({"critical"})))


def advisory(
    product: str = "wall", base: float = 7.5, word: str = "HIGH", **container: Any
) -> dict[str, Any]:
    version = {"version": "0", "lessThan": "1.2", "status": "affected"}
    return {
        "cveMetadata": {"state": "PUBLISHED"},
        "containers": {
            "cna": {
                "providerMetadata": {"shortName": "nvd"},
                "affected": [{"vendor": "acme", "product": product, "versions": [version]}],
                "metrics": [{"cvssV3_1": {"baseScore": base, "baseSeverity": word}}],
            }
        },
    }


@pytest.fixture
def current(world: World) -> World:
    """In step, with two watches that have begun."""
    populate(world.feed.history, 20)
    world.feed.history.create("CVE-1", advisory())
    world.feed.publish_snapshot()
    world.watches = [WALL, SEVERE]
    assert world.run() is None
    assert world.delivered == [], "a watch begins with the content that is there"
    begun = [(event["watch"], event["offset"]) for event in world.log.named("watch-begun")]
    assert begun == [("our wall", world.state.offset), ("severe", world.state.offset)]
    return world


def reported(world: World) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each call of the hook: the watch, and name and how of each record. Then the calls are forgotten."""
    calls = [
        (each["watch"], [(one["name"], one["how"]) for one in each["records"]]) for each in world.delivered
    ]
    world.delivered.clear()
    return calls


def replace(path: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": path, "value": value}]


CNA = "/containers/cna"


def test_each_watch_gets_what_is_new_for_it_and_then_how_it_changes(current: World) -> None:
    history = current.feed.history
    history.create("CVE-2", advisory())
    history.create("CVE-3", advisory("door", 9.8, "CRITICAL"))
    history.create("CVE-4", advisory("door"))
    assert current.run() is None
    assert reported(current) == [("our wall", [("CVE-2", "new")]), ("severe", [("CVE-3", "new")])]

    assert current.run() is None
    assert reported(current) == [], "an idle pass reports nothing"

    metric = {"cvssV3_1": {"baseScore": 9.1, "baseSeverity": "CRITICAL"}}
    history.update("CVE-2", replace(f"{CNA}/metrics/0", metric))
    history.update("CVE-3", replace(f"{CNA}/affected/0/versions/0/lessThan", "2.0"))
    history.update("CVE-1", replace(f"{CNA}/affected/0/product", "wall"))
    assert current.run() is None
    assert reported(current) == [
        ("our wall", [("CVE-2", "severity"), ("CVE-1", "new")]),
        ("severe", [("CVE-2", "new"), ("CVE-3", "fix")]),
    ]

    history.update("CVE-2", replace("/cveMetadata/state", "REJECTED"))
    history.update("CVE-1", replace(f"{CNA}/affected/0/product", "door"))
    history.delete("CVE-3")
    assert current.run() is None
    assert reported(current) == [
        ("our wall", [("CVE-2", "rejected"), ("CVE-1", "withdrawn")]),
        ("severe", [("CVE-3", "withdrawn"), ("CVE-2", "rejected")]),
    ]
    (matched, *_) = current.log.named("watch-matched")
    assert {key: matched[key] for key in ("watch", "name", "how")} == {
        "watch": "our wall",
        "name": "CVE-2",
        "how": "rejected",
    }


def test_a_reload_reports_only_what_lies_above_the_cursor(current: World) -> None:
    history = current.feed.history
    history.create("CVE-2", advisory())
    assert current.run() is None
    reported(current)
    history.create("CVE-3", advisory())
    history.delete("CVE-2")
    current.feed.publish_snapshot()

    assert current.run("init-snapshot") is None

    assert reported(current) == [("our wall", [("CVE-2", "withdrawn"), ("CVE-3", "new")])]


def test_an_older_snapshot_reports_nothing_again(current: World) -> None:
    history = current.feed.history
    history.create("CVE-2", advisory())
    assert current.run() is None
    reported(current)

    assert current.run("init-snapshot") is None
    assert current.state.offset < history.last_offset, "it is the snapshot of the begin"
    history.create("CVE-3", advisory())
    assert current.run() is None

    assert reported(current) == [("our wall", [("CVE-3", "new")])]


def test_a_feed_that_begins_anew_lowers_the_cursor_with_a_warning_and_then_reports_its_changes(
    current: World,
) -> None:
    current.feed.reset(first_offset=10)
    populate(current.feed.history, 5)
    current.feed.publish_snapshot()
    current.policy = Policy(on_feed_reset="init")

    assert current.run() is None

    offset = current.feed.history.last_offset
    assert [event["offset"] for event in current.log.named("watch-lowered")] == [offset, offset]
    assert {cursor.offset for cursor in current.state.watches} == {offset}
    current.feed.history.create("CVE-9", advisory())
    assert current.run() is None
    assert reported(current)[-1] == ("our wall", [("CVE-9", "new")])


def test_a_watch_of_a_platform_reads_the_platforms_source(current: World) -> None:
    history = current.feed.history
    for name, code_name in ("CVE-5", "bookworm"), ("CVE-6", "trixie"):
        debian = {
            "providerMetadata": {"x_subShortName": "debian"},
            "affected": [{"vendor": "debian", "product": "wall", "platforms": [code_name]}],
        }
        history.create(name, {"containers": {"adp": [debian]}})
    platform = platform_of("debian:12")
    current.watches = [Watch("bookworm", Conditions(products=frozenset({"wall"}), platform=platform))]
    assert current.run() is None

    assert reported(current) == [("bookworm", [("CVE-5", "new")])]
