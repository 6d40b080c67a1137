"""Watches: what is reported of the records above a cursor, and how it is called."""

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from ctisync.core import watches
from ctisync.core.conditions import Conditions
from ctisync.core.facts import Facts, facts_of_record
from ctisync.core.inventory import platform_of
from ctisync.core.scanner import Scanner
from ctisync.core.state import ConsumerState, WatchCursor
from ctisync.core.watches import Collector, Due, Watch, begin, for_hook, moved
from tests.support.advisories import advisory
from tests.support.records import record
from tests.support.scanner_tables import PAYLOADS

CONSUMER = "vd_1.0.0/vd_4.8.0"
WATCH = Watch("our edge", Conditions(products=frozenset({"wall"})))
NOW = datetime(2026, 11, 24, tzinfo=UTC)
READY = ConsumerState(offset=100, last_offset=100, content=True)


def version(bound: str) -> dict[str, str]:
    return {"version": "0", "lessThan": bound, "status": "affected"}


def facts(offset: int = 101, name: str = "CVE-1", **changed: Any) -> Facts:
    about: dict[str, Any] = {"product": "wall", "bound": "1.2", "base": 7.5, "tags": [], "state": "PUBLISHED"}
    about |= changed
    affected = [{"vendor": "acme", "product": about["product"], "versions": [version(about["bound"])]}]
    score = {"baseScore": about["base"], "baseSeverity": "HIGH"}
    payload = {
        "cveMetadata": {"state": about["state"]},
        "containers": {
            "cna": {
                "providerMetadata": {"shortName": "nvd"},
                "affected": [*affected, *filter(None, [about.get("also")])],
                "metrics": [] if about["base"] is None else [{"cvssV3_1": score}],
                "references": [{"url": "https://a.example", "tags": about["tags"]}],
            }
        },
    }
    return facts_of_record(record(name, offset, payload))


def due(
    records: Iterable[Facts], cursor: WatchCursor | None = None, to: int = 1000, missing: Iterable[str] = ()
) -> Due:
    collector = Collector(WATCH, CONSUMER, cursor or WatchCursor("our edge", 100), to)
    for each in records:
        collector.add(each)
    collector.add_missing(missing)
    return collector.due()


def how(*records: Facts, cursor: WatchCursor | None = None, missing: Iterable[str] = ()) -> list[str]:
    return [notice.how for notice in due(records, cursor, missing=missing).notices]


def test_what_matches_above_the_cursor_and_up_to_the_content_is_new() -> None:
    records = [
        facts(100, "a"),
        facts(101, "b"),
        facts(200, "c"),
        facts(201, "d"),
        facts(150, "e", product="x"),
    ]

    notices = due(records, to=200).notices

    assert [(each.name, each.offset, each.how) for each in notices] == [("b", 101, "new"), ("c", 200, "new")]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "changed"),
        ({"base": 9.8}, "severity"),
        ({"tags": ["Exploit"]}, "exploit"),
        ({"tags": ["exploit"], "base": 9.8, "bound": "1.3"}, "exploit"),
        ({"bound": "1.3"}, "fix"),
        ({"state": "REJECTED"}, "rejected"),
        ({"state": "REJECTED", "product": "door"}, "rejected"),
        ({"product": "door"}, "withdrawn"),
        ({"also": {"vendor": "acme", "product": "door"}}, "changed"),
        ({"base": None}, "severity"),
    ],
)
def test_a_notice_says_what_has_changed_since_the_last_one(changed: dict[str, Any], expected: str) -> None:
    cursor = due([facts(101)]).cursor

    assert how(facts(201, **changed), cursor=WatchCursor(WATCH.name, 200, cursor.ledger)) == [expected]


def test_a_reported_record_that_is_gone_is_withdrawn_once() -> None:
    first = due([facts(101)])
    second = due([], first.cursor, missing=["CVE-1"])
    third = due([facts(1500)], second.cursor, to=2000)

    notices = [*first.notices, *second.notices, *third.notices]
    assert [each.how for each in notices] == ["new", "withdrawn", "new"]
    assert all(json.loads(each.document)["sure"] for each in notices)
    assert len({each.id for each in notices}) == 3


def test_a_rejected_record_that_no_longer_matches_is_withdrawn_and_not_rejected_again() -> None:
    first = due([facts(101, state="REJECTED")])
    second = due([facts(1500, state="REJECTED", product="door")], first.cursor, to=2000)

    assert [each.how for each in (*first.notices, *second.notices)] == ["new", "withdrawn"]
    assert json.loads(second.notices[0].document)["sure"]


def test_a_notice_has_the_same_id_at_each_attempt_and_another_for_another_watch_record_or_offset() -> None:
    cursor = WatchCursor(WATCH.name, 100)
    attempt, again = due([facts(101)], cursor).notices, due([facts(101), facts(102, "b")], cursor).notices
    ids = [each.id for each in (*again, *due([facts(103), facts(101, "c")]).notices)]
    for watch, consumer in (Watch("other", WATCH.conditions), CONSUMER), (WATCH, "rules/rules_1.0.0"):
        collector = Collector(watch, consumer, WatchCursor(watch.name, 100), 1000)
        collector.add(facts(101))
        ids += [each.id for each in collector.due().notices]

    assert attempt[0].id == again[0].id
    assert len(set(ids)) == len(ids) == 6


def test_a_version_that_cannot_be_compared_is_reported_and_marked() -> None:
    watch = Watch("v", Conditions(products=frozenset({"wall"}), version="1.0"))
    collector = Collector(watch, CONSUMER, WatchCursor("v", 100), 1000)

    collector.add(facts(101, bound="?!"))
    collector.add(facts(102, "CVE-2", bound="0.5"))

    (notice,) = collector.due().notices
    assert (notice.name, json.loads(notice.document)["sure"]) == ("CVE-1", False)


