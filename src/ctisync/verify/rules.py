"""The rules for a state and its records, in every store."""

import json
from collections.abc import Iterator

from ctisync.core import wire
from ctisync.core.contradictions import contradictions
from ctisync.core.findings import Finding, Kind
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import Consumer, Json, Record
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted


def check_state(state: ConsumerState) -> Iterator[Finding]:
    """Findings about states that no sequence of transitions produces. Of an unsettled state only the numbers
    are checked: the next writer settles the rest."""
    yield from _wrong(contradictions(state))
    yield from _wrong(_attempts(state))
    if state.unsettled:
        yield Finding(
            Kind.STATE_UNSETTLED, "state", "a writer died during a swap, or another content is live"
        )
        return
    yield from _wrong(_contents(state))
    yield from _wrong(_ranges(state))
    if state.owed is not None and (why := _owed(state, state.owed.offset)):
        yield Finding(Kind.COMMAND_WRONG, "owed", why)


def check_settings(state: ConsumerState, consumer: Consumer) -> Iterator[Finding]:
    """Whether the content was loaded with the current settings."""
    if state.stored_for not in (None, consumer):
        yield Finding(
            Kind.SETTINGS_DIFFER,
            str(consumer),
            "the content was loaded with another index or other resources than those in the settings",
        )


def check_count(state: ConsumerState, count: int | None) -> Iterator[Finding]:
    """Whether there is a live content if and only if the state says so, and whether a new one has records."""
    if state.unsettled:
        return
    if state.content and count is None:
        yield Finding(Kind.COUNT_WRONG, "content", "the state names a live content, but there is none")
    if not state.content and count is not None:
        told = f"the state names no content, but there is one with {counted(count, 'live record')}"
        yield Finding(Kind.COUNT_WRONG, "content", told)
    if state.content and count == 0 and state.offset == state.snapshot_offset:
        yield Finding(Kind.COUNT_WRONG, "content", "it is empty, although a snapshot was just loaded")


def check_offsets(state: ConsumerState) -> Iterator[Finding]:
    """What cannot be checked about the records' offsets."""
    if highest_offset(state) is None:
        told = "the offset of the content is unknown until the next pass has settled the state"
        yield Finding(Kind.OFFSET_NOT_JUDGED, "all records", told)
    elif state.offset == 0:
        told = "the content waits to be initialised again and its offset is not stored: its records were "
        yield Finding(Kind.OFFSET_NOT_JUDGED, "all records", told + "compared with the feed's last offset")


def highest_offset(state: ConsumerState) -> int | None:
    """The highest offset that a record of the live content may have; None if the state does not determine it.

    It is the content's offset, or the end of a range that was begun. If the feed advanced while it wrote the
    snapshot, the content may also have records above the snapshot's offset, up to the feed's last one, until
    it has caught up. With offset 0, the content is at its offset before a change failed: below that change.
    """
    if state.unsettled or not state.content:
        return None
    known = [state.offset, state.range_to or 0, state.last_offset or 0]
    if state.offset == 0:
        known += [state.snapshot_offset or 0, state.owed.offset if state.owed else 0]
        known += [state.failed.offset if state.failed else 0]
    return max(known)


