"""The rules for a state and its records, in every store."""

from collections.abc import Iterator

from ctisync.core import json_text, wire
from ctisync.core.findings import Finding, Kind
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import Consumer, Record
from ctisync.core.state import ConsumerState
from ctisync.core.steps import contradictions
from ctisync.core.words import counted


def check_state(state: ConsumerState) -> Iterator[Finding]:
    """Findings about states that no sequence of transitions produces. Of an unsettled state only the numbers
    are checked: the next writer settles the rest."""
    for field, why in _wrong_fields(state):
        yield Finding(Kind.STATE_WRONG, field, why)
    if state.unsettled:
        yield Finding(
            Kind.STATE_UNSETTLED, "state", "a writer died during a swap, or another content is live"
        )
    elif state.owed is not None and (why_wrong := _wrong_command(state, state.owed.offset)):
        yield Finding(Kind.COMMAND_WRONG, "owed", why_wrong)


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
        detail = f"the state names no content, but there is one with {counted(count, 'live record')}"
        yield Finding(Kind.COUNT_WRONG, "content", detail)
    if state.content and count == 0 and state.offset == state.snapshot_offset:
        yield Finding(Kind.COUNT_WRONG, "content", "it is empty, although a snapshot was just loaded")


def check_offsets(state: ConsumerState) -> Iterator[Finding]:
    """What cannot be checked about the records' offsets."""
    if highest_offset(state) is None:
        detail = "the offset of the content is unknown until the next pass has settled the state"
        yield Finding(Kind.OFFSET_NOT_JUDGED, "all records", detail)
    elif state.offset == 0:
        detail = "the content waits to be initialised again and its offset is not stored: its records were "
        yield Finding(Kind.OFFSET_NOT_JUDGED, "all records", detail + "compared with the feed's last offset")


def highest_offset(state: ConsumerState) -> int | None:
    """The highest offset that a record of the live content may have; None if the state does not determine it.

    It is the content's offset, or the end of a range that was begun. If the feed advanced while it wrote the
    snapshot, the content may also have records above the snapshot's offset, up to the feed's last one, until
    it has caught up. With offset 0, the content is at its offset before a change failed: below that change.
    """
    if state.unsettled or not state.content:
        return None
    offsets = [state.offset, state.range_to or 0, state.last_offset or 0]
    if state.offset == 0:
        offsets += [state.snapshot_offset or 0, state.owed.offset if state.owed else 0]
        offsets += [state.failed.offset if state.failed else 0]
    return max(offsets)


class RecordRules:
    """The rules for each record of a live content."""

    def __init__(self, state: ConsumerState, limits: Limits = USUAL_LIMITS, *, deep: bool) -> None:
        self._stored_for = state.stored_for
        self._deep = deep
        # Of nested containers; the limit does not count the line itself.
        self._most_depth = limits.json_depth + 1
        self._buffer = bytearray()
        self._highest = highest_offset(state)
        # The offset of a content that waits to be initialised is not stored.
        self._content_offset = state.range_to or state.offset or self._highest

    def check(self, stored: Record, line: Record | None = None) -> Iterator[Finding]:
        """The findings about a record. `stored` has name and offset as the store keeps them beside the
        line. `line`: the record of its line, if a fast reader has shown that this is one within the
        limits."""
        is_usual = line is not None and (not self._deep or self._is_as_encoded(stored.line))
        try:
            line = line or wire.record(stored.line)
        except wire.NotARecord as error:
            yield Finding(Kind.RECORD_UNREADABLE, stored.name, str(error))
            return
        if (line.name, line.offset) != (stored.name, stored.offset):
            detail = f"the store has it as {stored.name} at offset {stored.offset}, "
            detail += f"its line has {line.name} at offset {line.offset}"
            yield Finding(Kind.RECORD_MISLABELLED, stored.name, detail)
        if self._stored_for is not None and not self._stored_for.selects(line.name):
            detail = f"its name does not match resources = {list(self._stored_for.resources)}"
            yield Finding(Kind.RECORD_UNWANTED, stored.name, detail)
        yield from self._check_offset(stored.name, max(line.offset, stored.offset))
        if self._deep and not is_usual:
            yield from self._check_payload(stored)

    def _check_offset(self, name: str, offset: int) -> Iterator[Finding]:
        if self._highest is None or self._content_offset is None or offset <= self._content_offset:
            return
        if offset > self._highest:
            detail = f"its offset is {offset}, above the highest that the content can have ({self._highest})"
            yield Finding(Kind.OFFSET_TOO_HIGH, name, detail)
        else:
            detail = f"its offset is {offset}, the content is at {self._content_offset}, the feed at "
            detail += f"{self._highest}: it may be from a snapshot that was written while the feed advanced"
            yield Finding(Kind.OFFSET_AHEAD, name, detail)

    def _check_payload(self, stored: Record) -> Iterator[Finding]:
        """Findings that need decoding. An update could not be applied to such a record, or wrongly."""
        try:
            json_text.decode(stored.line)
            json_text.check_depth(stored.line, self._most_depth)
        except json_text.TooDeep:
            yield Finding(Kind.PAYLOAD_DEEP, stored.name, f"its nesting depth is above {self._most_depth}")
        except ValueError as error:
            yield Finding(Kind.PAYLOAD_UNREADABLE, stored.name, f"it cannot be decoded: {error}")
        else:
            if (key := json_text.duplicate_key(stored.line)) is not None:
                yield Finding(Kind.PAYLOAD_TWICE, stored.name, f"an object has the key {key[:80]!r} twice")

    def _is_as_encoded(self, line: bytes) -> bool:
        """Whether the line, whose depth was checked, is what the encoder writes: then no object has a key
        twice. To look for such a key takes three times as long."""
        try:
            return json_text.encodes_to(json_text.decode_checked(line), line, self._buffer)
        except ValueError:
            return False


def _wrong_fields(state: ConsumerState) -> Iterator[tuple[str, str]]:
    """Fields with impossible values, each with the reason."""
    yield from contradictions(state)
    if state.owed is not None and state.owed.attempts < 0:
        yield "owed", f"it was refused {state.owed.attempts} times"
    if state.unsettled:
        return
    if state.content:
        yield from _wrong_of_content(state)
    failed = state.failed
    if failed is not None and failed.offset <= state.offset:
        yield "failed", f"change {failed.offset} is stored as failed, but the offset is {state.offset}"


def _wrong_of_content(state: ConsumerState) -> Iterator[tuple[str, str]]:
    loaded = state.snapshot_offset
    if state.stored_for is None:
        yield "stored_for", "the settings with which the content was loaded are missing"
    if loaded is None:
        yield "snapshot_offset", "the offset of the snapshot that was loaded is missing"
    elif 0 < state.offset < loaded:
        yield "offset", f"it is {state.offset}, below the offset {loaded} of the loaded snapshot"
    if state.offset == 0 and state.failed is None:
        yield "offset", "it is 0 with a live content, although no change has failed"


def _wrong_command(state: ConsumerState, owed: int) -> str | None:
    """What is wrong with a command that is owed for this offset; None if nothing is."""
    if state.offset > 0:
        return None if owed == state.offset else f"it is for offset {owed}, the content is at {state.offset}"
    if state.content and owed < (state.snapshot_offset or 1):
        return f"it is for offset {owed}, but the loaded snapshot has offset {state.snapshot_offset}"
    if state.content and state.failed is not None and owed >= state.failed.offset:
        return f"it is for offset {owed}, but change {state.failed.offset} could not be applied"
    return None
