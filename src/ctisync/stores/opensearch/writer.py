"""A writer of one consumer: applies ranges and loads contents. The order of its writes matters."""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

from msgspec.structs import replace

from ctisync import hints
from ctisync.core.model import Record, Snapshot, Write
from ctisync.core.pass_report import FactsFill
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.errors import AnotherPass, ConfigurationError, StoreUnavailable
from ctisync.stores import invariants
from ctisync.stores.opensearch.bulk import BulkAction, BulkResult, RecordVersion, delete, index
from ctisync.stores.opensearch.client import Client
from ctisync.stores.opensearch.facts_index import FactsIndex
from ctisync.stores.opensearch.fencing import FencedLease
from ctisync.stores.opensearch.generations import Generations
from ctisync.stores.opensearch.indices import count_records, fence_is_gone, refresh
from ctisync.stores.opensearch.lease import LeaseHolder
from ctisync.stores.opensearch.records import Records
from ctisync.stores.opensearch.security import check_nothing_hidden
from ctisync.stores.opensearch.state_document import StateEntry, Swap
from ctisync.system import process
from ctisync.system.process import HURRY, is_stop
from ctisync.system.threads import start_on_thread, submit

_OUT_OF_REACH: Final = (AnotherPass, StoreUnavailable, ConfigurationError)
"""Errors that may end a clean-up; the next pass then does it. A signal is none of them."""

READ_AT_ONCE: Final = 250
"""Names in a request of `read_in_parts`."""

_WAIT: Final = 1.0
"""Seconds of waiting between two renewals of the lease, where they are due."""

_MOST_DELETED: Final = 10_000
"""Names of deleted records that are remembered. For more, the names of the facts index are compared."""

Versions = dict[str, RecordVersion | None]
"""By name; None: there is no such record."""


class _StoredVersions(NamedTuple):
    """The stored versions before a range is written: of the records that were `read` for it, and of those
    that the range before has `written`."""

    read: Versions
    written: Versions


