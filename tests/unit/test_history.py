"""The log of what passes have touched: in order, with what is not told, and nothing about others."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ctisync.core.account import MOST_TOUCHED, Account, Accounting, Touched
from ctisync.core.history import Entry, entries

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def account(number: int, start: int | None, end: int | None, *touched: Touched, **more: Any) -> Account:
    return Account(
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


def told(accounts: list[Account], resource: str | None = None) -> list[tuple[int, str, str]]:
    return [(each.offset, each.how, each.resource) for each in entries(reversed(accounts), resource)]


LOADED = account(1, 0, 5, Touched(4, "loaded", ""), Touched(5, "updated", "A"))
LATER = account(2, 5, 7, Touched(6, "created", "B"), Touched(7, "deleted", "A"))


def test_the_newest_comes_first_within_a_pass_and_between_passes() -> None:
    assert told([LOADED, LATER]) == [
        (7, "deleted", "A"),
        (6, "created", "B"),
        (5, "updated", "A"),
        (4, "loaded", ""),
    ]


def test_a_snapshot_may_be_about_every_record() -> None:
    assert told([LOADED, LATER], "B") == [(6, "created", "B"), (4, "loaded", "")]


def test_an_entry_says_when_and_by_which_pass() -> None:
    newest = next(entries([LATER]))
    assert newest == Entry(BEGAN + timedelta(hours=2, minutes=1), 7, "deleted", "A", "p2")


def test_what_a_pass_did_that_left_no_line_is_a_gap_and_not_silence() -> None:
    """A pass that is killed has advanced the offset and told nobody."""
    after_a_kill = account(4, 9, 9)
    assert told([LATER, after_a_kill], "A") == [(9, "untold", ""), (7, "deleted", "A")]
    (gap, *_) = entries([after_a_kill, LATER])
    assert (gap.from_offset, gap.offset, gap.pass_id) == (7, 9, None)


def test_a_pass_that_never_looked_at_the_store_leaves_no_gap() -> None:
    assert told([LATER, account(3, None, None), account(4, 7, 7)]) == told([LATER])
    assert told([LATER, account(3, None, None), account(4, 9, 9)])[0] == (9, "untold", ""), "nor hides one"


def test_of_more_than_can_be_kept_the_last_ones_stay_and_the_rest_is_owned_up_to() -> None:
    accounting = Accounting()
    accounting.event("pass-begun", {"offset": 0})
    for offset in range(1, MOST_TOUCHED + 4):
        accounting.event("record-changed", {"offset": offset, "how": "created", "resource": f"R{offset}"})
    accounting.event("pass-ended", {"outcome": "up-to-date", "why": ""})
    made = accounting.account(
        None,
        pass_id="p",
        command="sync",
        consumer="a/b",
        index="i",
        began_at=BEGAN,
        seconds=1.0,
    )
    assert (made.untold, len(made.touched), made.touched[0].offset) == (3, MOST_TOUCHED, 4)
    oldest = list(entries([made]))[-1]
    assert (oldest.how, oldest.from_offset, oldest.offset) == ("untold", 0, 4)


def test_what_has_become_of_each_record_is_told_by_name() -> None:
    accounting = Accounting()
    accounting.event("initialised", {"offset": 3, "records": 40})
    accounting.event("record-changed", {"offset": 4, "how": "deleted", "resource": "A"})
    accounting.event("pass-ended", {"outcome": "up-to-date", "why": ""})
    made = accounting.account(
        None, pass_id="p", command="sync", consumer="a/b", index="i", began_at=BEGAN, seconds=1.0
    )
    assert made.touched == (Touched(3, "loaded", ""), Touched(4, "deleted", "A"))


def test_a_pass_with_nothing_but_untold_records_says_up_to_where() -> None:
    found = list(entries([account(1, 3, 9, untold=7)]))
    assert [(each.how, each.resource, each.from_offset, each.offset) for each in found] == [
        ("untold", "", 3, 9)
    ]


def test_a_pass_whose_beginning_is_not_known_leaves_no_gap() -> None:
    assert told([account(1, 0, 7), account(2, None, 9)]) == []
