"""One alert per incident: none is lost, and a trouble that stays is not alerted after each pass."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ctisync.core.incidents import Incident, Incidents, News, after, merged, news
from ctisync.core.pass_report import PassReport
from tests.unit.test_pass_report import GOOD, but

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)


def error(code: int = 5, since: datetime = NOW, alerted_at: datetime = NOW) -> Incident:
    return Incident("error", code, "why", since, alerted_at)


class Life:
    """The incidents after some passes; `news` of the last one."""

    def __init__(self) -> None:
        self.stored: Incidents = ()
        self.news = News((), ())

    def passed(self, at: datetime, *, again_after: timedelta = DAY, **report: Any) -> list[tuple[str, int]]:
        """The reason and the exit code of each alert."""
        one = but(began_at=at, seconds=0.0, **{"checked_at": at, **report})
        met, ended = one.incidents()
        self.news = news(self.stored, met, ended, again_after, at)
        self.stored = after(self.stored, self.news)
        return [(each.reason, each.exit_code) for each in self.news.alerts]


def test_an_incident_is_alerted_at_its_first_pass_again_after_a_day_and_over_once() -> None:
    life = Life()
    assert life.passed(NOW, exit_code=5) == [("error", 5)]
    for hour in range(1, 24):
        assert life.passed(NOW + hour * HOUR, exit_code=5) == []
    assert life.passed(NOW + DAY, exit_code=5) == [("error", 5)]
    assert life.passed(NOW + DAY + HOUR, exit_code=5) == []
    assert life.passed(NOW + DAY + 2 * HOUR) == []
    (over,) = life.news.over
    assert (over.since, over.alerted_at, over.exit_code) == (NOW, NOW + DAY, 5)
    assert life.passed(NOW + DAY + 3 * HOUR) == []
    assert life.news.over == life.stored == ()


def test_another_exit_code_is_another_incident_and_two_in_turn_are_no_storm() -> None:
    life = Life()
    alerted = [life.passed(NOW + hour * HOUR, exit_code=5 + hour % 2 * 2) for hour in range(10)]
    assert alerted == [[("error", 5)], [("error", 7)], *[[]] * 8]
    life.passed(NOW + 10 * HOUR)
    assert [each.exit_code for each in life.news.over] == [5, 7]


def test_a_content_that_grows_stale_is_an_incident_beside_the_error() -> None:
    life = Life()
    assert life.passed(NOW, exit_code=5) == [("error", 5)]
    old: dict[str, Any] = {"exit_code": 5, "checked_at": NOW - DAY}
    assert life.passed(NOW + HOUR, **old) == [("stale", 0)]
    assert life.passed(NOW + 2 * HOUR, **old) == []
    life.passed(NOW + 3 * HOUR)
    assert [each.reason for each in life.news.over] == ["error", "stale"]


def test_a_cool_down_that_is_tolerated_ends_no_incident() -> None:
    """Every other pass would alert: the feed fails, is left alone, fails again."""
    life = Life()
    assert life.passed(NOW, exit_code=5) == [("error", 5)]
    assert life.passed(NOW + HOUR, outcome="cooldown") == []
    assert life.news.over == ()
    assert life.passed(NOW + 2 * HOUR, exit_code=5) == []


def test_a_pass_that_could_not_read_the_store_says_nothing_of_the_contents_age() -> None:
    unread = PassReport(
        pass_id="a", command="sync", consumer="c", index="i", began_at=NOW, seconds=1.0, exit_code=7,
        outcome="store-unavailable", why="gone",
    )  # fmt: skip
    met, ended = unread.incidents()
    assert [each.reason for each in met] == ["error"]
    assert ended == set()


def test_a_good_pass_ends_both() -> None:
    assert GOOD.incidents() == ([], {"error", "stale"})


@pytest.mark.parametrize("again_after", [timedelta(0), HOUR])
def test_a_shorter_interval_alerts_more_often(again_after: timedelta) -> None:
    life = Life()
    alerted = [life.passed(NOW + hour * HOUR, exit_code=5, again_after=again_after) for hour in range(3)]
    assert alerted == [[("error", 5)]] * 3
    assert [each.since for each in life.stored] == [NOW]


def test_an_alert_that_a_wrong_clock_dated_into_the_future_silences_none() -> None:
    future = error(alerted_at=NOW + timedelta(days=3650))
    assert news((future,), [error()], set(), DAY, NOW).alerts == (
        msgspec.structs.replace(future, alerted_at=NOW),
    )


def test_an_alert_that_could_not_be_sent_is_still_to_be_sent() -> None:
    assert after((), News((), ())) == ()
    assert after((error(),), News((), ())) == (error(),)


def test_what_the_folder_remembers_adds_to_what_the_state_does() -> None:
    later = error(5, alerted_at=NOW + HOUR)
    assert merged((error(5),), (later, error(7))) == (error(5), error(7))