class OpenSearchWriter:
    """`ports.Writer`. Records are written through the fence on the live generation, the state through the
    lease."""

    def __init__(
        self, client: Client, lease: LeaseHolder, generations: Generations, records: Records
    ) -> None:
        self._client = client
        self._lease = lease
        self._generations = generations
        self._records = records
        self._fenced = FencedLease(lease, generations)
        self._versions = _StoredVersions({}, {})
        self._being_written: dict[str, Record | None] = {}
        self._from_memory: set[str] = set()
        self._replaced: list[str] = []
        self._deleted = deque[str](maxlen=_MOST_DELETED)
        self._unsearchable = False

    def take_over(self) -> None:
        """Become the only writer. Raises AnotherPass while another pass holds the lease."""
        self._fenced.take_over()

    def let_go(self) -> None:
        """Give fences and lease back, best effort: the next pass of this host takes over the rest, or it
        expires.

        Each step runs even if another one fails: the next pass removes an alias that stays, but a lease that
        stays blocks other hosts.
        """
        if self._unsearchable:
            with suppress(*_OUT_OF_REACH), self._client.bounded(HURRY):
                self.make_searchable()
        seconds = math.inf
        try:
            self._fenced.remove_fences()
        except _OUT_OF_REACH:
            seconds = HURRY
        with suppress(*_OUT_OF_REACH), self._client.bounded(seconds):
            self._lease.release()

    @property
    def state(self) -> ConsumerState:
        return self._fenced.state

    def save(self, state: ConsumerState) -> None:
        invariants.check_save(self.state, state)
        self._commit_state(state)

    def save_later(self, state: ConsumerState) -> None:
        invariants.check_save(self.state, state)
        self._lease.save_later(state)

    def read_in_parts(self, names: Sequence[str]) -> Iterator[tuple[Sequence[str], dict[str, Record]]]:
        """Also from another thread, while `apply` writes. What is being written comes from memory.

        While the caller uses a part, the next one is read; the next two, if nothing is written meanwhile.
        """
        parts = [names[start : start + READ_AT_ONCE] for start in range(0, len(names), READ_AT_ONCE)]
        ahead = 1 if self._being_written else 2
        reads: deque[Callable[[], dict[str, Record]]] = deque()
        for number, part in enumerate(parts):
            for following in parts[number + len(reads) : number + 1 + ahead]:
                read = partial(self._read, following)
                future = submit(read, "meanwhile", start_on_thread)
                reads.append(read if future is None else future.result)
            records = reads.popleft()()
            yield part, records
            del records  # before the next part comes
        # What was read from the node, not from memory: a rule may have come since the pass began.
        if self._fenced.live is not None and not self._versions.read.keys().isdisjoint(names):
            check_nothing_hidden(self._client, self._fenced.live)

    def _read(self, names: Collection[str]) -> dict[str, Record]:
        if self._fenced.live is None:
            return {}
        in_memory = {name: self._being_written[name] for name in names if name in self._being_written}
        requested = [name for name in names if name not in in_memory]
        stored = self._records.read(self._live_fence(), requested)
        self._versions.read.update(dict.fromkeys(requested) | {name: stored[name][1] for name in stored})
        self._from_memory |= in_memory.keys()
        records = {name: record for name, (record, _) in stored.items()}
        return records | {name: record for name, record in in_memory.items() if record is not None}

    def apply(
        self, writes: Sequence[Write], after: ConsumerState, meanwhile: Callable[[], int | None] | None = None
    ) -> bool:
        """Store the end of the range, write and check each item, store the new offset; with it the end of the
        next range, if `meanwhile` has folded that one.

        In the model: announce_range, read_ahead, bulk, advance.
        """
        invariants.check_apply(self.state, writes, after)
        before, self._versions, self._from_memory = self._versions, _StoredVersions({}, {}), set()
        if self.state.range_to != after.offset:
            self._commit_state(replace(self.state, range_to=after.offset))
        self._being_written = {each.name: each if isinstance(each, Record) else None for each in writes}
        ahead = None if meanwhile is None else submit(meanwhile, "meanwhile", start_on_thread)
        try:
            written, conflicts = self._write(writes, before)
            next_end = None if ahead is None else self._wait_for(ahead)
        except BaseException as error:
            if ahead is not None:
                wait([ahead], 0 if is_stop(error) else HURRY)
            self._versions = _StoredVersions(before.read, {})
            raise
        finally:
            self._being_written = {}
        # A write that met its own version was perhaps done before. What stands then is read.
        holds = ahead is not None and self._from_memory.isdisjoint(conflicts)
        if holds and next_end is not None:
            after = replace(after, range_to=next_end)
        self._commit_state(after)
        self._versions.written.update(written)
        if meanwhile is not None:  # the records of the next range are in memory, and more will come
            process.give_back_memory()
        return holds

    def _wait_for(self, answer: Future[int | None]) -> int | None:
        while wait([answer], _WAIT).not_done:
            self.keep_alive()
        return answer.result()

    def make_searchable(self) -> None:
        if self._fenced.live is not None:
            refresh(self._client, self._live_fence())
        self._unsearchable = False

    def keep_alive(self) -> None:
        self._lease.renew_if_due()

    def fill_facts(self, check: Callable[[], None]) -> FactsFill | None:
        """See `ports.Writer.fill_facts`. Not in the model: content and state are as before."""
        live, offset = self._fenced.live, self.state.offset
        if live is None or not self._generations.facts_behind(self._fenced.inventory, offset):
            return None
        facts = FactsIndex(self._client, self._lease, self._fenced, self._generations, self._records, check)
        if not self._generations.wants_facts:
            return facts.remove(live)
        self.make_searchable()
        return facts.fill(live, offset, self._deleted)

    def report_loaded(self, records: int) -> None:
        """The progress of a load; the next renewal of the lease stores it."""
        self._lease.records = records or None

    @contextmanager
    def load(self, snapshot: Snapshot) -> Iterator["OpenSearchLoad"]:
        """Create a fenced generation, check that the lease is still ours, remove what dead writers left.

        In the model: create, begin_load, list_strays, drop_strays.
        """
        to = self._generations.new_name()
        fence = self._fenced.fence(to)
        load = OpenSearchLoad(self, self._records, to, fence)
        with self._client.finishing(lambda: self._end_load(to, load)):
            self._generations.create(to, snapshot, fence)
            self._commit_state(self.state.load_begun())
            self._fenced.drop_strays(to, spare=self._replaced)
            yield load

    def prepare(self, fence: str) -> int:
        """Give a loaded generation its settings for readers. Returns the number of records they would
        find."""
        self._generations.configure_for_reading(fence)
        refresh(self._client, fence)
        count = count_records(self._client, fence)
        if count is None:
            raise fence_is_gone()
        return count

    def publish(self, to: str, after: ConsumerState) -> None:
        """Make `to`, which is complete, checked and fenced, the live generation.

        In the model: announce_swap, see_lease, swap, finish_swap.
        """
        live = self._fenced.live
        self._versions = _StoredVersions({}, {})
        self._lease.commit(lambda entry: _announce(entry, to, after))
        if not self._fenced.swap(to):
            self._lease.reload()
            if not self.state.may_replace:
                raise AnotherPass(f"{self.state.occupant} has replaced this consumer meanwhile")
            raise StoreUnavailable("the swap to the new content failed; the next pass finishes it")
        self._replaced += [live] if live is not None else []
        self._lease.commit(lambda entry: replace(entry, state=after, generation=to, swap=None))

    def _end_load(self, generation: str, load: "OpenSearchLoad") -> None:
        """Remove a generation that cannot be live: no swap to it was announced."""
        self._lease.records = None
        if not load.is_announced:
            load.stop(HURRY)
            with suppress(*_OUT_OF_REACH):
                self._generations.remove_unfinished(generation)
                self._fenced.discard_fence(generation)
                self._commit_state(self.state.load_abandoned())

    def _live_fence(self) -> str:
        live = self._fenced.live
        if live is None:
            raise ValueError("there is no live content")
        return self._fenced.fence(live)

    def _commit_state(self, state: ConsumerState) -> None:
        self._lease.commit(lambda entry: replace(entry, state=state))

    def _write(self, writes: Sequence[Write], before: _StoredVersions) -> tuple[Versions, list[str]]:
        """The versions of the written records, and the names whose writes met another version."""
        fence = self._live_fence()
        self._unsearchable = True
        self._deleted += [each.name for each in writes if not isinstance(each, Record)]
        # In parallel, bulks would take the node from the reads of the next range, and make more segments.
        pool = self._records.pool(fence, self.keep_alive, one_by_one=True)
        try:
            results = pool.add(self._actions(fence, writes, before)) + pool.drain()
        finally:
            pool.stop(HURRY)
        conflicts = [action for each in results for action in each.conflicts]
        self._check_conflicts(fence, conflicts, before)
        written = {name: version for each in results for name, version in each.versions.items()}
        return written, [action.name for action in conflicts]

    def _actions(self, fence: str, writes: Sequence[Write], before: _StoredVersions) -> Iterator[BulkAction]:
        versions = before.read | before.written
        unread = [each.name for each in writes if not isinstance(each, Record) and each.name not in versions]
        versions |= self._records.versions(fence, unread)
        for write in writes:
            if isinstance(write, Record):
                yield index(write)
                continue
            stored = versions.get(write.name)
            if stored is not None and stored.version < write.offset:
                yield delete(write.name, write.offset, stored)

    def _check_conflicts(self, fence: str, conflicts: Sequence[BulkAction], before: _StoredVersions) -> None:
        """The same offset means that this range's write was done before. Another version, or a missing
        record, means that another program writes: raise. Another program may also have written the same
        version of a record that this range did not read: reading it now detects that."""
        names = [action.name for action in conflicts]
        stored = self._records.versions(fence, names)
        for action in conflicts:
            version = stored.get(action.name)
            if version is None and action.kind == "delete":
                continue
            if version is None or version.version != action.offset:
                raise StoreUnavailable(
                    f"another program writes to the content: record {action.name} has "
                    f"{'no version' if version is None else f'offset {version.version}'}, "
                    f"offset {action.offset} is to be written",
                    hint=f"stop the other program, then: {hints.load_anew()}",
                )
        self._records.read(fence, [name for name in names if name not in before.read])


