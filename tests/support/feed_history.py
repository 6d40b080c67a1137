"""The change log of a made-up consumer, and the records that a store must hold at any offset.

The expected records are made with the jsonpatch library and dictionaries, from the documentation of the API
alone, so that they are independent of ctisync.
"""

import copy
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, Final, NamedTuple

import jsonpatch

from tests.support import records

Json = Any


class Entry(NamedTuple):
    """One change as the API sends it, and as it really happened; the two differ for a poisoned one."""

    served: dict[str, Json]
    happened: dict[str, Json]

    @property
    def offset(self) -> int:
        return int(self.happened["offset"])


class Dialect(NamedTuple):
    """How a feed writes what all feeds say. `named_by`: the key that names the record of a snapshot's line.
    `kinds`: how it writes the type of a change. `dated`: whether lines and changes have a version and a time,
    and changes a context. `members`: how many files of records are in a ZIP; with more than one, others too.
    """

    named_by: str = "name"
    kinds: Callable[[str], str] = str.lower
    dated: bool = True
    members: int = 1


CVE_4: Final = Dialect()
WAZUH_5: Final = Dialect("resource", str.upper, dated=False, members=3)


class History:
    """The change log of one consumer: tests write it, the simulated server sends it."""

    def __init__(self, context: str, first_offset: int = 1000, dialect: Dialect = CVE_4) -> None:
        self.context = context
        self.dialect = dialect
        self.first_offset = first_offset
        self.last_offset = first_offset
        self.entries: list[Entry] = []
        self._versions: dict[str, int] = {}
        self._expecting = Lock()
        self._expected: dict[str, dict[str, Json]] = {}
        self._expected_to = 0

    def create(self, resource: str, payload: dict[str, Json] | None = None) -> int:
        return self._append("create", resource, payload=records.payload(1) if payload is None else payload)

    def create_empty(self, resource: str) -> int:
        """A create without a payload, which makes no record (API fact)."""
        return self._append("create", resource, payload=None)

    def update(self, resource: str, operations: Sequence[Json] | None) -> int:
        return self._append("update", resource, operations=None if operations is None else list(operations))

    def delete(self, resource: str) -> int:
        return self._append("delete", resource)

    def poison(self, resource: str) -> int:
        """An update that cannot be applied; what really happened is only a new version of the record."""
        offset = self.update(resource, [])
        broken = [{"op": "remove", "path": "/there/is/nothing/here"}]
        self.edit(offset, operations=broken)
        return offset

    def edit(self, offset: int, /, **fields: Json) -> None:
        """Send other fields for that change from now on; what really happened stays."""
        place = next(i for i, entry in enumerate(self.entries) if entry.offset == offset)
        entry = self.entries[place]
        self.entries[place] = entry._replace(served={**entry.served, **fields})

    def mend(self, offset: int) -> None:
        """Send that change as it really happened."""
        self.edit(offset, **next(entry.happened for entry in self.entries if entry.offset == offset))

    def gap(self, size: int = 1) -> int:
        """Leave out so many offsets."""
        self.last_offset += size
        return self.last_offset

    def names(self) -> list[str]:
        """The current resources, in the order of their creation."""
        alive: dict[str, None] = {}
        for entry in self.entries:
            if entry.happened["type"] == "delete":
                alive.pop(entry.happened["resource"], None)
            elif not _is_empty(entry.happened):
                alive[entry.happened["resource"]] = None
        return list(alive)

    def served(self, after: int, to: int) -> list[dict[str, Json]]:
        changes = [entry.served for entry in self.entries if after < entry.offset <= to]
        if self.dialect is CVE_4:  # which may have been edited to anything
            return changes
        return [{**change, "type": self.dialect.kinds(change["type"])} for change in changes]

    def expected_records(self, offset: int | None = None) -> dict[str, bytes]:
        """Name → snapshot line of every record as of an offset (default: the last)."""
        return self._encoded(offset, None)

    def stored_records(self, loaded_at: int, offset: int | None = None) -> dict[str, bytes]:
        """The same as a store has it that has loaded the snapshot of `loaded_at`: what was created since has
        `name`."""
        return self._encoded(offset, loaded_at)

    def _encoded(self, offset: int | None, loaded_at: int | None) -> dict[str, bytes]:
        upto = self.last_offset if offset is None else offset
        with self._expecting:
            if self._expected_to > upto:  # what happened never changes: else the last one is gone on with
                self._expected_to, self._expected = 0, {}
            for entry in self._entries_after(self._expected_to):
                if entry.offset > upto:
                    break
                apply(self._expected, entry.happened)
                self._expected_to = entry.offset
            return {name: self._line(record, loaded_at) for name, record in self._expected.items()}

    def _line(self, record: dict[str, Json], loaded_at: int | None) -> bytes:
        fields = {key: value for key, value in record.items() if key != "created_at"}
        key = "name" if loaded_at is not None and record["created_at"] > loaded_at else self.dialect.named_by
        return records.encode({key: fields.pop("name"), **fields})

    def _entries_after(self, offset: int) -> list[Entry]:
        return self.entries[bisect_right(self.entries, offset, key=lambda entry: entry.offset) :]

    def _append(self, kind: str, resource: str, **content: Json) -> int:
        self.last_offset += 1
        version = self._versions[resource] = self._versions.get(resource, 0) + 1
        change = {
            "offset": self.last_offset,
            "type": kind,
            "version": version,
            "context": self.context,
            "resource": resource,
            "inserted_at": records.INSERTED_AT,
            **content,
        }
        if not self.dialect.dated:
            change = {key: change[key] for key in change if key not in ("version", "context", "inserted_at")}
        self.entries.append(Entry(change, change))
        return self.last_offset


