"""The items of a bulk, and their results."""

from collections.abc import Iterable
from itertools import chain
from typing import Literal

import msgspec

from ctisync.core.model import Record


class BulkAction(msgspec.Struct, frozen=True):
    """One item of a bulk. `parts` are the pieces of its one or two lines, with newlines: a record's line is
    the largest part by far, and is copied only when the bulk is sent. `size`: bytes in the body of a bulk."""

    kind: Literal["index", "delete"]
    name: str
    offset: int
    size: int
    parts: tuple[bytes, ...]

    def has(self, record: Record) -> bool:
        """Whether it writes this record's line."""
        return record.line in self.parts


class RecordVersion(msgspec.Struct, frozen=True):
    """The version of a record that the store holds. `version` is the record's offset; the other two are
    OpenSearch's sequence number and primary term."""

    version: int
    seq_no: int
    primary_term: int


class Sent(msgspec.Struct):
    """The result of a bulk.

    `created`: the number of new records. `stands`: the stored version of each record that was written, None
    for a deleted one. `conflicts`: actions that met another version. `turned_away`: how often a busy node
    rejected some items first.
    """

    created: int = 0
    stands: dict[str, RecordVersion | None] = {}
    conflicts: list[BulkAction] = []
    turned_away: int = 0


def index(record: Record) -> BulkAction:
    """Write the record, unless one with an offset as high is stored."""
    head = b'{"index":{"_id":%b,"version":%d,"version_type":"external"}}\n'
    line = head % (msgspec.json.encode(record.name), record.offset)
    size = len(line) + len(record.line) + 1
    return BulkAction("index", record.name, record.offset, size, (line, record.line, b"\n"))


def delete(name: str, offset: int, stored: RecordVersion) -> BulkAction:
    """Delete the record, if it still has the version `stored`."""
    head = b'{"delete":{"_id":%b,"if_seq_no":%d,"if_primary_term":%d}}\n'
    line = head % (msgspec.json.encode(name), stored.seq_no, stored.primary_term)
    return BulkAction("delete", name, offset, len(line), (line,))


def body(actions: Iterable[BulkAction]) -> bytes:
    """The request body of a bulk of these actions."""
    return b"".join(chain.from_iterable(action.parts for action in actions))
