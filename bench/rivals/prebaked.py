"""A snapshot as the body of one endless bulk, so that any piece of it can be sent as it lies there."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.feed.files import Snapshot


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A record in the file: its bulk item begins at `item`, its line at `line`, both end at `end`, behind the
    newline."""

    name: str
    offset: int
    item: int
    line: int
    end: int


class Row(NamedTuple):
    """Of a SQLite table, ready to be bound."""

    name: str
    offset: int
    line: memoryview


class Prebaked:
    """The file is mapped into memory: what is handed out takes none."""

    def __init__(self, snapshot: Snapshot) -> None:
        path, index = snapshot.path.with_name("bulk.ndjson"), snapshot.path.with_name("bulk.json")
        if not index.exists():
            index.write_bytes(msgspec.json.encode(list(_written(snapshot, path))))
        self.places = msgspec.json.decode(index.read_bytes(), type=list[Place])
        with path.open("rb") as file:
            self._text = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def bodies(self, body_bytes: int) -> list[memoryview]:
        """All of it in bulk bodies of about that size."""
        bodies, start = [], 0
        for place in self.places:
            if place.end - start >= body_bytes:
                bodies.append(self._text[start : place.end])
                start = place.end
        if start < len(self._text):
            bodies.append(self._text[start:])
        return bodies

    def rows(self) -> list[Row]:
        """All records; their lines without newlines."""
        return [Row(each.name, each.offset, self._text[each.line : each.end - 1]) for each in self.places]


class _Head(msgspec.Struct, frozen=True):
    name: str
    offset: int


def _written(snapshot: Snapshot, path: Path) -> Iterator[Place]:
    decoder, item = msgspec.json.Decoder(_Head), 0
    with path.open("wb") as file:
        for line in snapshot.lines():
            head = decoder.decode(line)
            action = index_action(head.name, head.offset)
            file.write(action + line)
            end = item + len(action) + len(line)
            yield Place(head.name, head.offset, item, item + len(action), end)
            item = end


def index_action(name: str, offset: int) -> bytes:
    """The first of an item's two lines. With the version that keeps an older record from coming later."""
    return b'{"index":{"_id":"%b","version":%d,"version_type":"external"}}\n' % (name.encode(), offset)
