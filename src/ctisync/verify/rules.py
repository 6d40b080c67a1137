"""The rules for a state and its records, in every store, and for a content and a snapshot (`Comparison`)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from ctisync.core import json_text, wire
from ctisync.core.findings import Finding, Kind
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import MAX_OFFSET, Consumer, Record
from ctisync.core.patch import equal
from ctisync.core.state import ConsumerState
from ctisync.core.steps import contradictions
from ctisync.core.words import counted


def check_state(state: ConsumerState) -> Iterator[Finding]:
    """Findings about states that no sequence of transitions produces. Of an unsettled state only the numbers
    are checked: the next writer settles the rest."""
    for field, why in _wrong_fields(state):
        yield Finding(Kind.STATE_WRONG, field, why)
    if state.unsettled:
        detail = "a writer died during a swap, or another content is live"
        yield Finding(Kind.STATE_UNSETTLED, "state", detail)
    elif state.owed is not None and (why_wrong := _wrong_command(state, state.owed.offset)):
        yield Finding(Kind.COMMAND_WRONG, "owed", why_wrong)


def check_settings(state: ConsumerState, consumer: Consumer) -> Iterator[Finding]:
    """Whether the content was loaded with the current settings."""
    if state.stored_for not in (None, consumer):
        detail = "the content was loaded with another index or other resources than those in the settings"
        yield Finding(Kind.SETTINGS_DIFFER, str(consumer), detail)


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


class Reference(msgspec.Struct, frozen=True):
    """The offset of a snapshot. Not `exact`: the snapshot may also contain later changes, namely deletes."""

    offset: int
    exact: bool


class _Versioned(msgspec.Struct, frozen=True):
    payload: msgspec.Raw
    version: int | None = None


_versioned_decoder: Final = msgspec.json.Decoder(_Versioned)


class Comparison:
    """Compares a live content with a snapshot: which differences are legitimate, and which are not.

    Pass all records of the snapshot first, then all of the content, then call `end`.

    The snapshot has offset S, the content offset N (between `least` and `most` if a range was begun or the
    offset is not stored). Per resource:

        in both, the same offset      version and payload must be equal, numbers by value
        in both, the content older    a difference, unless the snapshot's record is above N
        in both, the content newer    a difference, unless the content's record is above S
        only in the snapshot          a difference, unless it is above N, or was deleted since: N > S
        only in the content           a difference, unless it is above S, or is to be deleted yet: N < S

    A change deletes one record, so there are at most as many such deletes as offsets between N and S.

    It keeps two numbers per record, the hash of its name and its offset: about 35 MB for 300,000 records.
    """

    def __init__(self, reference: Reference, state: ConsumerState) -> None:
        self._reference = reference
        self._stored_for = state.stored_for
        self._least, self._most = _possible_offsets(state)
        self._offsets: dict[int, int] = {}
        self._missing = 0
        self._extra = 0
        self._later = 0

    def expected(self, records: Sequence[Record]) -> list[Record]:
        """The records that a load would store; of two with the same name and offset, the first."""
        loaded = self._stored_for or Consumer()
        return [each for each in records if loaded.selects(each.name) and self._is_new(each)]

    def of_snapshot(self, expected: Sequence[Record], stored: Mapping[str, Record]) -> Iterator[Finding]:
        """Compare a batch of the snapshot with the content's records of the same names."""
        for record in expected:
            own = stored.get(record.name)
            if own is None:
                yield from self._only_in_snapshot(record)
            elif own.offset == record.offset and (why := _unlike(record, own)):
                yield Finding(Kind.AGAINST_DIFFERENT, record.name, f"at offset {record.offset}: {why}")

    def of_content(self, stored: Record) -> Iterator[Finding]:
        """Compare a record of the content with the snapshot's last record of that name."""
        offset, reference = self._offsets.get(hash(stored.name)), self._reference
        if offset is None:
            yield from self._only_in_content(stored)
            return
        detail = f"its offset is {stored.offset}, in the snapshot of offset {reference.offset} it is {offset}"
        if offset < stored.offset <= reference.offset:
            yield Finding(Kind.AGAINST_NEWER, stored.name, detail)
        elif stored.offset < offset <= self._least:
            yield Finding(Kind.AGAINST_OLDER, stored.name, detail)
        elif stored.offset < offset:
            self._later += 1

    def end(self) -> Iterator[Finding]:
        """The findings that depend on the numbers of all records."""
        offset = self._reference.offset
        since, ahead = max(0, self._most - offset), max(0, offset - self._least)
        if self._missing > since:
            deletes = counted(since, "delete")
            detail = f"the content does not have them, but at most {deletes} can have come since the snapshot"
            yield Finding(Kind.AGAINST_MISSING, counted(self._missing, "record"), detail)
        elif self._missing:
            yield _not_judged(self._missing, "only in the snapshot; a later change may have deleted them")
        if self._extra > ahead and self._reference.exact:
            detail = f"the snapshot does not have them, but contains at most {counted(ahead, 'more change')}"
            yield Finding(Kind.AGAINST_EXTRA, counted(self._extra, "record"), detail)
        elif self._extra:
            yield _not_judged(self._extra, "only in the content; a change to come may delete them")
        if self._later:
            yield _not_judged(self._later, "above the offset of the content")

    def _is_new(self, record: Record) -> bool:
        key = hash(record.name)
        if self._offsets.get(key, -1) >= record.offset:
            return False
        self._offsets[key] = record.offset
        return True

    def _only_in_snapshot(self, record: Record) -> Iterator[Finding]:
        if record.offset > self._least:
            self._later += 1
        elif self._most > self._reference.offset:
            self._missing += 1
        else:
            detail = f"the snapshot has it at offset {record.offset}, the content does not have it"
            yield Finding(Kind.AGAINST_MISSING, record.name, detail)

    def _only_in_content(self, stored: Record) -> Iterator[Finding]:
        reference = self._reference
        if stored.offset > reference.offset:
            return
        if reference.exact and self._least >= reference.offset:
            detail = (
                f"its offset is {stored.offset}, the snapshot of offset {reference.offset} does not have it"
            )
            yield Finding(Kind.AGAINST_EXTRA, stored.name, detail)
        else:
            self._extra += 1


def _possible_offsets(state: ConsumerState) -> tuple[int, int]:
    """The lowest and the highest offset that a live content may have, by its state."""
    highest = highest_offset(state)
    if highest is None:
        return 0, MAX_OFFSET
    if state.offset > 0:
        return state.offset, state.range_to or state.offset
    return max(state.snapshot_offset or 0, state.owed.offset if state.owed else 0), highest


def _unlike(record: Record, stored: Record) -> str | None:
    """The difference between two records of the same name and offset; None if they are equal in value."""
    if record.line == stored.line:
        return None
    try:
        one, other = (_versioned_decoder.decode(each.line) for each in (record, stored))
        if one.version != other.version:
            return f"its version is {other.version}, in the snapshot it is {one.version}"
        if bytes(one.payload) == bytes(other.payload):
            return None
        same = equal(json_text.decode(one.payload), json_text.decode(other.payload))
        return None if same else "the payloads differ"
    except ValueError as error:  # msgspec's errors are ValueErrors too
        return f"they cannot be compared: {error}"


def _not_judged(count: int, why: str) -> Finding:
    return Finding(Kind.AGAINST_NOT_JUDGED, counted(count, "record"), why)
