"""Servers that say when to come back: taken at their word within a day, remembered, and never flooded."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final, NamedTuple

import pytest

from tests.hostile.server.conftest import Judge, names_judged
from tests.hostile.server.ends import LATER, End
from tests.hostile.server.measured import Ended
from tests.hostile.server.passes import Case, Kept, Outcome, Passes, at_once
from tests.support.feed_server import Kind
from tests.support.lying_feed import LyingFeed, body

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(hours=24)
AROUND: Final = timedelta(minutes=5)
"""What a busy machine may add."""

OWN: Final = timedelta(seconds=600)
"""What the settings say when the server says nothing that makes sense."""


class Wish(NamedTuple):
    """A Retry-After, and for how long the feed is then left alone. A `timedelta` is sent as a date."""

    value: str | timedelta
    lasts: timedelta
    kind: Kind = "info"
    status: int = 429

    def line(self, now: datetime) -> str:
        value = self.value
        if isinstance(value, timedelta):
            value = format_datetime(now + value, usegmt=True)
        return f"Retry-After: {value}"


WISHES: Final[Mapping[str, Wish]] = {
    "an hour in seconds": Wish("3600", HOUR),
    "an hour as a date": Wish(HOUR, HOUR),
    "a year in seconds": Wish(str(365 * 86_400), DAY),
    "a year as a date": Wish(timedelta(days=365), DAY),
    "the end of time": Wish("Fri, 31 Dec 9999 23:59:59 -2359", DAY),
    "seconds of thirty digits": Wish("9" * 30, OWN),
    "a negative number": Wish("-5", OWN),
    "words": Wish("soon", OWN),
    "a date that is none": Wish("Fri, 99 Foo 2026 25:61:61 GMT", OWN),
    "a date that has passed": Wish(-HOUR, OWN),
    "no time at all": Wish("0", OWN),
    "an hour, by a block": Wish("3600", HOUR, status=403),
    "an hour, from the changes": Wish("3600", HOUR, "changes", 503),
    "an hour, from the snapshot": Wish("3600", HOUR, "snapshot"),
}


class Two(NamedTuple):
    """The pass that was told to come back later, and the one that came at once, with the requests of both."""

    began: datetime
    first: Outcome
    second: Ended
    after: Kept
    request_count: int


@pytest.fixture(scope="module")
def twos(passes: Passes, request: pytest.FixtureRequest) -> Mapping[str, Two]:
    def play(name: str) -> Two:
        wish = WISHES[name]
        home = passes.begun(name)
        before = passes.kept(home)
        began = datetime.now(UTC)
        lie = body(b"", wish.line(began), status=wish.status)
        settings = {"CTISYNC_CTI__COOLDOWN": "600", "CTISYNC_CTI__RETRY_BUDGET": "1"}
        command = "init-snapshot" if wish.kind == "snapshot" else "sync"
        with LyingFeed(passes.feed, {wish.kind: lie}) as liar:
            settings["CTISYNC_CTI__URL"] = liar.url
            first = passes.run(home, command, **settings)
            outcome = Outcome(first, before, passes.kept(home), tuple(liar.requests), tuple(liar.kinds))
            second = passes.run(home, command, **settings)
            return Two(began, outcome, second, passes.kept(home), len(liar.requests))

    return at_once(play, names_judged(request))


@pytest.mark.parametrize("name", WISHES)
def test_a_server_is_left_alone_for_as_long_as_it_asks_and_a_day_at_most(
    name: str, twos: Mapping[str, Two], judge: Judge
) -> None:
    wish, two = WISHES[name], twos[name]
    first = End(5, f"answers {wish.status}", "run the same command")
    judge(Case({}, first), two.first)
    cooldown = two.first.after.state.cooldown
    assert cooldown is not None
    assert wish.lasts - AROUND < cooldown.until - two.began < wish.lasts + AROUND

    second = End(5, "cool-down of the feed until", "--tolerate-cooldown")
    judge(Case({}, second), Outcome(two.second, two.first.before, two.after, (), ()))
    assert two.request_count == len(two.first.requests)
    assert two.first.kinds.count(wish.kind) <= 3


def test_a_refusal_that_names_no_time_is_none_that_time_mends(passes: Passes, judge: Judge) -> None:
    case = Case({"info": body(b"", status=403)}, End(3, "answers 403", "needs a subscription"))
    outcome = passes.play("403 for good", case)
    judge(case, outcome)
    assert outcome.after.state.cooldown is None


def test_words_that_are_no_time_leave_it_to_the_budget(passes: Passes, judge: Judge) -> None:
    case = Case({"info": body(b"", "Retry-After: soon", status=429)}, End(5, "gave up after 1 try", LATER))
    judge(case, passes.play("429 soon", case))
