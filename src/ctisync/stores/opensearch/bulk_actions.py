"""What is done to records: the items of a bulk, and what became of them."""

from collections.abc import Iterable
from itertools import chain
from typing import Literal

import msgspec

from ctisync.core.model import Record


class BulkAction(msgspec.Struct, frozen=True):
    """One item of a bulk. `parts` are its line, or its two lines, with newlines: a record's own line is the
    largest by far, and copied only when the bulk is sent."""

    kind: Literal["index", "delete"]
    name: str
    offset: int
    parts: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.parts))


class RecordVersion(msgspec.Struct, frozen=True):
    """Which version of a record stands in the store; `version` is the record's offset."""

    version: int
    seq_no: int
    primary_term: int


class Sent(msgspec.Struct):
    """What became of a bulk: how many records are new, how each that was written now stands (None: it is
    gone), which actions met another version, and how often a busy node turned some away first."""

    created: int = 0
    stands: dict[str, RecordVersion | None] = {}
    conflicts: list[BulkAction] = []
    turned_away: int = 0


def index(record: Record) -> BulkAction:
    head = b'{"index":{"_id":%b,"version":%d,"version_type":"external"}}\n'
    line = head % (msgspec.json.encode(record.name), record.offset)
    return BulkAction("index", record.name, record.offset, (line, record.line, b"\n"))


def delete(name: str, offset: int, stored: RecordVersion) -> BulkAction:
    head = b'{"delete":{"_id":%b,"if_seq_no":%d,"if_primary_term":%d}}\n'
    line = head % (msgspec.json.encode(name), stored.seq_no, stored.primary_term)
    return BulkAction("delete", name, offset, (line,))


def body(actions: Iterable[BulkAction]) -> bytes:
    """What is sent of these."""
    return b"".join(chain.from_iterable(action.parts for action in actions))