class RecordRules:
    """The rules for each record of a live content."""

    def __init__(self, state: ConsumerState, limits: Limits = USUAL_LIMITS, *, deep: bool) -> None:
        self._made_for = state.stored_for
        self._deep = deep
        # Of nested containers; the limit does not count the line itself.
        self._most_depth = limits.json_depth + 1
        self._buffer = bytearray()
        self._highest = highest_offset(state)
        # The offset of a content that waits to be initialised is not stored.
        self._stands_at = state.range_to or state.offset or self._highest

    def passes(self, stored: Record, read: Record | None) -> bool:
        """Whether a quick look is enough to know that `check` has no finding about a record. `read`: the
        record of its line, if that is one within the limits; None if that is unknown."""
        if read is None or (read.name, read.offset) != (stored.name, stored.offset):
            return False
        if self._made_for is not None and not self._made_for.wants(read.name):
            return False
        if self._stands_at is not None and read.offset > self._stands_at:
            return False
        return not self._deep or self._is_as_encoded(stored.line)

    def check(self, stored: Record) -> Iterator[Finding]:
        """The findings about a record. `stored` has name and offset as the store keeps them beside the
        line."""
        try:
            line = wire.record(stored.line)
        except wire.NotARecord as error:
            yield Finding(Kind.RECORD_UNREADABLE, stored.name, str(error))
            return
        if (line.name, line.offset) != (stored.name, stored.offset):
            told = f"the store has it as {stored.name} at offset {stored.offset}, "
            told += f"its line has {line.name} at offset {line.offset}"
            yield Finding(Kind.RECORD_MISLABELLED, stored.name, told)
        if self._made_for is not None and not self._made_for.wants(line.name):
            told = f"its name does not match resources = {list(self._made_for.resources)}"
            yield Finding(Kind.RECORD_UNWANTED, stored.name, told)
        yield from self._check_offset(stored.name, max(line.offset, stored.offset))
        if self._deep:
            yield from self._check_payload(stored)

    def _check_offset(self, name: str, offset: int) -> Iterator[Finding]:
        if self._highest is None or self._stands_at is None or offset <= self._stands_at:
            return
        if offset > self._highest:
            told = f"its offset is {offset}, above the highest that the content can have ({self._highest})"
            yield Finding(Kind.OFFSET_TOO_HIGH, name, told)
        else:
            told = f"its offset is {offset}, the content is at {self._stands_at}, the feed at "
            told += f"{self._highest}: it may be from a snapshot that was written while the feed advanced"
            yield Finding(Kind.OFFSET_AHEAD, name, told)

    def _check_payload(self, stored: Record) -> Iterator[Finding]:
        """Findings that need decoding. An update could not be applied to such a record, or wrongly."""
        try:
            value = wire.decode(stored.line)
        except ValueError as error:
            yield Finding(Kind.PAYLOAD_UNREADABLE, stored.name, f"it cannot be decoded: {error}")
            return
        if (depth := _depth(value)) > self._most_depth:
            told = f"its nesting depth is {depth}, more than {self._most_depth}"
            yield Finding(Kind.PAYLOAD_DEEP, stored.name, told)
        elif (key := _key_twice(stored.line)) is not None:
            yield Finding(Kind.PAYLOAD_TWICE, stored.name, f"an object has the key {key[:80]!r} twice")

    def _is_as_encoded(self, line: bytes) -> bool:
        """Whether the line is what the encoder writes: then no object has a key twice. To look for such a key
        takes three times as long."""
        try:
            return wire.encodes_to(wire.decode(line), line, self._buffer)
        except ValueError:
            return False


def _depth(value: Json) -> int:
    depth = 0
    level = [value]
    while level:
        depth += 1
        children = (item for each in level for item in (each.values() if isinstance(each, dict) else each))
        level = [item for item in children if isinstance(item, (dict, list))]
    return depth


def _key_twice(line: bytes) -> str | None:
    """A key that some object in the line has twice. The decoder of `wire` takes the last one."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Json]]) -> None:
        if len(dict(pairs)) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                (found.append if key in seen else seen.add)(key)

    json.loads(line, object_pairs_hook=look)
    return found[0] if found else None


def _wrong(found: Iterator[tuple[str, str]]) -> Iterator[Finding]:
    return (Finding(Kind.STATE_WRONG, field, why) for field, why in found)


def _attempts(state: ConsumerState) -> Iterator[tuple[str, str]]:
    if state.owed is not None and state.owed.attempts < 0:
        yield "owed", f"it was refused {state.owed.attempts} times"


def _contents(state: ConsumerState) -> Iterator[tuple[str, str]]:
    if not state.content:
        return
    if state.stored_for is None:
        yield "stored_for", "the settings with which the content was loaded are missing"
    if state.snapshot_offset is None:
        yield "snapshot_offset", "the offset of the snapshot that was loaded is missing"
    elif 0 < state.offset < state.snapshot_offset:
        yield (
            "offset",
            f"it is {state.offset}, below the offset {state.snapshot_offset} of the loaded snapshot",
        )
    if state.offset == 0 and state.failed is None:
        yield "offset", "it is 0 with a live content, although no change has failed"


def _ranges(state: ConsumerState) -> Iterator[tuple[str, str]]:
    failed = state.failed
    if failed is not None and failed.offset <= state.offset:
        yield "failed", f"change {failed.offset} is stored as failed, but the offset is {state.offset}"


def _owed(state: ConsumerState, owed: int) -> str | None:
    """What is wrong with a command that is owed for this offset; None if nothing is."""
    if state.offset > 0:
        return None if owed == state.offset else f"it is for offset {owed}, the content is at {state.offset}"
    if state.content and owed < (state.snapshot_offset or 1):
        return f"it is for offset {owed}, but the loaded snapshot has offset {state.snapshot_offset}"
    if state.content and state.failed is not None and owed >= state.failed.offset:
        return f"it is for offset {owed}, but change {state.failed.offset} could not be applied"
    return None
