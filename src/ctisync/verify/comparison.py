"""A live content held against a snapshot: which differences there can be by right, and which cannot.

The snapshot stands at offset S, the content at N (between `least` and `most` when a range was begun or
an offset is not stored). Per resource:

    in both, the same offset      version and payload must be equal, numbers by value
    in both, the content older    a difference, unless the snapshot's record is above N
    in both, the content newer    a difference, unless the content's record is above S
    only in the snapshot          a difference, unless it is above N, or was deleted since: N > S
    only in the content           a difference, unless it is above S, or is to be deleted yet: N < S

A change deletes one record, so there can be no more such deletes than offsets between N and S.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from ctisync.core import wire
from ctisync.core.findings import Finding, Kind
from ctisync.core.model import MAX_OFFSET, Record
from ctisync.core.patch import equal
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.verify.rules import highest_offset


class Reference(msgspec.Struct, frozen=True):
    """The offset that a snapshot stands for. Not `exact`: changes above it may be in, namely deletes."""

    offset: int
    exact: bool


class _Versioned(msgspec.Struct, frozen=True):
    payload: msgspec.Raw
    version: int | None = None


_versioned_decoder: Final = msgspec.json.Decoder(_Versioned)


class Comparison:
    """First all of the snapshot's records, then all of the content's, then the end.

    Of a record it keeps two numbers, the hash of its name and its offset: at 300,000 records about 35 MB.
    """

    def __init__(self, reference: Reference, state: ConsumerState) -> None:
        self._reference = reference
        self._made_for = state.stored_for
        self._least, self._most = _stands_between(state)
        self._seen: dict[int, int] = {}
        self._missing = 0
        self._extra = 0
        self._not_come_yet = 0

    def wanted(self, records: Sequence[Record]) -> list[Record]:
        """Those that the content is made of; of two with one name and offset the first, as in a load."""
        made_for = self._made_for
        return [
            each for each in records if (made_for is None or made_for.wants(each.name)) and self._is_new(each)
        ]

    def of_snapshot(self, wanted: Sequence[Record], stored: Mapping[str, Record]) -> Iterator[Finding]:
        """A batch of the snapshot, and what the content holds under its names."""
        for record in wanted:
            found = stored.get(record.name)
            if found is None:
                yield from self._only_in_snapshot(record)
            elif found.offset == record.offset and (why := _unlike(record, found)):
                yield Finding(Kind.AGAINST_DIFFERENT, record.name, f"at offset {record.offset}: {why}")

    def of_content(self, stored: Record) -> Iterator[Finding]:
        """A record of the content; only now is it known what the snapshot has last under its name."""
        has, reference = self._seen.get(hash(stored.name)), self._reference
        if has is None:
            yield from self._only_in_content(stored)
            return
        told = f"it is at offset {stored.offset}, in the snapshot of {reference.offset} at {has}"
        if has < stored.offset <= reference.offset:
            yield Finding(Kind.AGAINST_NEWER, stored.name, told)
        elif stored.offset < has <= self._least:
            yield Finding(Kind.AGAINST_OLDER, stored.name, told)
        elif stored.offset < has:
            self._not_come_yet += 1

    def end(self) -> Iterator[Finding]:
        """What only the numbers of all records tell."""
        offset = self._reference.offset
        since, ahead = max(0, self._most - offset), max(0, offset - self._least)
        if self._missing > since:
            deletes = counted(since, "delete")
            told = f"the content does not have them, and can have seen {deletes} since the snapshot"
            yield Finding(Kind.AGAINST_MISSING, counted(self._missing, "record"), told)
        elif self._missing:
            yield _not_judged(self._missing, "only in the snapshot, may have been deleted since")
        if self._extra > ahead and self._reference.exact:
            told = f"the snapshot does not have them, and holds {counted(ahead, 'more change')} at most"
            yield Finding(Kind.AGAINST_EXTRA, counted(self._extra, "record"), told)
        elif self._extra:
            yield _not_judged(self._extra, "only in the content, may be deleted by changes yet to come")
        if self._not_come_yet:
            yield _not_judged(self._not_come_yet, "above the offset that the content has reached")

    def _is_new(self, record: Record) -> bool:
        key = hash(record.name)
        if self._seen.get(key, -1) >= record.offset:
            return False
        self._seen[key] = record.offset
        return True

    def _only_in_snapshot(self, record: Record) -> Iterator[Finding]:
        if record.offset > self._least:
            self._not_come_yet += 1
        elif self._most > self._reference.offset:
            self._missing += 1
        else:
            told = f"the snapshot has it at offset {record.offset}, the content not at all"
            yield Finding(Kind.AGAINST_MISSING, record.name, told)

    def _only_in_content(self, stored: Record) -> Iterator[Finding]:
        reference = self._reference
        if stored.offset > reference.offset:
            return
        if reference.exact and self._least >= reference.offset:
            told = f"it is at offset {stored.offset}, the snapshot of {reference.offset} does not have it"
            yield Finding(Kind.AGAINST_EXTRA, stored.name, told)
        else:
            self._extra += 1


def _stands_between(state: ConsumerState) -> tuple[int, int]:
    """The offsets between which a live content stands, as far as its state tells."""
    highest = highest_offset(state)
    if highest is None:
        return 0, MAX_OFFSET
    if state.offset > 0:
        return state.offset, state.range_to or state.offset
    return max(state.snapshot_offset or 0, state.owed.offset if state.owed else 0), highest


def _unlike(record: Record, stored: Record) -> str | None:
    """What differs between two records of the same name and offset."""
    if record.line == stored.line:
        return None
    try:
        one, other = (_versioned_decoder.decode(each.line) for each in (record, stored))
        if one.version != other.version:
            return f"it is version {other.version}, in the snapshot {one.version}"
        if bytes(one.payload) == bytes(other.payload):
            return None
        return None if equal(wire.decode(one.payload), wire.decode(other.payload)) else "the payloads differ"
    except ValueError as error:  # msgspec's errors are ValueErrors too
        return f"they cannot be compared: {error}"


def _not_judged(count: int, why: str) -> Finding:
    return Finding(Kind.AGAINST_NOT_JUDGED, counted(count, "record"), why)
