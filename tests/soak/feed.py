"""The feed of a soak: it moves for hours in bounded memory, and knows what it held at each recent offset."""

import random
from bisect import bisect_right
from typing import Any, Final, NamedTuple

from tests.support import feed_failures as failures
from tests.support import feed_history, records
from tests.support.feed_failures import Failure
from tests.support.feed_history import History
from tests.support.feed_server import Kind
from tests.support.feed_simulator import FeedSimulator

Json = Any

FEWEST: Final = 300
MOST: Final = 600
"""Between these the number of records wanders."""

MOST_BIG: Final = 6

DESCRIPTIONS: Final = (800, 2500)
"""Of a big record: about 60 to 200 kB."""

COOLDOWN: Final = 4
"""Seconds for which the feed now and then asks to be left alone."""


class Version(NamedTuple):
    """A record as it stands from an offset on; None when it was deleted there."""

    offset: int
    line: bytes | None


class MovingHistory(History):
    """The oracle. Each record's versions are kept as lines, and those that nobody can ask for any more are
    forgotten, so neither time nor memory grows with the length of the run."""

    def __init__(self, context: str, first_offset: int = 1000) -> None:
        super().__init__(context, first_offset)
        self._now: dict[str, dict[str, Json]] = {}
        self._lines: dict[str, list[Version]] = {}

    def names(self) -> list[str]:
        return list(self._now)

    def expected_records(self, offset: int | None = None) -> dict[str, bytes]:
        """Of an offset at or above the last one that `forget_before` was given."""
        upto = self.last_offset if offset is None else offset
        records = {}
        for name, versions in self._lines.items():
            place = bisect_right(versions, upto, key=lambda version: version.offset)
            line = versions[place - 1].line if place else None
            if line is not None:
                records[name] = line
        return records

    def forget_before(self, offset: int) -> None:
        """Nobody will ask for a change at or below this offset, nor for the content below it."""
        self.entries = [entry for entry in self.entries if entry.offset > offset]
        for name, versions in list(self._lines.items()):
            place = bisect_right(versions, offset, key=lambda version: version.offset)
            kept = versions[max(0, place - 1) :]
            if kept[-1].line is None and kept[-1].offset <= offset:
                del self._lines[name]
                del self._versions[name]
            else:
                self._lines[name] = kept

    def _append(self, kind: str, resource: str, **content: Json) -> int:
        offset = super()._append(kind, resource, **content)
        feed_history.apply(self._now, self.entries[-1].happened)
        record = self._now.get(resource)
        line = None if record is None else self._line(record, None)
        self._lines.setdefault(resource, []).append(Version(offset, line))
        return offset


