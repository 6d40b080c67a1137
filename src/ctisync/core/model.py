"""The nouns of a pass, as frozen values.

A *consumer* of a *context* is what the CTI API lets one follow. Its content is a set of *records*;
a *snapshot* holds all of them as of one *offset*, a *change* alters one *resource* (the record of
that name) and has the next offset.
"""

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal

import msgspec

from ctisync.core.links import public_link

Json = Any
"""A decoded JSON value: dict, list, str, int (exact), Decimal (never float), bool or None."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time that says what it is relative to: one that does not can be compared with none that does."""

MAX_RANGE: Final = 1000
"""The most offsets that the API hands out in one request (it answers 422 beyond)."""

MAX_OFFSET: Final = 2**63 - 1
"""Offsets beyond a signed 64-bit number sink a whole bulk, so they are refused when read."""

MAX_NAME_BYTES: Final = 512
"""OpenSearch takes no longer document id; SQLite follows so that both hold the same content."""


class Consumer(msgspec.Struct, frozen=True):
    """One configured consumer: what is followed, and where readers find it."""

    context: str = "vd_1.0.0"
    name: str = "vd_4.8.0"
    index: str = "wazuh-cve"
    resources: tuple[str, ...] = ("*",)

    def wants(self, resource: str) -> bool:
        """Whether a record of this name belongs to the content (shell-style patterns)."""
        return any(fnmatchcase(resource, pattern) for pattern in self.resources)

    def __str__(self) -> str:
        return f"{self.context}/{self.name}"


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot: its link, as it may be stored and shown, and the offset that it stands for.

    `address` is where it lies when the link keeps something back; it is neither stored nor shown. `exact`:
    none of its records is newer, as a person says.
    """

    link: str
    offset: int
    address: str = ""
    exact: bool = False

    @classmethod
    def announced(cls, link: str, offset: int) -> "Snapshot":
        """With a link as the feed, or a person, gives it."""
        public = public_link(link)
        return cls(public, offset, "" if public == link else link)


class ConsumerInfo(msgspec.Struct, frozen=True):
    """What the feed says of a consumer; None is a null or an absent field."""

    last_offset: int | None
    snapshot: Snapshot | None


class Holding(msgspec.Struct, frozen=True):
    """What a store holds of one consumer: nothing, by default.

    `places`: the indices, or the file, that its contents lie in; `records` of the live content, None without
    one; `bytes` of all contents as they are stored, None when the store does not tell; `passes`: how many the
    history has; `state`: whether there is one.
    """

    places: tuple[str, ...] = ()
    records: int | None = None
    bytes: int | None = 0
    passes: int = 0
    state: bool = False


class OffsetRange(msgspec.Struct, frozen=True):
    """The offsets (after, to]: `after` is exclusive, `to` inclusive, as in the API."""

    after: int
    to: int

    def __str__(self) -> str:
        return f"({self.after}, {self.to}]"

    @property
    def first_half(self) -> "OffsetRange":
        """Itself, when it has but one offset."""
        return OffsetRange(self.after, self.after + (self.to - self.after + 1) // 2)


class Record(msgspec.Struct, frozen=True):
    """A record as it is stored: `line` is its NDJSON line (UTF-8, without the newline).

    The line is an object with `name`, `offset`, `version`, `inserted_at` and `payload`, as in a
    snapshot; `name` and `offset` here repeat the line's.
    """

    name: str
    offset: int
    line: bytes


class Change(msgspec.Struct, frozen=True):
    """One entry of the change log. `create` has a payload, `update` operations, `delete` neither."""

    offset: int
    type: Literal["create", "update", "delete"]
    resource: str
    version: int | None = None
    inserted_at: str | None = None
    payload: dict[str, Json] | None = None
    operations: list[Json] | None = None


class Put(msgspec.Struct, frozen=True):
    """Store this record, whatever stood under its name."""

    record: Record

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def offset(self) -> int:
        return self.record.offset


class Delete(msgspec.Struct, frozen=True):
    """Remove the record of this name; `offset` is that of the deleting change."""

    name: str
    offset: int


Write = Put | Delete
