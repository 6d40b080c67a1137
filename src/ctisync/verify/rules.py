"""The rules that a state and its records keep, whatever store holds them."""

import json
from collections.abc import Iterator
from typing import Final

from ctisync.core import wire
from ctisync.core.findings import Finding, Kind
from ctisync.core.limits import USUAL_LIMITS
from ctisync.core.model import MAX_OFFSET, MAX_RANGE, Consumer, Json, Record
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted

MOST_DEPTH: Final = USUAL_LIMITS.json_depth + 1
"""Containers inside one another, the line itself included; real records have about ten."""


def check_state(state: ConsumerState) -> Iterator[Finding]:
    """What no sequence of transitions leads to. Of an unsettled state only the numbers are judged: the
    next writer decides what it becomes."""
    yield from _wrong(_numbers(state))
    if state.unsettled:
        yield Finding(
            Kind.STATE_UNSETTLED, "state", "a writer died within a swap, or the live content is another one"
        )
        return
    yield from _wrong(_contents(state))
    yield from _wrong(_ranges(state))
    if state.owed is not None and (why := _owed(state, state.owed.offset)):
        yield Finding(Kind.COMMAND_WRONG, "owed", why)


def check_settings(state: ConsumerState, consumer: Consumer) -> Iterator[Finding]:
    """Whether the content was made with the settings of now."""
    if state.stored_for not in (None, consumer):
        yield Finding(
            Kind.SETTINGS_DIFFER,
            str(consumer),
            "the content was made with another index or other resources than are configured",
        )


def check_count(state: ConsumerState, count: int | None) -> Iterator[Finding]:
    """Whether there is a live content exactly when the state says so, and something in a new one."""
    if state.unsettled:
        return
    if state.content and count is None:
        yield Finding(Kind.COUNT_WRONG, "content", "the state tells of a live content, and there is none")
    if not state.content and count is not None:
        told = f"the state knows nothing of {counted(count, 'live record')}"
        yield Finding(Kind.COUNT_WRONG, "content", told)
    if state.content and count == 0 and state.offset == state.snapshot_offset:
        yield Finding(Kind.COUNT_WRONG, "content", "it is empty, just as a snapshot was loaded into it")


def check_offsets(state: ConsumerState) -> Iterator[Finding]:
    """What cannot be judged of the records' offsets."""
    if highest_offset(state) is None:
        told = "where the content stands is known when the next pass has settled what the last one left"
        yield Finding(Kind.OFFSET_NOT_JUDGED, "all records", told)
    elif state.offset == 0:
        told = "the content waits to be initialised again and its offset is not stored: its records were "
        yield Finding(Kind.OFFSET_NOT_JUDGED, "all records", told + "held against the feed's last offset")


def highest_offset(state: ConsumerState) -> int | None:
    """The highest offset that a record of the live content may have; None when the state cannot tell.

    That is where the content stands, or the end of a range that was begun. Until it has caught up
    with the feed it may also hold what a snapshot brought that was written while the feed went on:
    records above the snapshot's offset, none above the feed's last one. With offset 0 the content
    stands where it stood before a change failed: below that change.
    """
    if state.unsettled or not state.content:
        return None
    known = [state.offset, state.range_to or 0, state.last_offset or 0]
    if state.offset == 0:
        known += [state.snapshot_offset or 0, state.owed.offset if state.owed else 0]
        known += [state.failed.offset if state.failed else 0]
    return max(known)


class RecordRules:
    """What each record of a live content is held to."""

    def __init__(self, state: ConsumerState, *, deep: bool) -> None:
        self._made_for = state.stored_for
        self._deep = deep
        self._highest = highest_offset(state)
        # A content that waits to be initialised stands at an offset that is not stored.
        self._stands_at = state.range_to or state.offset or self._highest

    def check(self, stored: Record) -> Iterator[Finding]:
        """`stored`: name and offset as the store keeps them beside the line."""
        try:
            line = wire.record(stored.line)
        except wire.NotARecord as error:
            yield Finding(Kind.RECORD_UNREADABLE, stored.name, str(error))
            return
        if (line.name, line.offset) != (stored.name, stored.offset):
            told = f"the store has it as {stored.name} at offset {stored.offset}, "
            told += f"its line says {line.name} at {line.offset}"
            yield Finding(Kind.RECORD_MISLABELLED, stored.name, told)
        if self._made_for is not None and not self._made_for.wants(line.name):
            told = f"its name does not fit resources = {list(self._made_for.resources)}"
            yield Finding(Kind.RECORD_UNWANTED, stored.name, told)
        yield from self._check_offset(stored.name, max(line.offset, stored.offset))
        if self._deep:
            yield from _check_payload(stored)

    def _check_offset(self, name: str, offset: int) -> Iterator[Finding]:
        if self._highest is None or self._stands_at is None or offset <= self._stands_at:
            return
        if offset > self._highest:
            told = f"it is at {offset}, above everything that the content can hold ({self._highest})"
            yield Finding(Kind.OFFSET_TOO_HIGH, name, told)
        else:
            told = f"it is at {offset}, the content at {self._stands_at}, the feed at {self._highest}: it "
            told += "may come from a snapshot that was written while the feed went on"
            yield Finding(Kind.OFFSET_AHEAD, name, told)


