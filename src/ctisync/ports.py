"""The outside of a pass as contracts: what each adapter promises.

Every method may raise a `CtisyncError`; nothing else leaves an adapter, neither while a call is
made nor while what it returned is iterated. `tests/contract/` holds every store to this text.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, BinaryIO, Literal, Protocol

from ctisync.core.findings import Finding
from ctisync.core.health import CheckResult
from ctisync.core.model import Change, Consumer, ConsumerInfo, Footprint, OffsetRange, Record, Snapshot, Write
from ctisync.core.pass_report import FactsFill, PassReport, Traffic, Work
from ctisync.core.state import ConsumerState, RefusedSnapshot, Summary

Level = Literal["debug", "info", "warning", "error"]


class Clock(Protocol):
    """Time, so that tests need not wait for it."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None: ...


class Progress(Protocol):
    """One bar. Amounts are absolute, in the bar's unit."""

    def reached(self, amount: int) -> None: ...


class Log(Protocol):
    """Where a pass says what it decided and why; never a reason to fail."""

    def event(self, level: Level, event: str, **fields: Any) -> None:
        """One line: `event` in kebab-case, `fields` by the names of the glossary (offset, range, ...). From
        any thread."""

    def progress(
        self, step: str, total: int | None, unit: Literal["bytes", "records", "offsets"]
    ) -> AbstractContextManager[Progress]:
        """A bar for a person at a terminal; nothing at all elsewhere."""

    def pause(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Sleep that long, once or piece by piece, while a person at a terminal sees the time that is left.
        From any thread."""


LineReader = Callable[[Sequence[bytes]], Sequence[Record | None]]
"""Returns the record of each line that is one and within the limits; None for a line on which it does not
decide."""


class SnapshotFile(Protocol):
    """A snapshot on this machine's disk: complete as far as its size can tell, or still coming in."""

    @property
    def size(self) -> int | None:
        """Bytes of the file, for progress; None when that shows only in the end."""

    @property
    def position(self) -> int:
        """Bytes of the file that `records` has read so far."""

    def check_disk_space(self) -> None:
        """Raises StoreUnavailable if the free disk space is too small for its records, as far as both are
        known."""

    def member_names(self) -> list[str]:
        """The names of its members with records, if it is an archive."""

    def records(self, highest_offset: int) -> Iterator[list[Record]]:
        """All records, in the file's order, in batches of at most a few MB.

        Raises SnapshotRefused for a line that is no record (naming the line and what is wrong with
        it), for one above `highest_offset`, for damage, and *at the end* for a wrong CRC or size and
        when there was no record at all: what was handed out before is worth nothing until the
        iterator has ended by itself. Of a file that is still coming in, raises as `Feed.open_snapshot` says.
        """

    def close(self) -> None:
        """Nothing of it is read any more. What has come in stays for another pass."""

    def as_refused(self, reason: str) -> RefusedSnapshot:
        """How this file is recognised when the feed offers it again."""

    def discard(self) -> None:
        """Remove it, when it is ours to remove: it was loaded, or it is no good. Best effort."""


class PassFeed(Protocol):
    """The feed of one consumer as a pass needs it (its time budget is the pass's).

    Raises FeedUnreachable for what may be gone later (after retries within the budget),
    AccessRefused for what a person must mend, FeedRefused for data that cannot be used.
    """

    def consumer_info(self) -> ConsumerInfo: ...

    def changes(self, offsets: OffsetRange) -> list[Change]:
        """All changes of the range, strictly ascending, complete: gaps were confirmed.

        Raises ReplyTooLarge when that is more than may be asked for at once.
        """

    def prefetch(self, offsets: OffsetRange) -> None:
        """Begin to fetch the changes of this range beside what the caller does next.

        `changes` with this very range takes the answer, waiting for it, and raises what stood in its way:
        nothing is raised here. Any other call waits for it, too, and drops it.
        """

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> SnapshotFile:
        """Download it beside the state, going on from what an earlier pass left of the same file.

        Raises SnapshotRefused: before any body is read, when the server still offers `refused` (same
        link, ETag and size); with its `body` set, when only the download showed that it is no good.
        `keep_alive` is called every now and then.
        """

    def open_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> SnapshotFile:
        """The same, without waiting for its end: what is not here yet comes while its `records` are read,
        which then raise what `fetch_snapshot` would, and SnapshotChanged when the server sends another file
        than it has begun with: all of it has to be fetched then. To be closed.
        """

    def tidy(self) -> None:
        """Remove what dead passes have left of downloads: no snapshot is needed any more."""


class Feed(PassFeed, Traffic, Protocol):
    """A feed as commands need it: what it did, what it offers, and snapshots from elsewhere.

    `wiring.FEEDS` has the feeds by the scheme of `cti.url`: another kind of feed is a class with these
    methods, and an entry there.
    """

    def check_time(self) -> None:
        """Raises FeedUnreachable if the time of the pass is over."""

    def snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        """The size of an offered snapshot in bytes; None if the feed does not report it. Raises nothing."""

    def diagnose(self) -> tuple[list[CheckResult], int | None]:
        """Whether passes can read the feed, without retries; and the bytes of the offered snapshot, None if
        there is none or its size is unknown. An error becomes a result."""

    def fetch_from(self, url: str, keep_alive: Callable[[], None]) -> SnapshotFile:
        """The snapshot at an address that you passed. Raises UsageError for an address that cannot be used,
        and what `fetch_snapshot` raises."""

    def store_stream(self, stream: BinaryIO, link: str) -> SnapshotFile:
        """A snapshot from a pipe. It is read more than once, so it is stored until it is discarded. Raises
        StoreUnavailable, and SnapshotRefused if it is larger than limits.snapshot_bytes."""


class CommandManager(Protocol):
    def send_update(self, index: str, offset: int) -> None:
        """Tell readers that `index` now holds the content of `offset`.

        Returns when the command was accepted; raises CommandNotAccepted otherwise. Never
        interprets silence as acceptance.
        """


class Load(Protocol):
    """A new content, being built beside the live one and invisible to readers."""

    def add(self, records: Sequence[Record]) -> None:
        """Take these records in. Of two with one name the higher offset stays, the first when equal.

        They may be written later, and what then goes wrong be raised by a later call: by `publish` at
        the latest.
        """

    @property
    def ambiguous(self) -> int:
        """The number of lines with name and offset of another one, but another text. The first stays."""

    def publish(self, after: ConsumerState) -> int:
        """Check what was built against what was added, then make it live together with `after`.

        Readers see either the old content or the whole new one. Returns the number of records.
        After a crash anywhere in here a later pass finds the old content with the old state, or
        the new one with `after` (a store that needs two writes settles that when it takes its
        lease). Raises StoreUnavailable when the store holds another number of records than it took.
        """


class Writer(Protocol):
    """The right to change one consumer's state and content; there is one at a time.

    A writer whose lease was taken over raises AnotherPass at its next write, which has no effect.
    """

    @property
    def state(self) -> ConsumerState:
        """As stored, after everything that this writer has written."""

    def save(self, state: ConsumerState) -> None:
        """Store the state; the content stays as it is. An offset may only go down here."""

    def load(self, snapshot: Snapshot) -> AbstractContextManager[Load]:
        """Begin a new content. Leaving without `publish` removes what was built, if it can."""

    def read_in_parts(self, names: Sequence[str]) -> Iterator[tuple[Sequence[str], dict[str, Record]]]:
        """Some of the names at a time, so that few records are in memory at once, with those of their records
        that the live content contains, as last written. What was read holds when the iterator has ended by
        itself. A failed read is an error, never a missing record."""

    def save_later(self, state: ConsumerState) -> None:
        """As `save`, but stored together with the next write, and at the latest when the writer lets go; only
        then, and best effort. For what a pass that dies may lose."""

    def apply(
        self, writes: Sequence[Write], after: ConsumerState, meanwhile: Callable[[], int | None] | None = None
    ) -> bool:
        """Write a folded range to the live content, then `after`, whose offset is the range's end.

        One transaction, or an order in which a crash leaves `range_to` behind so that the next pass
        folds and writes the same range again. A record that already stands at a write's offset is
        left alone; one above it is never taken back, and a store may stop there (StoreUnavailable): no
        pass writes one, so another program has. A write counts only if the store has confirmed it.

        A store that waits for its writes may call `meanwhile`, once and from another thread, which may read
        records and nothing else: records that are being written are read as they will be. It returns the end
        of the next range if it has folded that one, and `range_to` is then stored with `after`. Its errors
        are bugs. Returns whether it was called and what it has read holds; else it counts as not called.
        """

    def make_searchable(self) -> None:
        """Afterwards readers find all that was written: called before a command is sent, or would be. A
        writer that lets go without it tries the same, so that a pass which failed half-way hides nothing."""

    def keep_alive(self) -> None:
        """Renew the lease if it is due; called while a long step writes nothing."""

    def fill_facts(self, check: Callable[[], None]) -> FactsFill | None:
        """Bring the facts index in step with the live content, or remove it if the settings do not want one.
        None if there was nothing to do. Content and state stay as they are, also if `check` raises."""


class Inspection(Protocol):
    """One consumer's state and live content as they are kept, for `verify`: read only, and from one moment
    as far as the store can. A record's name and offset are those that the store keeps beside the line; the
    line itself has not been decoded, and they are not compared with it."""

    @property
    def state(self) -> ConsumerState: ...

    def findings(self, *, deep: bool) -> Iterator[Finding]:
        """What is wrong with the store's own make: damage, structure, generations, signs of dead writers.

        What a later pass settles is a note or an unsettled state, no difference. `deep` may take as
        long as reading everything does.
        """

    def hidden(self) -> str | None:
        """What a role hides of the live content from the user of the store, so that counts, lines and
        findings cover the rest alone; None when there is no sign of it."""

    def count(self) -> int | None:
        """Records in the live content; None when there is none."""

    @property
    def generation(self) -> str | None:
        """What tells the live content from that of any other load; None when there is none."""

    def scan(self, above: int = -1) -> Iterator[Record]:
        """Every record of the live content with a higher offset once, in any order; none when there is no
        content."""

    def names(self) -> Iterator[str]:
        """The name of every record of the live content once, in any order."""

    def lookup(self, names: Collection[str]) -> dict[str, Record]:
        """Those of these records that the live content holds."""

    def missing(self, names: Collection[str]) -> set[str]:
        """Those of these names of which the live content has no record."""

    def neighbours(self, name: str, most: int) -> list[str]:
        """At most so many names of the live content before `name`, and as many behind it, in their order
        (by UTF-8 bytes); not `name` itself."""


class InspectedStore(Protocol):
    """A store as `verify`, and commands that look up records, need it."""

    @property
    def name(self) -> str:
        """Its URL without credentials, for people."""

    def inspect(self, consumer: Consumer) -> AbstractContextManager[Inspection]:
        """Read closely what is stored, without a lease and without a write. Raises as `read_state` does;
        what `read_state` would refuse for its meaning, but can be read, is in the findings."""


class PassStore(InspectedStore, Protocol):
    """A store as a pass needs it."""

    def read_state(self, consumer: Consumer) -> ConsumerState:
        """What is stored, without a lease and without a write; an empty state when nothing is. Raises
        ConfigurationError when the store was written by a newer ctisync."""

    def facts_behind(self, consumer: Consumer) -> bool:
        """Whether `Writer.fill_facts` has something to do, as far as `read_state` has just shown."""

    def record_check(self, consumer: Consumer, state: ConsumerState) -> None:
        """Remember `state`, which differs from the one of `read_state` only in what the feed answered and
        when, in the cool-down, and in what was alerted.

        Best effort, without a lease: when another writer is at work, the other writer stores it.
        """

    def writer(self, consumer: Consumer) -> AbstractContextManager[Writer]:
        """Take the lease, settle what a dead writer left, clean up; let it go at the end.

        Raises AnotherPass when another writer holds it.
        """


class DiagnosedStore(Protocol):
    """A store as `doctor` and `status` need it: whether passes find what they need there."""

    def diagnose(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        """Whether passes over these consumers can do with the store as it is: reached, ours, of a version
        that we know, writable as far as looking tells. Nothing is written, made or migrated.

        What is wrong is a result, not an error, and hides nothing that can be looked at without it.
        """

    def refusals(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        """What keeps passes over these consumers from writing, as far as looking tells: failed results
        alone. What cannot be looked at, such as for want of a privilege, is none. Nothing is written."""

    def certificates(self) -> Iterator[tuple[str, datetime]]:
        """Those that the store and its user show each other, by their names for people, and until when they
        are valid; as far as that can be told."""

    def work(self, consumer: Consumer) -> Work | None:
        """The pass that works on this consumer now, as far as the store knows; it may have died."""


class HistoryStore(Protocol):
    """Where the reports of passes are kept."""

    def remember(self, report: PassReport, keep: int, within: float) -> None:
        """Add a pass that has ended to its consumer's history; the `keep` that were remembered last stay.

        State and content have nothing to do with it, no lease is needed, and it may fail: within so many
        seconds, and a pass that was remembered twice is there once.
        """

    def passes(self, consumer: Consumer, most: int, *, touched: bool = False) -> Iterator[PassReport]:
        """At most so many passes over this consumer, the one that was remembered last first; without what
        they `touched`, unless asked for. None at all where there is no history."""


class Store(PassStore, DiagnosedStore, HistoryStore, Protocol):
    """Where content, state and history are kept."""

    def summary(self, consumer: Consumer) -> Summary:
        """The state and what readers find, without a lease and without a write. Raises as `read_state` does.

        A pass needs the state alone: counting records may take the store longer than the rest.
        """

    def export(self, consumer: Consumer) -> Iterator[bytes]:
        """The live content's lines without newlines, ascending by name (by UTF-8 bytes), from one
        moment: a swap meanwhile does not show. Raises EmptyStore when there is no content."""

    def consumers(self) -> list[Consumer]:
        """Those of which a content is stored, be it only begun, in the order of their names; also those that
        no setting names. Context and name are right, the rest is the default."""

    def footprint(self, consumer: Consumer) -> Footprint:
        """What `forget` would remove. Nothing is written, or migrated."""

    def forget(self, consumer: Consumer) -> None:
        """Remove content, state, history and lease of this consumer, and nothing of another's. It is known by
        its context and name alone: its index need not be that of the stored content.

        The lease is taken first: raises AnotherPass when another writer holds it. Where nothing is held,
        nothing is written. Killed at any point, it has left the old content with its state, or none that
        readers find and a state without offset; the next call, or a pass, then finishes it.
        """

    def close(self) -> None: ...