class OpenSearchLoad:
    """`ports.Load`: a generation that is being filled. `is_announced`: its swap was announced, and the next
    pass may finish it.

    An error of a record may be raised by a later call than the one that added it.
    """

    def __init__(self, writer: OpenSearchWriter, records: Records, generation: str, fence: str) -> None:
        self._writer = writer
        self._records = records
        self._generation = generation
        self._fence = fence
        self._pool = records.pool(fence, writer.keep_alive)
        self._created = 0
        self._unclear = 0
        self.is_announced = False
        self.ambiguous = 0

    def add(self, records: Sequence[Record]) -> None:
        """See `ports.Load.add`. In the model: load."""
        self._account_for(self._pool.add(map(index, records)))

    def publish(self, after: ConsumerState) -> int:
        """See `ports.Load.publish`. Raises StoreUnavailable if the number of records is not the expected
        one."""
        invariants.check_publish(after)
        self._account_for(self._pool.drain())
        count = self._writer.prepare(self._fence)
        if not self._created <= count <= self._created + self._unclear:
            raise StoreUnavailable(
                f"OpenSearch holds {counted(count, 'record')} after {self._created} were written; "
                "the old content stays live"
            )
        self.is_announced = True
        self._writer.publish(self._generation, after)
        return count

    def stop(self, seconds: float) -> None:
        """Send nothing more, and wait at most so long for the bulks in flight."""
        self._pool.stop(seconds)

    def _account_for(self, results: Sequence[BulkResult]) -> None:
        for result in results:
            self._created += result.created
            self._check_conflicts(result.conflicts)
        self._writer.report_loaded(self._created)

    def _check_conflicts(self, conflicts: Sequence[BulkAction]) -> None:
        """A higher version is another line of the same record. An equal one is another line, or the same line
        sent twice: that is unknown, so it may or may not count as a new record. Only its text is read.
        """
        stored = self._records.versions(self._fence, list({action.name for action in conflicts}))
        equal = []
        for action in conflicts:
            version = stored.get(action.name)
            if version is None or version.version < action.offset:
                raise StoreUnavailable(f"OpenSearch refuses record {action.name} and does not hold it either")
            if version.version == action.offset:
                equal.append(action)
        self._unclear += len(equal)
        self.ambiguous += self._records.differing(self._fence, equal)


def _announce(entry: StateEntry, to: str, after: ConsumerState) -> StateEntry:
    """The entry that announces a swap. The offset is lowered first: it never exceeds the live content's."""
    swap = Swap(to=to, was=entry.state.offset, after=after)
    state = replace(entry.state, offset=min(entry.state.offset, after.offset))
    return replace(entry, state=state, swap=swap)
