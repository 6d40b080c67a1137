"""What happens to the feed after its snapshot: mostly updates whose patches touch little, as in the real one.

Each change is made twice: on the record itself, and as what a client has to apply; so the lines that a
store must hold afterwards do not depend on any code that reads the feed.
"""

import random
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from bench.feed.records import FIRST_OFFSET, Records
from ctisync.core.model import MAX_RANGE
from ctisync.demo import CONTEXT

Json = Any

_UPDATES: Final = 0.95
_CREATES: Final = 0.03
"""Shares of all changes; the rest are deletes."""

_AGAIN: Final = 0.1
"""Share of the updates that meet one of the records that were updated last."""

_DAY: Final = "2025-05-05T15:46:01.391685Z"


class Write(msgspec.Struct, frozen=True, array_like=True):
    """What a range comes to for one record: its line with the range's last offset for it, or None: gone."""

    name: str
    offset: int
    line: bytes | None


class Range(NamedTuple):
    """The changes with offsets in (after, to], as JSON texts in that order; one for each offset.

    `reads` are the records that a client needs for it, `writes` what it has to write.
    """

    after: int
    to: int
    changes: list[bytes]
    reads: list[str]
    writes: list[Write]


class Life:
    """The feed's records as they live on. Keeps the line of each record that has changed so far."""

    def __init__(self, records: Records, seed: int) -> None:
        self.last_offset = FIRST_OFFSET + records.count
        self._records = records
        self._chance = random.Random(~seed)
        self._lines: dict[str, bytes] = {}
        self._alive = list(range(records.count))
        self._chance.shuffle(self._alive)
        self._turn = 0
        self._lately: deque[int] = deque(maxlen=50)
        self._made = records.count

    def ranges(self, changes: int) -> Iterator[Range]:
        """The next so many changes, in ranges as large as the API allows."""
        for start in range(0, changes, MAX_RANGE):
            yield self._range(min(MAX_RANGE, changes - start))

    def _range(self, changes: int) -> Range:
        after = self.last_offset
        served: list[bytes] = []
        reads: dict[str, None] = {}
        touched: dict[str, Write] = {}
        for _ in range(changes):
            self.last_offset += 1
            name, change = self._next_change()
            if change["type"] == "update" and name not in touched:
                reads[name] = None
            touched[name] = Write(name, self.last_offset, self._lines.get(name))
            served.append(msgspec.json.encode(change))
        return Range(after, self.last_offset, served, list(reads), list(touched.values()))

    def _next_change(self) -> tuple[str, Json]:
        dice = self._chance.random()
        if dice < _UPDATES:
            return self._update()
        return self._create() if dice < _UPDATES + _CREATES else self._delete()

    def _update(self) -> tuple[str, Json]:
        again = self._lately and self._chance.random() < _AGAIN
        number = self._chance.choice(self._lately) if again else self._next_alive()
        self._lately.append(number)
        name = self._records.name(number)
        record = msgspec.json.decode(self._lines.get(name) or self._records.line(number))
        operations = _edited(record["payload"], self._chance)
        record["offset"], record["version"] = self.last_offset, record["version"] + 1
        self._lines[name] = msgspec.json.encode(record)
        return name, self._change("update", name, record["version"], operations=operations)

    def _create(self) -> tuple[str, Json]:
        number, self._made = self._made, self._made + 1
        name = self._records.name(number)
        record = msgspec.json.decode(self._records.line(number))
        record |= {"offset": self.last_offset, "version": 1, "inserted_at": _DAY}
        self._lines[name] = msgspec.json.encode(record)
        self._alive.append(number)
        return name, self._change("create", name, 1, payload=record["payload"])

    def _delete(self) -> tuple[str, Json]:
        number = self._next_alive()
        self._alive[self._turn - 1] = self._alive[-1]
        self._alive.pop()
        self._lately = deque((each for each in self._lately if each != number), self._lately.maxlen)
        name = self._records.name(number)
        self._lines.pop(name, None)
        return name, self._change("delete", name, 100)

    def _next_alive(self) -> int:
        """Each record once before any comes for the second time."""
        self._turn = self._turn % len(self._alive) + 1
        return self._alive[self._turn - 1]

    def _change(self, kind: str, name: str, version: int, **content: Json) -> Json:
        return {
            "offset": self.last_offset,
            "type": kind,
            "version": version,
            "context": CONTEXT,
            "resource": name,
            "inserted_at": _DAY,
            **content,
        }


def _edited(payload: Json, chance: random.Random) -> list[Json]:
    """Change a payload, and tell how as the operations of RFC 6902."""
    number = chance.randint(1000, 999_999)
    if "containers" not in payload:
        payload["translation"][0]["product"] = f"product_{number}"
        return [{"op": "replace", "path": "/translation/0/product", "value": f"product_{number}"}]
    containers = payload["containers"]
    cna = containers["cna"]
    match chance.randrange(4):
        case 0:
            text = f"{cna['descriptions'][0]['value']} Analysis {number}."
            cna["descriptions"][0]["value"] = text
            return [{"op": "replace", "path": "/containers/cna/descriptions/0/value", "value": text}]
        case 1:
            reference = {"url": f"https://advisories.example.org/{number}"}
            cna["references"].append(reference)
            return [{"op": "add", "path": "/containers/cna/references/-", "value": dict(reference)}]
        case 2:
            update = f"KB{number}"
            if "x_remediations" in cna:
                cna["x_remediations"]["windows"][0]["anyOf"].append(update)
                path = "/containers/cna/x_remediations/windows/0/anyOf/-"
                return [{"op": "add", "path": path, "value": update}]
            cna["x_remediations"] = {"windows": [{"anyOf": [update], "type": "update"}]}
            value = {"windows": [{"anyOf": [update], "type": "update"}]}
            return [{"op": "add", "path": "/containers/cna/x_remediations", "value": value}]
        case _:
            return _fixed_in(containers, f"0:{number}-2", chance)


def _fixed_in(containers: Json, version: str, chance: random.Random) -> list[Json]:
    """Other versions for some entries of one container."""
    where, container = "/containers/cna", containers["cna"]
    if containers["adp"]:
        place = chance.randrange(len(containers["adp"]))
        where, container = f"/containers/adp/{place}", containers["adp"][place]
    entries = container["affected"]
    operations = []
    for place in sorted(chance.sample(range(len(entries)), min(len(entries), 3))):
        entries[place]["versions"][0]["lessThan"] = version
        path = f"{where}/affected/{place}/versions/0/lessThan"
        operations.append({"op": "replace", "path": path, "value": version})
    return operations
