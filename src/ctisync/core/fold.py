"""Fold a complete range of changes into one write per resource.

JSON Patch is not idempotent, but a range that may have been written already must give the same result:

- every record contains its offset, and changes at or below it are skipped;
- a resource's changes count from its last create or delete in the range on, because earlier ones may have
  left no trace (an update before a delete would meet no record the second time). A create without a payload
  changes nothing, so it is no start.

Patches of one record are applied to one copy of its payload, however many there are.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from ctisync.core import wire
from ctisync.core.json_text import Excess, check_line, decode_checked, may_be_opened, opened
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import Change, Consumer, Delete, Json, Record, Write
from ctisync.core.patch import PatchError, Working
from ctisync.core.state import FailedChange

_REPLIES: Final = 4
"""The records of a range may have as many bytes as so many replies (`Limits.reply_bytes`)."""

# Sorted, because the order of an object's members has no meaning and a server may change it.
_canonical: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")


class CannotApply(Exception):
    """The first change of the range that cannot be applied; nothing of the range may be written."""

    def __init__(self, failed: FailedChange) -> None:
        super().__init__(failed.reason)
        self.failed = failed


class TooLarge(Exception):
    """The records of the range have more bytes than may be in memory."""


class Folded(msgspec.Struct, frozen=True):
    """The result of a range: one write per resource, in the order of their last changes."""

    writes: list[Write]
    skipped: int
    """The number of changes that the records already contain, and of empty ones."""
    created: frozenset[str] = frozenset()
    """The names of the new records."""


def touched(changes: Sequence[Change], consumer: Consumer) -> dict[str, list[Change]]:
    """The range's changes by resource, each from its last create or delete on; unwanted ones left out."""
    by_resource: dict[str, list[Change]] = {}
    for change in changes:
        if change.type == "update" or change.is_empty:
            by_resource.setdefault(change.resource, []).append(change)
        else:
            by_resource[change.resource] = [change]
    return {name: of_name for name, of_name in by_resource.items() if consumer.selects(name)}


def fold(
    per_resource: Mapping[str, Sequence[Change]],
    stored: Iterable[tuple[Iterable[str], Mapping[str, Record]]],
    limits: Limits = USUAL_LIMITS,
    check: Callable[[], None] = lambda: None,
) -> Folded:
    """Apply the changes of `touched`, within `limits`.

    `stored`: some of the names at a time, each time with their stored records (`ports.Writer.read_in_parts`).
    `check` is called between two records, and within a long patch; what it raises ends the fold. Raises
    TooLarge, and CannotApply for the lowest offset that cannot be applied, so that everything before it can
    still be folded.
    """
    writes: list[Write] = []
    skipped = size = 0
    most = _REPLIES * limits.reply_bytes
    created: set[str] = set()
    failures: list[FailedChange] = []  # an exception keeps the record that it was raised for
    for name, record in ((name, records.get(name)) for names, records in stored for name in names):
        check()
        changes, applied = per_resource[name], -1 if record is None else record.offset
        pending = [change for change in changes if not change.is_empty and change.offset > applied]
        skipped += len(changes) - len(pending)
        try:
            write = _one_write(name, pending, record, limits, check)
        except CannotApply as error:
            failures.append(error.failed)
            continue
        if write is None:
            continue
        writes.append(write)
        size += len(write.line) if isinstance(write, Record) else 0
        if size > most:
            text = f"the records of a range have more than {most} bytes ({_REPLIES} times limits.reply_bytes)"
            raise TooLarge(text)
        if record is None:  # a delete is written only for a stored record
            created.add(name)
    if failures:
        raise CannotApply(min(failures, key=lambda failed: failed.offset))
    return Folded(sorted(writes, key=lambda write: write.offset), skipped, frozenset(created))


def _one_write(
    name: str, changes: Sequence[Change], record: Record | None, limits: Limits, check: Callable[[], None]
) -> Write | None:
    if not changes:
        return None
    first, updates = changes[0], changes
    if first.type == "delete":
        if len(changes) == 1:
            return Delete(name, first.offset) if record is not None else None
        record, updates = None, changes[1:]
    elif first.type == "create":
        record, updates = wire.created(first), changes[1:]
        if not updates:
            return _within(limits, record, first)
    if record is None:
        raise _failure(updates[0], "the record to update does not exist")
    return _updated(name, record, updates, limits, check)


def _updated(
    name: str, record: Record, updates: Sequence[Change], limits: Limits, check: Callable[[], None]
) -> Record:
    line = _opened(record, updates[0], limits)
    working = Working(line["payload"], limits, check)
    for change in updates:
        try:
            working.apply(change.operations or [])
        except PatchError as error:
            raise _failure(change, error.reason, error.operation) from None
        if not isinstance(working.document, dict):
            raise _failure(change, "it leaves a payload that is not an object")
    changed = wire.changed(line, name, updates[-1], working.document, len(record.line))
    return _within(limits, changed, updates[-1], depth_checked=True)


def _within(limits: Limits, record: Record, change: Change, *, depth_checked: bool = False) -> Record:
    """The record. Raises CannotApply if it exceeds the limits for a record of a snapshot. `depth_checked`: no
    value is nested too deeply, because the stored record and each value of a patch were checked."""
    if len(record.line) > limits.line_bytes:
        reason = f"the record would have {len(record.line)} bytes, more than limits.line_bytes"
        raise _failure(change, reason)
    if depth_checked and len(record.line) <= limits.json_values:  # a value has one byte at least
        return record
    try:
        check_line(record.line, limits)
    except Excess as error:
        raise _failure(change, f"the record would exceed limits.{error.limit}") from None
    return record


def _opened(record: Record, change: Change, limits: Limits) -> dict[str, Json]:
    """The line with its payload open; any other value may still be text."""
    try:
        check_line(record.line, limits)
        value = opened(record.line) if may_be_opened(record.line) else decode_checked(record.line)
        line: dict[str, Json] = value if isinstance(value, dict) else {}
        payload = line.get("payload")
        if isinstance(payload, msgspec.Raw):
            line["payload"] = payload = opened(payload)
    except Excess as error:
        raise _failure(change, f"the stored record exceeds limits.{error.limit}") from None
    except ValueError as error:
        raise _failure(change, f"the stored record cannot be decoded: {error}") from None
    if not isinstance(payload, dict):
        raise _failure(change, "the stored record has no payload object")
    return line


def _failure(change: Change, reason: str, operation: int | None = None) -> CannotApply:
    return CannotApply(FailedChange(change.offset, change.resource, operation, reason, digest(change)))


def digest(change: Change) -> str:
    """A short fingerprint of a change, which shows whether the feed still offers the same one."""
    return hashlib.sha256(_canonical.encode(change)).hexdigest()[:16]