def test_the_document_for_the_hook_is_one_line_of_json_that_nothing_in_a_record_can_break() -> None:
    odd = facts(101, product="wall", bound='\u202e"]}\n\x1b[2J')
    notices = due([odd]).notices

    text = for_hook('a "watch"', CONSUMER, notices)

    assert text.count(b"\n") == 1
    assert text.isascii()
    document = json.loads(text)
    assert (document["watch"], document["consumer"]) == ('a "watch"', CONSUMER)
    (item,) = document["records"]
    assert item["id"] == notices[0].id
    assert (
        item.items()
        >= {"name": "CVE-1", "offset": 101, "how": "new", "severity": "high", "score": 7.5}.items()
    )


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 50])
def test_however_many_match_each_is_reported_once_by_rising_offset(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "MOST_AT_ONCE", at_once)
    chance = random.Random(23)
    records = [facts(chance.randint(101, 120), f"CVE-{number}") for number in range(40)]
    cursor, reported = WatchCursor(WATCH.name, 100), []
    for _ in range(100):
        notices, cursor = due(records, cursor, to=200)
        reported += [(each.offset, each.name) for each in notices]
        assert len(notices) <= at_once or notices[at_once - 1].offset == notices[-1].offset
        if cursor.offset == 200:
            break
        assert notices

    assert reported == sorted((each.offset, each.name) for each in records)


def test_more_reported_records_than_the_ledger_holds_forget_those_with_the_lowest_offsets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watches, "MOST_NAMES", 2)
    cursor = due([facts(101, "a"), facts(103, "b"), facts(102, "c")]).cursor

    later = WatchCursor(cursor.watch, 103, cursor.ledger)

    assert how(facts(201, "a"), facts(202, "b"), facts(203, "c"), cursor=later) == [
        "new",
        "changed",
        "changed",
    ]


def test_a_ledger_that_cannot_be_read_counts_as_empty() -> None:
    for ledger in (b"x", b"x" * 100, due([facts(101)]).cursor.ledger[:-9]):
        assert how(facts(101), cursor=WatchCursor(WATCH.name, 100, ledger)) == ["new"]


def test_whatever_a_record_looks_like_it_can_be_reported() -> None:
    chance = random.Random(7)
    every = Watch("every", Conditions())
    collector = Collector(every, CONSUMER, WatchCursor("every", 0), 10_000)
    for offset in range(1, 500):
        collector.add(facts_of_record(advisory(chance, f"CVE-{offset}", offset)))

    notices, cursor = collector.due()

    assert len(notices) == 499
    again = Collector(every, CONSUMER, WatchCursor("every", 0, cursor.ledger), 10_000)
    chance = random.Random(7)
    for offset in range(1, 500):
        again.add(facts_of_record(advisory(chance, f"CVE-{offset}", offset)))
    assert {each.how for each in again.due().notices} == {"changed"}, "nothing differs but the offset"


def test_a_new_watch_begins_at_the_content_and_one_without_content_waits() -> None:
    assert begin(READY, [WATCH]).watches == (WatchCursor("our edge", 100),)
    assert begin(ConsumerState(), [WATCH]).watches == ()
    assert begin(ConsumerState(content=True), [WATCH]).watches == (), "its content is about to be replaced"
    assert begin(ConsumerState(offset=100), [WATCH]).watches == (), "its content is gone"
    both = begin(ConsumerState(offset=1, content=True), [WATCH, Watch("a", WATCH.conditions)])
    assert [cursor.watch for cursor in both.watches] == ["a", "our edge"]


def test_a_watch_of_a_platform_keeps_its_name_and_gets_the_source_of_the_platform() -> None:
    platform = platform_of("debian:12")
    watch = Watch("w", Conditions(platform=platform)).on_platform(Scanner(PAYLOADS))

    assert (watch.name, watch.conditions.platform, watch.conditions.source) == ("w", platform, "debian")


def test_a_watch_that_the_settings_no_longer_have_is_dropped() -> None:
    state = ConsumerState(
        offset=100, content=True, watches=(WatchCursor("old", 50), WatchCursor("our edge", 60))
    )

    assert begin(state, [WATCH]).watches == (WatchCursor("our edge", 60),)


def test_only_a_feed_that_went_back_lowers_a_cursor() -> None:
    def offset(**changed: int) -> int:
        values = {"offset": 100, "last_offset": 100, "cursor": 100} | changed
        cursors = (WatchCursor("our edge", values["cursor"]),)
        state = ConsumerState(
            offset=values["offset"], last_offset=values["last_offset"], content=True, watches=cursors
        )
        return begin(state, [WATCH]).watches[0].offset

    assert offset() == 100
    assert offset(offset=50) == 100, "loaded from an older snapshot: the changes up to 100 were reported"
    assert offset(offset=80, last_offset=80) == 80, "the same, in step"
    assert offset(offset=90, last_offset=80) == 100, "the feed went back below an older snapshot"
    assert offset(last_offset=80) == 100, "the feed went back, and the content has not followed"
    assert offset(offset=70, last_offset=80) == 70, "another history: offsets above 70 are new"


def test_a_moved_cursor_replaces_its_own_alone() -> None:
    state = ConsumerState(watches=(WatchCursor("a", 1), WatchCursor("b", 2)))

    assert moved(state, WatchCursor("b", 9, b"x")).watches == (WatchCursor("a", 1), WatchCursor("b", 9, b"x"))
