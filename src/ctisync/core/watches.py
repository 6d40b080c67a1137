"""Watches: which records to report after a pass, and how each has changed since its last report.

A watch has a cursor in the state of the consumer: records up to its offset were reported. A record above it
that matches is reported, and one that was reported and no longer matches. Cursor and ledger move together,
once the notices were delivered: a notice may be delivered twice, with the same `id`, and none is lost.
"""

import zlib
from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from operator import attrgetter
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from ctisync.core.conditions import Conditions, as_hit, on_platform
from ctisync.core.facts import Facts, Severity, facts_of_record
from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.model import Record
from ctisync.core.scanner import Scanner
from ctisync.core.state import ConsumerState, WatchCursor
from ctisync.escaping import to_json

How = Literal["new", "severity", "exploit", "fix", "rejected", "withdrawn", "changed"]

MOST_NAMES: Final = 10_000
"""Records in a ledger. Of more, those with the lowest offsets are left out, and count as new once they
change."""

MOST_AT_ONCE: Final = 10_000
"""Notices for one call of the hook; the next call has the others."""

_LARGEST: Final = 1 << 24
"""Bytes of an unpacked ledger; one of 10,000 records has about half a million."""


class Watch(msgspec.Struct, frozen=True):
    """`name` is the one in the settings; another name is another watch."""

    name: str
    conditions: Conditions

    def on_platform(self, scanner: Scanner) -> "Watch":
        """With what the tables of the feed say of the platform."""
        return Watch(self.name, on_platform(self.conditions, scanner))


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What was last reported of a record. `bounds`: a checksum of the versions of the products that match."""

    name: str
    offset: int
    level: Severity | None
    base: str
    is_rejected: bool
    has_exploit: bool
    bounds: int


_decoder: Final = msgspec.json.Decoder(list[Entry])


class Notice(NamedTuple):
    """A record to report. `id` is the same at each attempt. `document`: the JSON for the hook, with all of
    these. `entry`: for the ledger; None if the record no longer matches."""

    id: str
    name: str
    offset: int
    how: How
    severity: Severity | None
    document: str
    entry: Entry | None


class Due(NamedTuple):
    """The notices of a watch, by offset, and its cursor once they were delivered."""

    notices: Sequence[Notice]
    cursor: WatchCursor


def begin(state: ConsumerState, watches: Collection[Watch]) -> ConsumerState:
    """With a cursor for each watch: a new one begins at the offset of the content, once there is a content;
    that of a watch which the settings no longer have is dropped. A feed that has gone back below a cursor
    lowers it to the content."""
    names = {watch.name for watch in watches}
    cursors = [cursor for cursor in state.watches if cursor.watch in names]
    if state.content and state.offset > 0:
        if state.last_offset is not None and state.offset <= state.last_offset:
            last = state.last_offset
            cursors = [c if c.offset <= last else replace(c, offset=state.offset) for c in cursors]
        new = names.difference(cursor.watch for cursor in cursors)
        cursors += [WatchCursor(name, state.offset) for name in sorted(new)]
    return replace(state, watches=tuple(cursors))


def moved(state: ConsumerState, cursor: WatchCursor) -> ConsumerState:
    """With this cursor of its watch."""
    others = (each if each.watch != cursor.watch else cursor for each in state.watches)
    return replace(state, watches=tuple(others))


class Collector:
    """The notices of one watch, collected from the content: `add` its records, then `add_missing`."""

    def __init__(self, watch: Watch, consumer: str, cursor: WatchCursor, to: int) -> None:
        """`to`: the offset of the content."""
        self._watch = watch
        self._consumer = consumer
        self._cursor = cursor
        self._to = to
        self._ledger = _unpacked(cursor.ledger)
        self._notices: list[Notice] = []

    @property
    def reported(self) -> Collection[str]:
        """The names of the records in the ledger."""
        return self._ledger.keys()

    def add(self, facts: Facts) -> None:
        """Add a record of the content."""
        if not self._cursor.offset < facts.offset <= self._to:
            return
        answer = self._watch.conditions.match(facts)
        before = self._ledger.get(facts.name)
        if answer != "no":
            entry = self._entry(facts)
            self._add(facts, _how(before, entry), entry, is_sure=answer == "yes")
        elif before is not None:
            is_news = _is_rejected(facts) and not before.is_rejected
            self._add(facts, "rejected" if is_news else "withdrawn", None, is_sure=True)

    def add_missing(self, names: Iterable[str]) -> None:
        """Add reported records that the content no longer has."""
        for name in names:
            gone = facts_of_record(Record(name, self._ledger[name].offset, b""))
            self._add(gone, "withdrawn", None, is_sure=True, also="gone")

    def due(self) -> Due:
        """At most about MOST_AT_ONCE notices; the cursor then stays below the others."""
        self._cut()
        ledger = dict(self._ledger)
        for notice in self._notices:
            ledger.pop(notice.name, None)
            if notice.entry is not None:
                ledger[notice.name] = notice.entry
        return Due(self._notices, WatchCursor(self._watch.name, self._to, _packed(ledger.values())))

    def _add(self, facts: Facts, how: How, entry: Entry | None, *, is_sure: bool, also: str = "") -> None:
        about = [self._consumer, self._watch.name, facts.name, facts.offset, also]
        number = sha256(to_json(about).encode()).hexdigest()[:32]
        hit = as_hit(facts, is_sure=is_sure)
        document = to_json({"id": number, "how": how} | hit)
        severity = hit["severity"]
        self._notices.append(Notice(number, facts.name, facts.offset, how, severity, document, entry))
        if len(self._notices) > 2 * MOST_AT_ONCE:
            self._cut()

    def _cut(self) -> None:
        """Leave out the notices of the highest offsets if there are too many; those of one offset stay
        together, since the cursor cannot lie between them."""
        self._notices.sort(key=attrgetter("offset", "name"))
        if len(self._notices) > MOST_AT_ONCE:
            self._to = max(self._cursor.offset, self._notices[MOST_AT_ONCE - 1].offset)
            self._notices = [notice for notice in self._notices if notice.offset <= self._to]

    def _entry(self, facts: Facts) -> Entry:
        score = facts.score
        products = [each for each in facts.affected if self._watch.conditions.of_product(each) != "no"]
        bounds = to_json([(each.source, each.product, each.ranges) for each in products])
        return Entry(
            name=facts.name,
            offset=facts.offset,
            level=None if score is None else score.level,
            base="" if score is None else str(score.base),
            is_rejected=_is_rejected(facts),
            has_exploit=facts.has_exploit,
            bounds=zlib.crc32(bounds.encode()),
        )


def _is_rejected(facts: Facts) -> bool:
    return facts.state.lower() == "rejected"


def for_hook(watch: str, consumer: str, notices: Sequence[Notice]) -> bytes:
    """The JSON document that `hooks.on_match` reads."""
    records = ",".join(notice.document for notice in notices)
    head = to_json({"watch": watch, "consumer": consumer})
    return f'{head.removesuffix("}")},"records":[{records}]}}\n'.encode()


def _how(before: Entry | None, now: Entry) -> How:
    """What has changed; of several, the first in this order."""
    if before is None:
        return "new"
    changes: dict[How, bool] = {
        "rejected": now.is_rejected and not before.is_rejected,
        "exploit": now.has_exploit and not before.has_exploit,
        "severity": (now.level, now.base) != (before.level, before.base),
        "fix": now.bounds != before.bounds,
    }
    return next((how for how, applies in changes.items() if applies), "changed")


def _packed(entries: Iterable[Entry]) -> bytes:
    last = sorted(entries, key=attrgetter("offset"))[-MOST_NAMES:]
    return zlib.compress(to_json(last).encode())


def _unpacked(ledger: bytes) -> dict[str, Entry]:
    """By name; empty if it cannot be read."""
    try:
        text = zlib.decompressobj().decompress(ledger, _LARGEST)
        entries = decode_as(text, _decoder)
    except (zlib.error, *UNDECODABLE):
        return {}
    return {entry.name: entry for entry in entries}
