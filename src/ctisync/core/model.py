"""The nouns of a pass, as frozen values.

A *consumer* of a *context* is a feed of the CTI API. Its content is a set of *records*; a *snapshot* has
all of them as of one *offset*, a *change* alters one *resource* (the record of that name) and has the next
offset.
"""

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal

import msgspec

from ctisync.core.links import public_link

Json = Any
"""A decoded JSON value: dict, list, str, int (exact), Decimal (never float), bool or None."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with a time zone. One without cannot be compared with it."""

MAX_RANGE: Final = 1000
"""The highest number of offsets in one request (API fact: it answers 422 to more)."""

MAX_OFFSET: Final = 2**63 - 1
"""An offset beyond a signed 64-bit number makes a whole bulk fail, so it is refused when read."""

MAX_NAME_BYTES: Final = 512
"""OpenSearch accepts no longer document id. The limit holds for SQLite too, so that contents are equal."""


class Consumer(msgspec.Struct, frozen=True):
    """One configured consumer: its context and name in the feed, and the index where readers find it."""

    context: str = "vd_1.0.0"
    name: str = "vd_4.8.0"
    index: str = "wazuh-cve"
    resources: tuple[str, ...] = ("*",)

    def selects(self, resource: str) -> bool:
        """Whether a record of this name belongs to the content (shell-style patterns)."""
        return "*" in self.resources or any(fnmatchcase(resource, pattern) for pattern in self.resources)

    def __str__(self) -> str:
        return f"{self.context}/{self.name}"


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot: its link, as it may be stored and shown, and its offset.

    `address`: the full address, if the link omits a part of it; it is neither stored nor shown. `exact`: none
    of its records is newer than its offset (you passed the offset).
    """

    link: str
    offset: int
    address: str = ""
    exact: bool = False

    @classmethod
    def announced(cls, link: str, offset: int) -> "Snapshot":
        """From a link of the feed, or one that you passed."""
        public = public_link(link)
        return cls(public, offset, "" if public == link else link)


Information = dict[str, str | int | bool | None]
"""What a mirror keeps of the feed's information about a consumer: single values, and no link."""


class Mirrored(msgspec.Struct, frozen=True):
    """What only a mirror says: when the feed itself last answered, and the offset after which its changes
    begin. `serial`: of its manifest. `key`: the trusted key that has signed it, None without one."""

    checked_at: Moment
    floor: int
    serial: int = 0
    key: str | None = None


class ConsumerInfo(msgspec.Struct, frozen=True):
    """The feed's information about a consumer; None is a null or a missing field (API fact: both occur).

    `identity`: tells the consumer from another one of its name. `mirror`: None if it is the feed itself.
    """

    last_offset: int | None
    snapshot: Snapshot | None
    is_public: bool | None = None
    identity: str | None = None
    mirror: Mirrored | None = None


class Footprint(msgspec.Struct, frozen=True):
    """What a store holds of one consumer; by default nothing.

    `places`: the indices, or the file, with its contents. `records`: of the live content, None without one.
    `bytes`: stored bytes of all contents, None if unknown. `passes`: the number in the history. `state`:
    whether there is a state.
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
        """The first half; the range itself if it has only one offset."""
        return OffsetRange(self.after, self.after + (self.to - self.after + 1) // 2)


class Record(msgspec.Struct, frozen=True):
    """A stored record. `line`: its NDJSON line (UTF-8, without the newline).

    The line is an object with `name`, `offset`, `version`, `inserted_at` and `payload`, as in a snapshot.
    `name` and `offset` are copies of the line's.
    """

    name: str
    offset: int
    line: bytes


class Change(msgspec.Struct, frozen=True):
    """One entry of the change log. `create` has a payload, `update` operations, `delete` neither.

    A `create` without a payload is empty: it makes no record, and leaves one that is there as it is (API
    fact).
    """

    offset: int
    type: Literal["create", "update", "delete"]
    resource: str
    version: int | None = None
    inserted_at: str | None = None
    payload: dict[str, Json] | None = None
    operations: list[Json] | None = None

    @property
    def is_empty(self) -> bool:
        return self.type == "create" and self.payload is None

    @property
    def mark(self) -> "ChangeMark":
        return ChangeMark(self.offset, self.inserted_at)


class ChangeMark(msgspec.Struct, frozen=True):
    """Tells a change from one that another history has at its offset."""

    offset: int
    inserted_at: str | None


class Delete(msgspec.Struct, frozen=True):
    """Remove the record of this name; `offset` is that of the deleting change."""

    name: str
    offset: int


Write = Record | Delete
"""A record to store, which replaces an older one of its name; or the removal of one."""