class MovingFeed(FeedSimulator):
    """Creates balance deletes, records come and go, some are big. One thing at most is amiss with what it
    offers: `poison` is the offset of a change that nobody can apply, `frozen` for how many rounds it tells
    an old last offset."""

    def __init__(self) -> None:
        super().__init__()
        self.history: MovingHistory = MovingHistory(self.context)
        self.poison: int | None = None
        self.frozen = 0
        self._poisoned = ""
        self._numbers = 0
        self._big: set[str] = set()
        for _ in range((FEWEST + MOST) // 2):
            self._create(random.Random(self._numbers))
        self.offer_snapshot()

    @property
    def reported_offset(self) -> int:
        """What the feed says is its last offset."""
        return int(self.info.get("last_offset", self.history.last_offset))

    @property
    def reachable_offset(self) -> int:
        """Where a pass must get to: to what the feed tells, or to the change that blocks."""
        return self.reported_offset if self.poison is None else self.poison - 1

    @property
    def snapshot_offset(self) -> int:
        return int(self._snapshot["last_snapshot_offset"])

    def move(self, changes: int, choose: random.Random) -> None:
        """Live on. Requests see it as it was before or after, never half-way."""
        with self._lock:
            for _ in range(changes):
                self._change(choose)

    def offer_snapshot(self, offset: int | None = None) -> None:
        """A new one; the last but one stays for whoever is fetching it."""
        for path in list(self.files)[:-1]:
            del self.files[path]
        with self._lock:
            self.publish_snapshot(offset=offset)

    def put_poison(self, choose: random.Random) -> None:
        with self._lock:
            self._poisoned = choose.choice(self.history.names())
            self.poison = self.history.poison(self._poisoned)

    def cure(self, *, by_snapshot: bool) -> None:
        """The change is offered as it really happened, or a snapshot leads past it."""
        assert self.poison is not None
        with self._lock:
            if by_snapshot:
                self.offer_snapshot()
            else:
                self.history.mend(self.poison)
        self.poison, self._poisoned = None, ""

    def freeze(self, rounds: int) -> None:
        self.info["last_offset"], self.frozen = self.history.last_offset, rounds

    def thaw_a_bit(self) -> None:
        """A round has gone by."""
        if self.frozen:
            self.frozen -= 1
            if not self.frozen:
                del self.info["last_offset"]

    def forget_before(self, offset: int) -> None:
        """Between rounds: the store stands at `offset`, and the snapshot on offer may be loaded again."""
        with self._lock:
            self.requests.clear()
            self.history.forget_before(min(offset, self.snapshot_offset))
            self._big &= set(self.history.names())

    def _change(self, choose: random.Random) -> None:
        alive = self.history.names()
        # Towards the middle, the more the further away it is.
        pull = (len(alive) - (FEWEST + MOST) / 2) / (MOST - FEWEST)
        dice = choose.random()
        if dice < 0.12 * (1 - 2 * pull):
            self._create(choose)
        elif dice < 0.24:
            self._delete(choose.choice(alive))
        else:
            # One of the youngest now and then, so that a record changes again within a range.
            name = choose.choice(alive[-20:] if choose.random() < 0.3 else alive)
            if name != self._poisoned:
                self.history.update(name, feed_history.operations(self.history.last_offset, choose))
        if choose.random() < 0.02:
            self.history.gap(choose.randint(1, 5))

    def _create(self, choose: random.Random) -> None:
        number, self._numbers = self._numbers, self._numbers + 1
        name, descriptions = records.cve_name(number), 2
        if choose.random() < 0.05 and len(self._big) < MOST_BIG:
            self._big.add(name)
            descriptions = choose.randint(*DESCRIPTIONS)
        self.history.create(name, records.payload(number, descriptions))

    def _delete(self, name: str) -> None:
        if name != self._poisoned:
            self.history.delete(name)
            self._big.discard(name)


FAILURES: Final[dict[str, Failure]] = {
    "503": failures.status(503),
    "429": failures.status(429, {"Retry-After": "1"}),
    "reset": failures.reset(),
    "reset in the body": failures.reset(0.5),
    "cut off": failures.cut_off(0.6),
    "stall": failures.stall(3.0, 0.3),
    "half a document": failures.shortened(0.5),
    "first changes alone": failures.only_first(3),
}
_ONLY_FOR: Final[dict[str, tuple[Kind, ...]]] = {
    # A snapshot that is half a file by its own length is a refused one, which only a person fetches again.
    "half a document": ("info", "changes"),
    "first changes alone": ("changes",),
}
KINDS: Final[tuple[Kind, ...]] = ("info", "changes", "snapshot")


def fail_transiently(feed: MovingFeed, choose: random.Random) -> str:
    """The next one to three replies of a kind go wrong; which, in words."""
    name = choose.choice(list(FAILURES))
    kind = choose.choice(_ONLY_FOR.get(name, KINDS))
    times = choose.randint(1, 3)
    feed.fail(kind, FAILURES[name], times=times)
    return f"{name} times {times} for {kind}"


def ask_to_be_left_alone(feed: MovingFeed) -> str:
    """Longer than a pass's budget, so that it is remembered."""
    feed.fail("info", failures.status(429, {"Retry-After": str(COOLDOWN)}))
    return "cool-down"
