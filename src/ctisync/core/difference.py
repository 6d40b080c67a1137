"""The differences between two exports, which are sorted by name: a merge in constant memory."""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Final, Literal

import msgspec

from ctisync.core import json_text, wire
from ctisync.core.model import Json, Record
from ctisync.core.patch import equal

MOST_FIELDS: Final = 1000
"""The most changed fields that are listed for one record."""

_ALWAYS: Final = ("/offset", "/version")
"""The fields that each change alters: listed only if nothing else differs."""

_ABSENT: Final = object()
"""Differs from every JSON value."""


class Difference(msgspec.Struct, frozen=True):
    """One record that differs. `fields`: JSON Pointers (RFC 6901) into the record's line to what was changed.
    An offset is None if that export does not have the record."""

    name: str
    what: Literal["added", "removed", "changed"]
    fields: tuple[str, ...] = ()
    old_offset: int | None = None
    new_offset: int | None = None


class NoExport(ValueError):
    """A line is no record, or the names are not in ascending order.

    `which` is 0 for the old lines, 1 for the new ones; `number` counts lines from 1.
    """

    def __init__(self, which: int, number: int, why: str) -> None:
        super().__init__(why)
        self.which = which
        self.number = number


def differences(old: Iterable[bytes], new: Iterable[bytes]) -> Iterator[Difference]:
    """The differences by name. Lines that are equal in value are none. Raises NoExport."""
    both = merge(_records(old, 0), _records(new, 1), key=itemgetter(0, 1))
    for _, same in groupby(both, key=itemgetter(0)):
        records = {which: record for _, which, record in same}
        one, other = records.get(0), records.get(1)
        if one is None:
            yield Difference(records[1].name, "added", new_offset=records[1].offset)
        elif other is None:
            yield Difference(one.name, "removed", old_offset=one.offset)
        elif one.line != other.line and (fields := _changed(one, other)):
            yield Difference(one.name, "changed", fields, one.offset, other.offset)


def _records(lines: Iterable[bytes], which: int) -> Iterator[tuple[bytes, int, Record]]:
    before = b""
    for number, line in enumerate(lines, start=1):
        try:
            record = wire.record(line.strip())
        except wire.NotARecord as error:
            raise NoExport(which, number, f"this is not a record: {error}") from None
        name = record.name.encode()
        if name <= before:
            why = f"the names are not sorted: {record.name} follows {before.decode()}"
            raise NoExport(which, number, why)
        before = name
        yield name, which, record


def _changed(one: Record, other: Record) -> tuple[str, ...]:
    try:
        lines = (wire.without_name(json_text.decode(each.line)) for each in (one, other))
        pointers = tuple(islice(_unlike(*lines), MOST_FIELDS))
    except ValueError:  # nested too deeply, or with numbers that are too large
        return ("/payload",)
    return tuple(each for each in pointers if each not in _ALWAYS) or pointers


def _unlike(one: Json, other: Json) -> Iterator[str]:
    """JSON Pointers to the differences of two values. Arrays of different length differ as a whole."""
    pending = [("", one, other)]
    while pending:
        pointer, left, right = pending.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            for key in sorted(left.keys() | right.keys(), reverse=True):
                below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
                if key in left and key in right:
                    pending.append((below, left[key], right[key]))
                else:
                    pending.append((below, None, _ABSENT))
        elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            pairs = list(zip(left, right, strict=True))
            pending += [(f"{pointer}/{index}", *pair) for index, pair in reversed(list(enumerate(pairs)))]
        elif not equal(left, right):
            yield pointer
