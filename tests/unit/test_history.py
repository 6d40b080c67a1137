"""The log of what passes have touched: in order, with what is not told, and nothing about others."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ctisync.core.fold import Folded
from ctisync.core.model import Consumer, Delete, Write
from ctisync.core.pass_report import MOST_TOUCHED, Draft, LogEntry, PassReport, Touched, log_entries
from ctisync.core.state import ConsumerState
from ctisync.core.steps import End
from tests.support.records import record

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def report(number: int, start: int | None, end: int | None, *touched: Touched, **more: Any) -> PassReport:
    return PassReport(
        pass_id=f"p{number}",
        command="sync",
        consumer="vd_1.0.0/vd_4.8.0",
        index="wazuh-cve",
        began_at=BEGAN + timedelta(hours=number),
        seconds=60,
        exit_code=0,
        outcome="up-to-date",
        why="",
        from_offset=start,
        offset=end,
        touched=touched,
        **more,
    )


def log(reports: list[PassReport], resource: str | None = None) -> list[tuple[int, str, str]]:
    return [(each.offset, each.how, each.resource) for each in log_entries(reversed(reports), resource)]


def begun() -> Draft:
    """Of a pass that began at offset 0, and comes to a good end."""
    draft = Draft(Consumer(), "sync", pass_id="p", began_at=BEGAN, began=0.0)
    draft.set_state(ConsumerState(), commands=True)
    draft.end = End("up-to-date", "")
    return draft


LOADED = report(1, 0, 5, Touched(4, "loaded", ""), Touched(5, "updated", "A"))
LATER = report(2, 5, 7, Touched(6, "created", "B"), Touched(7, "deleted", "A"))


def test_the_newest_comes_first_within_a_pass_and_between_passes() -> None:
    assert log([LOADED, LATER]) == [
        (7, "deleted", "A"),
        (6, "created", "B"),
        (5, "updated", "A"),
        (4, "loaded", ""),
    ]


def test_a_snapshot_may_be_about_every_record() -> None:
    assert log([LOADED, LATER], "B") == [(6, "created", "B"), (4, "loaded", "")]


def test_an_entry_says_when_and_by_which_pass() -> None:
    newest = next(log_entries([LATER]))
    assert newest == LogEntry(BEGAN + timedelta(hours=2, minutes=1), 7, "deleted", "A", "p2")


def test_what_a_pass_did_that_left_no_line_is_a_gap_and_not_silence() -> None:
    """A pass that is killed has advanced the offset and told nobody."""
    after_a_kill = report(4, 9, 9)
    assert log([LATER, after_a_kill], "A") == [(9, "untold", ""), (7, "deleted", "A")]
    (gap, *_) = log_entries([after_a_kill, LATER])
    assert (gap.from_offset, gap.offset, gap.pass_id) == (7, 9, None)


def test_a_pass_that_never_read_the_store_leaves_no_gap() -> None:
    assert log([LATER, report(3, None, None), report(4, 7, 7)]) == log([LATER])
    assert log([LATER, report(3, None, None), report(4, 9, 9)])[0] == (9, "untold", ""), "nor hides one"


def test_of_more_than_can_be_kept_the_last_ones_stay_and_the_rest_is_owned_up_to() -> None:
    draft = begun()
    writes: list[Write] = [record(f"R{offset}", offset) for offset in range(1, MOST_TOUCHED + 4)]
    draft.add_range(MOST_TOUCHED + 3, Folded(writes, 0))
    made = draft.ended(None, now=1.0).report
    assert (made.unlisted, len(made.touched), made.touched[0].offset) == (3, MOST_TOUCHED, 4)
    oldest = list(log_entries([made]))[-1]
    assert (oldest.how, oldest.from_offset, oldest.offset) == ("untold", 0, 4)


def test_what_has_become_of_each_record_is_listed_by_name() -> None:
    draft = begun()
    draft.add_load(3, 40)
    draft.add_range(1, Folded([Delete("A", 4)], 0))
    made = draft.ended(None, now=1.0).report
    assert made.touched == (Touched(3, "loaded", ""), Touched(4, "deleted", "A"))


def test_a_pass_with_nothing_but_unlisted_records_says_up_to_where() -> None:
    written = list(log_entries([report(1, 3, 9, unlisted=7)]))
    assert [(each.how, each.resource, each.from_offset, each.offset) for each in written] == [
        ("untold", "", 3, 9)
    ]


def test_a_pass_without_a_first_offset_leaves_no_gap() -> None:
    assert log([report(1, 0, 7), report(2, None, 9)]) == []
