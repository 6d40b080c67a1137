"""What is done to records: the items of a bulk, and what became of them."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from ctisync.core.model import Record


class Action(msgspec.Struct, frozen=True):
    """One item of a bulk: `text` is its line, or its two lines, with newlines."""

    kind: Literal["index", "delete"]
    name: str
    offset: int
    text: bytes


class Stored(msgspec.Struct, frozen=True):
    """Which version of a record stands in the store; `version` is the record's offset."""

    version: int
    seq_no: int
    primary_term: int


class Sent(msgspec.Struct):
    """What became of a bulk: how many records are new, which actions met another version, and how often a
    busy node turned some away before it took them."""

    created: int = 0
    conflicts: list[Action] = []
    turned_away: int = 0


def index(record: Record) -> Action:
    head = b'{"index":{"_id":%b,"version":%d,"version_type":"external"}}\n'
    text = head % (msgspec.json.encode(record.name), record.offset) + record.line + b"\n"
    return Action("index", record.name, record.offset, text)


def delete(name: str, offset: int, stored: Stored) -> Action:
    head = b'{"delete":{"_id":%b,"if_seq_no":%d,"if_primary_term":%d}}\n'
    text = head % (msgspec.json.encode(name), stored.seq_no, stored.primary_term)
    return Action("delete", name, offset, text)


def bulks(actions: Iterable[Action], most_bytes: int) -> Iterator[list[Action]]:
    """The actions in bulks of at most so many bytes, or of one action."""
    bulk: list[Action] = []
    size = 0
    for action in actions:
        if bulk and size + len(action.text) > most_bytes:
            yield bulk
            bulk, size = [], 0
        bulk.append(action)
        size += len(action.text)
    if bulk:
        yield bulk
