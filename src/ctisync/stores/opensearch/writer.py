"""A writer of one consumer: applies ranges and loads contents. The order of its writes matters."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, NamedTuple, TypeVar

import msgspec

from ctisync.core.model import Consumer, Put, Record, Snapshot, Write
from ctisync.core.state import ConsumerState, load_abandoned, load_begun
from ctisync.core.words import counted
from ctisync.errors import LOAD_ANEW, AnotherPass, ConfigurationError, StoreUnavailable
from ctisync.stores import invariants
from ctisync.stores.opensearch.bulk import Records, fence_is_gone
from ctisync.stores.opensearch.bulk_actions import BulkAction, RecordVersion, Sent, delete, index
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.fencing import FencedLease
from ctisync.stores.opensearch.generations import Generations
from ctisync.stores.opensearch.hidden import check_nothing_hidden
from ctisync.stores.opensearch.lease import HeldLease
from ctisync.stores.opensearch.load import OpenSearchLoad
from ctisync.stores.opensearch.state_document import StateEntry, Swap
from ctisync.stores.shutdown import HURRY, is_stop
from ctisync.system import memory
from ctisync.system.threads import start_on_thread, submit

T = TypeVar("T")

_OUT_OF_REACH: Final = (AnotherPass, StoreUnavailable, ConfigurationError)
"""Errors that may end a clean-up; the next pass then does it. A signal is none of them."""


READ_AT_ONCE: Final = 250
"""Names in a request of `read_in_parts`."""

_A_WHILE: Final = 1.0
"""Seconds of waiting between two renewals of the lease, where they are due."""

Versions = dict[str, RecordVersion | None]
"""By name; None: there is no such record."""


class _Known(NamedTuple):
    """The stored versions that are known before a range is written: those of the records that were `read` for
    it, and what `stands` since the range before, by the replies to its writes."""

    read: Versions
    stands: Versions

    def knows(self, name: str) -> bool:
        return name in self.stands or name in self.read

    def version(self, name: str) -> RecordVersion | None:
        return self.stands[name] if name in self.stands else self.read.get(name)


class _Shards(msgspec.Struct, frozen=True):
    failed: int


class ShardsReply(msgspec.Struct, frozen=True):
    """A reply that says whether all shards took part, with `count` if the request counts."""

    shards: _Shards = msgspec.field(name="_shards")
    count: int = 0


shards_decoder: Final = msgspec.json.Decoder(ShardsReply)


class OpenSearchWriter:
    """`ports.Writer`. Records are written through the fence on the live generation, the state through the
    lease."""

    def __init__(
        self,
        client: Client,
        consumer: Consumer,
        lease: HeldLease,
        generations: Generations,
        records: Records,
    ) -> None:
        self._client = client
        self._lease = lease
        self._generations = generations
        self._records = records
        self._fenced = FencedLease(lease, generations, consumer)
        self._known = _Known({}, {})
        self._being_written: dict[str, Record | None] = {}
        self._from_memory: set[str] = set()
        self._replaced: list[str] = []
        self._unsearchable = False

    def take_over(self) -> None:
        """Become the only writer. Raises AnotherPass while another pass holds the lease."""
        self._fenced.take_over()

    def let_go(self) -> None:
        """Give fences and lease back, best effort: the next pass of this host takes over the rest, or it
        expires."""
        self._client.finish(self._let_go)

    def _let_go(self) -> None:
        """Each step runs even if another one fails: the next pass removes an alias that stays, but a lease
        that stays blocks other hosts."""
        if self._unsearchable:
            with suppress(*_OUT_OF_REACH), self._client.bounded(HURRY):
                self.make_searchable()
        try:
            self._fenced.let_go()
        except _OUT_OF_REACH:
            with suppress(*_OUT_OF_REACH), self._client.bounded(HURRY):
                self._lease.release()
        else:
            with suppress(*_OUT_OF_REACH):
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

        While the caller looks at a part, the next one is read; the next two, if nothing is written
        meanwhile.
        """
        parts = [names[start : start + READ_AT_ONCE] for start in range(0, len(names), READ_AT_ONCE)]
        ahead = 1 if self._being_written else 2
        reading: deque[Callable[[], tuple[dict[str, Record], bool]]] = deque()
        asked = False
        for number, part in enumerate(parts):
            for following in parts[number + len(reading) : number + 1 + ahead]:
                reading.append(self._reading(following))
            found, was_asked = reading.popleft()()
            asked |= was_asked
            yield part, found
            del found  # before the next part comes
        if asked:
            self._check_nothing_hidden()

    def _reading(self, names: Sequence[str]) -> Callable[[], tuple[dict[str, Record], bool]]:
        """Begin to read, if a thread can be started. Returns what waits for it, or reads now."""
        read = partial(self._read, names)
        answer = _beside(read)
        return read if answer is None else answer.result

    def _check_nothing_hidden(self) -> None:
        """After each read of a range: a rule may have come since the pass began."""
        if self._fenced.live is not None:
            check_nothing_hidden(self._client, self._fenced.live)

    def _read(self, names: Collection[str]) -> tuple[dict[str, Record], bool]:
        """The records, and whether the node was asked for any."""
        if self._fenced.live is None:
            return {}, False
        written = {name: self._being_written[name] for name in names if name in self._being_written}
        unknown = [name for name in names if name not in written]
        found = self._records.read(self._live_fence(), unknown)
        self._known.read.update((name, found[name][1] if name in found else None) for name in unknown)
        self._from_memory |= written.keys()
        records = {name: record for name, (record, _) in found.items()}
        records |= {name: record for name, record in written.items() if record is not None}
        return records, bool(unknown)

    def apply(
        self,
        writes: Sequence[Write],
        after: ConsumerState,
        meanwhile: Callable[[], int | None] | None = None,
    ) -> bool:
        """Store the end of the range, write and check each item, store the new offset; with it the end of the
        next range, if `meanwhile` has folded that one.

        In the model: announce_range, read_ahead, bulk, advance.
        """
        invariants.check_apply(self.state, writes, after)
        known, self._known, self._from_memory = self._known, _Known({}, {}), set()
        if self.state.range_to != after.offset:
            self._commit_state(msgspec.structs.replace(self.state, range_to=after.offset))
        self._being_written = {each.name: each.record if isinstance(each, Put) else None for each in writes}
        ahead = None if meanwhile is None else _beside(meanwhile)
        try:
            stands, doubted = self._written(writes, known)
            to = None if ahead is None else self._waited_for(ahead)
        except BaseException as error:
            if ahead is not None:
                wait([ahead], 0 if is_stop(error) else HURRY)
            self._known = _Known(known.read, {})
            raise
        finally:
            self._being_written = {}
        # A write that met its own version was perhaps done before. What stands then is read.
        holds = ahead is not None and self._from_memory.isdisjoint(doubted)
        self._commit_state(msgspec.structs.replace(after, range_to=to) if holds and to is not None else after)
        self._known.stands.update(stands)
        if meanwhile is not None:  # the records of the next range are in memory, and more will come
            memory.give_back()
        return holds

    def _waited_for(self, answer: Future[int | None]) -> int | None:
        while wait([answer], _A_WHILE).not_done:
            self.keep_alive()
        return answer.result()

    def _written(self, writes: Sequence[Write], known: _Known) -> tuple[Versions, list[str]]:
        """The versions of what was written, and the names whose writes met another version."""
        fence = self._live_fence()
        sent = self._write(fence, self._actions(fence, writes, known))
        doubted = self._explain(fence, sent, known)
        return {name: stored for each in sent for name, stored in each.stands.items()}, doubted

    def make_searchable(self) -> None:
        if self._fenced.live is not None:
            self.refresh(self._live_fence())
        self._unsearchable = False

    def keep_alive(self) -> None:
        self._lease.renew_if_due()

    def report_loaded(self, records: int) -> None:
        """The progress of a load; the next renewal of the lease stores it."""
        self._lease.records = records or None

    @contextmanager
    def load(self, snapshot: Snapshot) -> Iterator[OpenSearchLoad]:
        """Create a fenced generation, check that the lease is still ours, remove what dead writers left.

        In the model: create, begin_load, list_strays, drop_strays.
        """
        to = self._generations.new_name()
        fence = self._fenced.fence(to)
        load = OpenSearchLoad(self, self._records, to, fence)
        try:
            with self._client.hurried_by_a_stop():
                self._generations.create(to, snapshot, fence)
                self._commit_state(load_begun(self.state))
                self._fenced.drop_strays(to, spare=self._replaced)
                yield load
        finally:
            self._lease.records = None
            if not load.intended:
                self._client.finish(lambda: self._abandon(to, load))

    def publish(self, to: str, after: ConsumerState) -> None:
        """Make `to`, which is complete, checked and fenced, the live generation.

        In the model: announce_swap, see_lease, swap, finish_swap.
        """
        live = self._fenced.live
        self._known = _Known({}, {})
        self._lease.commit(lambda entry: _intent(entry, to, after))
        if not self._fenced.swap(to):
            self._lease.look()
            if not self._fenced.may_swap:
                raise AnotherPass(f"{self.state.occupant} has replaced this consumer meanwhile")
            raise StoreUnavailable("the swap to the new content failed; the next pass finishes it")
        self._replaced += [live] if live is not None else []
        self._lease.commit(
            lambda entry: msgspec.structs.replace(entry, state=after, generation=to, swap=None)
        )

    def prepare(self, fence: str) -> int:
        """Give a loaded generation its settings for readers. Returns the number of records they would
        find."""
        if not self._generations.configure_for_reading(fence):
            raise fence_is_gone()
        self.refresh(fence)
        return self._shards_reply("GET", fence, "_count").count

    def refresh(self, fence: str) -> None:
        """Make all writes searchable. Raises StoreUnavailable if a shard does not answer."""
        self._shards_reply("POST", fence, "_refresh")

    def _shards_reply(self, method: str, fence: str, what: str) -> ShardsReply:
        reply = self._client.call(method, path(fence, what), allow={404})
        if reply.status == 404:
            raise fence_is_gone()
        found = self._client.read(reply, shards_decoder)
        if found.shards.failed:
            shards = counted(found.shards.failed, "shard")
            raise StoreUnavailable(f"{shards} of OpenSearch did not answer to {what}")
        return found

    def _abandon(self, generation: str, load: OpenSearchLoad) -> None:
        """Remove a generation that cannot be live: no swap to it was announced."""
        load.stop(HURRY)
        with suppress(*_OUT_OF_REACH):
            self._generations.drop_begun(generation)
            self._fenced.forget(generation)
            self._commit_state(load_abandoned(self.state))

    def _live_fence(self) -> str:
        live = self._fenced.live
        if live is None:
            raise ValueError("there is no live content")
        return self._fenced.fence(live)

    def _commit_state(self, state: ConsumerState) -> None:
        self._lease.commit(lambda entry: msgspec.structs.replace(entry, state=state))

    def _actions(self, fence: str, writes: Sequence[Write], known: _Known) -> Iterator[BulkAction]:
        deletes = [write.name for write in writes if not isinstance(write, Put)]
        unread = [name for name in deletes if not known.knows(name)]
        found = self._records.versions(fence, unread) if unread else {}
        for write in writes:
            if isinstance(write, Put):
                yield index(write.record)
                continue
            stored = known.version(write.name) or found.get(write.name)
            if stored is not None and stored.version < write.offset:
                yield delete(write.name, write.offset, stored)

    def _write(self, fence: str, actions: Iterable[BulkAction]) -> list[Sent]:
        self._unsearchable = True
        # In parallel, bulks would take the node from the reads of the next range, and make more segments.
        pool = self._records.pool(fence, self.keep_alive, one_by_one=True)
        try:
            return pool.add(actions) + pool.drain()
        finally:
            pool.stop(HURRY)

    def _explain(self, fence: str, sent: Sequence[Sent], known: _Known) -> list[str]:
        """Check the conflicts, and return the names. The same offset means that this range's write was done
        before. Another version, or a missing record, means that another program writes: raise. Another
        program may also have written the same version of a record that this range did not read: reading it
        now detects that."""
        conflicts = [action for each in sent for action in each.conflicts]
        stored = self._records.versions(fence, [action.name for action in conflicts])
        for action in conflicts:
            found = stored.get(action.name)
            if found is None and action.kind == "delete":
                continue
            if found is None or found.version != action.offset:
                raise StoreUnavailable(
                    f"another program writes to the content: record {action.name} has "
                    f"{'no version' if found is None else f'offset {found.version}'}, "
                    f"offset {action.offset} is to be written",
                    hint=f"stop the other program, then: {LOAD_ANEW}",
                )
        names = [action.name for action in conflicts]
        self._records.read(fence, [name for name in names if name not in known.read])
        return names


def _beside(work: Callable[[], T]) -> Future[T] | None:
    return submit(work, "meanwhile", start_on_thread)


def _intent(entry: StateEntry, to: str, after: ConsumerState) -> StateEntry:
    """The entry that announces a swap. The offset is lowered first: it never exceeds the live content's."""
    swap = Swap(to=to, was=entry.state.offset, after=after)
    state = msgspec.structs.replace(entry.state, offset=min(entry.state.offset, after.offset))
    return msgspec.structs.replace(entry, state=state, swap=swap)