def _check_payload(stored: Record) -> Iterator[Finding]:
    """What only decoding shows. An update could not be applied to such a record, or not as meant."""
    try:
        value = wire.decode(stored.line)
    except ValueError as error:
        yield Finding(Kind.PAYLOAD_UNREADABLE, stored.name, f"it cannot be decoded: {error}")
        return
    if (depth := _depth(value)) > MOST_DEPTH:
        told = f"it is nested {depth} deep, more than {MOST_DEPTH}"
        yield Finding(Kind.PAYLOAD_DEEP, stored.name, told)
    elif (key := _key_twice(stored.line)) is not None:
        yield Finding(Kind.PAYLOAD_TWICE, stored.name, f"an object has the key {key[:80]!r} twice")


def _depth(value: Json) -> int:
    depth = 0
    level = [value]
    while level:
        depth += 1
        children = (item for each in level for item in (each.values() if isinstance(each, dict) else each))
        level = [item for item in children if isinstance(item, (dict, list))]
    return depth


def _key_twice(line: bytes) -> str | None:
    """A key that an object anywhere in the line has twice. The decoder of `wire` takes the last one."""
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


def _numbers(state: ConsumerState) -> Iterator[tuple[str, str]]:
    offsets = {
        "offset": state.offset,
        "last_offset": state.last_offset,
        "snapshot_offset": state.snapshot_offset,
        "range_to": state.range_to,
        "owed": state.owed.offset if state.owed else None,
        "failed": state.failed.offset if state.failed else None,
    }
    for field, offset in offsets.items():
        if offset is not None and not 0 <= offset <= MAX_OFFSET:
            yield field, f"offset {offset} is out of range"
    if state.owed is not None and state.owed.attempts < 0:
        yield "owed", f"it was refused {state.owed.attempts} times"


def _contents(state: ConsumerState) -> Iterator[tuple[str, str]]:
    if not state.content:
        if state.offset > 0:
            yield "offset", f"it claims offset {state.offset} without a content"
        return
    if state.stored_for is None:
        yield "stored_for", "it does not say for which settings the content was made"
    if state.snapshot_offset is None:
        yield "snapshot_offset", "it does not say from which snapshot the content came"
    elif 0 < state.offset < state.snapshot_offset:
        yield "offset", f"{state.offset} lies below the snapshot's {state.snapshot_offset} that was loaded"
    if state.offset == 0 and state.failed is None:
        yield "offset", "it is 0 with a live content, and no change has failed"


def _ranges(state: ConsumerState) -> Iterator[tuple[str, str]]:
    to, failed = state.range_to, state.failed
    if to is not None and not (state.content and state.offset < to <= state.offset + MAX_RANGE):
        yield "range_to", f"no range that ends at {to} can have been begun at offset {state.offset}"
    if failed is not None and failed.offset <= state.offset:
        yield "failed", f"change {failed.offset} is said to have failed, and the offset is {state.offset}"


def _owed(state: ConsumerState, owed: int) -> str | None:
    """What is wrong with a command that is owed for this offset."""
    if state.offset > 0:
        return None if owed == state.offset else f"it is for offset {owed}, the content at {state.offset}"
    if state.content and owed < (state.snapshot_offset or 1):
        return f"it is for offset {owed}, the content came from a snapshot of {state.snapshot_offset}"
    if state.content and state.failed is not None and owed >= state.failed.offset:
        return f"it is for offset {owed}, and change {state.failed.offset} could not be applied"
    return None
