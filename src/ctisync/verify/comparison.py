"""Compares a live content with a snapshot: which differences are legitimate, and which are not.

The snapshot has offset S, the content offset N (between `least` and `most` if a range was begun or the offset
is not stored). Per resource:

    in both, the same offset      version and payload must be equal, numbers by value
    in both, the content older    a difference, unless the snapshot's record is above N
    in both, the content newer    a difference, unless the content's record is above S
    only in the snapshot          a difference, unless it is above N, or was deleted since: N > S
    only in the content           a difference, unless it is above S, or is to be deleted yet: N < S

A change deletes one record, so there are at most as many such deletes as offsets between N and S.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from ctisync.core import json_text
from ctisync.core.findings import Finding, Kind
from ctisync.core.model import MAX_OFFSET, Consumer, Record
from ctisync.core.patch import equal
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.verify.rules import highest_offset


class Reference(msgspec.Struct, frozen=True):
    """The offset of a snapshot. Not `exact`: the snapshot may also contain later changes, namely deletes."""

    offset: int
    exact: bool


class _Versioned(msgspec.Struct, frozen=True):
    payload: msgspec.Raw
    version: int | None = None


_versioned_decoder: Final = msgspec.json.Decoder(_Versioned)


class Comparison:
    """Pass all records of the snapshot first, then all of the content, then call `end`.

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