def apply(state: dict[str, dict[str, Json]], change: dict[str, Json]) -> None:
    name = change["resource"]
    if change["type"] == "delete":
        state.pop(name, None)
        return
    if _is_empty(change):
        return
    before = {"created_at": change["offset"], **_dates(change, "inserted_at")}
    if change["type"] == "create":
        content = copy.deepcopy(change["payload"])
    else:
        # The patch keeps its values in the result, so later patches would alter the log.
        operations = copy.deepcopy(change["operations"] or [])
        before = {"created_at": state[name]["created_at"], **_dates(state[name], "inserted_at")}
        content = jsonpatch.apply_patch(state[name]["payload"], operations, in_place=True)
    state[name] = {
        "name": name,
        "offset": change["offset"],
        **_dates(change, "version"),
        **before,
        "payload": content,
    }


def _is_empty(change: dict[str, Json]) -> bool:
    return bool(change["type"] == "create" and change["payload"] is None)


def _dates(fields: dict[str, Json], key: str) -> dict[str, Json]:
    """The field, if there is one."""
    return {key: fields[key]} if key in fields else {}


def populate(history: History, count: int, first: int = 0) -> None:
    """Create so many made-up records."""
    for number in range(first, first + count):
        history.create(records.cve_name(number), records.payload(number))


def churn(history: History, changes: int, seed: int = 1) -> None:
    """Add changes: mostly updates, some creates and deletes, gaps, several changes of one record."""
    choose = random.Random(seed)
    alive = history.names()
    fresh = _fresh_numbers(len(history.entries))
    for number in range(changes):
        if choose.random() < 0.02:
            history.gap(choose.randint(1, 5))
        dice = choose.random()
        if dice < 0.08 or len(alive) < 2:
            new = next(fresh)
            history.create(records.cve_name(new), records.payload(new))
            alive.append(records.cve_name(new))
        elif dice < 0.12:
            history.delete(alive.pop(choose.randrange(len(alive))))
        else:
            # One of the last few most of the time, so that a record changes again within a range.
            name = choose.choice(alive[-20:] if choose.random() < 0.3 else alive)
            history.update(name, operations(number, choose))


def _fresh_numbers(start: int) -> Iterator[int]:
    number = 1_000_000 + start
    while True:
        yield number
        number += 1


def operations(number: int, choose: random.Random) -> list[dict[str, Json]]:
    """A JSON Patch like those of the real feed, for a payload of `records.payload`."""
    cna = "/containers/cna"
    remedy = f"{cna}/x_remediations/windows/0/anyOf"
    kinds: list[list[dict[str, Json]]] = [
        [{"op": "replace", "path": f"{remedy}/0", "value": f"KB{number}"}],
        [{"op": "add", "path": f"{remedy}/-", "value": f"KB{number}"}],
        [{"op": "add", "path": f"{cna}/references/1", "value": {"url": f"https://example.org/new/{number}"}}],
        [
            {"op": "add", "path": f"{cna}/x_~1odd~0key", "value": {"n": number, "ж": [None, True]}},
            {"op": "copy", "from": f"{cna}/x_~1odd~0key", "path": f"{cna}/x_copy"},
            {"op": "move", "from": f"{cna}/x_copy", "path": f"{cna}/x_moved"},
            {"op": "remove", "path": f"{cna}/x_~1odd~0key"},
        ],
        [
            {"op": "test", "path": "/dataType", "value": "CVE_RECORD"},
            {"op": "replace", "path": f"{cna}/descriptions/0/value", "value": f"Changed, é 🐞, {number}"},
        ],
        [],
    ]
    return choose.choice(kinds)
