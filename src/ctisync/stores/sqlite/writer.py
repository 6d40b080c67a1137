"""One pass's right to change a consumer's tables. Content, offset and owed command change together.

Each transaction first checks that no later pass has begun: its token would be in the consumer's row.
A load packs a new content piece by piece, and writes it in few transactions.
"""

import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager, suppress
from functools import partial
from operator import attrgetter
from typing import Final

import msgspec

from ctisync import hints
from ctisync.core.model import Consumer, Delete, Record, Snapshot, Write
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.errors import AnotherPass, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores import invariants
from ctisync.stores.sqlite import tables
from ctisync.stores.sqlite.compression import (
    Compression,
    Packer,
    Packing,
    RecordRow,
    as_text,
    number_of,
    trained,
)
from ctisync.stores.sqlite.connection import Writable, translate_errors
from ctisync.system.process import HURRY, finish, is_stop
from ctisync.system.threads import submit

DROPPED_AT_ONCE: Final = 10_000
"""Records removed in one transaction, so that the write-ahead log stays small."""

PACKED_AT_ONCE: Final = 2 << 20
"""Bytes of lines. A first piece of this size is enough to train a dictionary."""

WRITTEN_AT_ONCE: Final = 4 << 20
"""Stored bytes in one transaction. Each transaction waits for the disk; its rows stay in memory until
then."""


class SqliteWriter:
    """`ports.Writer` on an open file. Raises AnotherPass once a later pass has begun."""

    def __init__(self, file: Writable, consumer: Consumer, clock: Clock, compression: Compression) -> None:
        """Become the writer, and remove what a killed writer left."""
        self._file = file
        self.connection = file.connection
        self.path = file.path
        self._consumer = consumer
        self._clock = clock
        self._compression = compression
        self._packing: tuple[int, Packing] | None = None
        self._token = uuid.uuid4().hex
        with file.transaction():
            row = tables.find_consumer(self.connection, consumer)
            row = row if row.id else tables.add_consumer(self.connection, consumer)
            tables.set_writer(self.connection, row.id, self._token)
        self._row = row
        self._settle()

    @property
    def state(self) -> ConsumerState:
        return self._row.state

    def save(self, state: ConsumerState) -> None:
        invariants.check_save(self.state, state)
        with self.transaction():
            self._set_state(state)

    @contextmanager
    def load(self, snapshot: Snapshot) -> Iterator["SqliteLoad"]:
        stopped = False
        try:
            with self.transaction():
                generation = tables.add_generation(self.connection, self._row.id, snapshot, self._clock.now())
                self._set_state(self.state.load_begun())
            with closing(SqliteLoad(self, generation, self._compression)) as load:
                yield load
        except BaseException as error:
            stopped = is_stop(error)
            raise
        finally:
            # The next writer removes what cannot be removed now.
            with suppress(AnotherPass, StoreUnavailable):
                finish(lambda seconds: self._settle(HURRY if stopped else seconds))

    def read_in_parts(self, names: Sequence[str]) -> Iterator[tuple[Sequence[str], dict[str, Record]]]:
        """All of them in one part."""
        with self.transaction():
            rows = tables.find_records(self.connection, self._row.generation, names)
            records = {record.name: record for record in rows}
        yield names, records

    def save_later(self, state: ConsumerState) -> None:
        self.save(state)

    def apply(
        self, writes: Sequence[Write], after: ConsumerState, meanwhile: Callable[[], int | None] | None = None
    ) -> bool:
        """One transaction, without waiting: there is no `meanwhile`."""
        invariants.check_apply(self.state, writes, after)
        generation = self._row.generation
        assert generation is not None  # for the state says that there is content
        puts = [write for write in writes if isinstance(write, Record)]
        put_rows = self._packing_of(generation)(puts)
        deletes = [write for write in writes if isinstance(write, Delete)]
        with self.transaction():
            tables.put_records(self.connection, generation, put_rows)
            tables.delete_records(self.connection, generation, deletes)
            self._set_state(after)
        return False

    def forget(self) -> None:
        """Remove the consumer from the file. After the first transaction readers find no content; if this is
        interrupted, the next writer removes the rest, as after any swap."""
        with self.transaction():
            tables.set_live(self.connection, self._row.id, None)
            self._set_state(ConsumerState())
        self._settle()
        with self.transaction():
            tables.drop_passes(self.connection, self._consumer)
            tables.drop_consumer(self.connection, self._row.id)
        self._file.shrink()

    def make_searchable(self) -> None:
        """Nothing to do: readers find what is committed."""

    def keep_alive(self) -> None:
        """Nothing to do: the lease is this host's lock, which does not expire."""

    def fill_facts(self, check: Callable[[], None]) -> None:
        """Nothing to do: there is no facts index."""

    def swap(self, generation: int, after: ConsumerState) -> None:
        """Make this generation the live one, if requested instead of another consumer's. Call it within
        `transaction`. Raises AnotherPass if another consumer has taken the index meanwhile."""
        if (occupant := tables.occupant(self.connection, self._consumer, self._row)) is not None:
            number, name = occupant
            if not msgspec.structs.replace(self.state, occupant=name).may_replace:
                raise AnotherPass(f"{name} has replaced {self._consumer} meanwhile")
            tables.set_live(self.connection, number, None)
            tables.set_writer(self.connection, number, self._token)  # a pass of it ends at its next write
        tables.set_live(self.connection, self._row.id, generation)
        self._row = self._row._replace(generation=generation)
        self._set_state(after)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction. Raises AnotherPass if another writer has begun. After an error, `state` is as
        before."""
        before = self._row
        try:
            with self._file.transaction():
                self._still_mine()
                yield
        except BaseException:
            self._row = before
            raise

    def _packing_of(self, generation: int) -> Packing:
        """The packing with the dictionary of the generation's load."""
        if self._compression == "none":
            return as_text
        if self._packing is None or self._packing[0] != generation:
            with translate_errors(self.path):
                dictionary = tables.find_dictionary(self.connection, generation)
            self._packing = generation, Packer(dictionary).pack
        return self._packing[1]

    def _still_mine(self) -> None:
        if not tables.is_writer(self.connection, self._row.id, self._token):
            raise AnotherPass(f"another pass over {self._consumer} has started in {self.path}")

    def _set_state(self, state: ConsumerState) -> None:
        tables.set_state(self.connection, self._row.id, state)
        self._row = self._row._replace(state=state)

    def _settle(self, seconds: float = math.inf) -> None:
        """Read the stored state again, and remove what an unpublished load left, as much as possible within
        so many seconds."""
        end = self._clock.monotonic() + seconds
        with self.transaction():
            self._row = tables.find_consumer(self.connection, self._consumer)
            if self.state.loading:
                self._set_state(self.state.load_abandoned())
            if tables.live_generation(self.connection, self._row) is None:
                self._row = self._row._replace(generation=None)
                if (occupant := tables.occupant(self.connection, self._consumer, self._row)) is not None:
                    self._set_state(msgspec.structs.replace(self.state, occupant=occupant[1]))
                elif self.state.content:
                    self._set_state(self.state.content_gone())
            dead = tables.dead_generations(self.connection, self._row.id)
        for generation in dead:
            self._drop(generation, end)

    def _drop(self, generation: int, end: float) -> None:
        last: int | None = 0
        while last is not None:
            if self._clock.monotonic() >= end:
                return
            with self.transaction():
                last = tables.drop_records(self.connection, generation, last, DROPPED_AT_ONCE)
        with self.transaction():
            tables.drop_generation(self.connection, generation)


class SqliteLoad:
    """`ports.Load`: a generation that no consumer's row points to yet.

    A thread, which does not use the database, packs one piece while the next one is read. The pieces are few
    and large: with one record each, the two threads would wait for each other.
    """

    def __init__(self, writer: SqliteWriter, generation: int, compression: Compression) -> None:
        self._writer = writer
        self._connection = writer.connection
        self._generation = generation
        self._packing: Packing | None = as_text if compression == "none" else None
        self._dictionary: bytes | None = None
        self._added: list[Record] = []
        self._added_bytes = 0
        self._packing_job: Future[list[RecordRow]] | None = None
        self._packed: list[RecordRow] = []
        self._packed_bytes = 0
        self._written = 0
        self.ambiguous = 0

    def close(self) -> None:
        """Wait for the thread."""
        if self._packing_job is not None:
            wait([self._packing_job])

    def add(self, records: Sequence[Record]) -> None:
        self._added += records
        self._added_bytes += sum(len(record.line) for record in records)
        if self._added_bytes >= PACKED_AT_ONCE:
            self._pack()
            if self._packed_bytes >= WRITTEN_AT_ONCE:
                self._write()

    def publish(self, after: ConsumerState) -> int:
        invariants.check_publish(after)
        self._pack()
        self._finish_packing()
        self._write()
        with self._writer.transaction():
            count = tables.count_records(self._connection, self._generation)
            if count != self._written:
                raise StoreUnavailable(
                    f"{self._writer.path} holds {counted(count, 'record')} of the new content "
                    f"after {self._written} were written; the old content stays live",
                    hint=hints.command("sync"),
                )
            self._writer.swap(self._generation, after)
        return count

    def _pack(self) -> None:
        """Start to pack the added records, and take the result of the piece before."""
        self._finish_packing()
        records, self._added, self._added_bytes = self._added, [], 0
        self._packing_job = submit(partial(self._rows, records), "packing")
        if self._packing_job is None:
            self._collect(self._rows(records))

    def _rows(self, records: list[Record]) -> list[RecordRow]:
        """Pack records. Runs on the thread."""
        if self._packing is None:
            self._dictionary = trained(records, number_of(self._generation))
            self._packing = Packer(self._dictionary).pack
        return self._packing(records)

    def _finish_packing(self) -> None:
        if self._packing_job is not None:
            self._collect(self._packing_job.result())

    def _collect(self, rows: list[RecordRow]) -> None:
        self._packed += rows
        self._packed_bytes += sum(row.size for row in rows)

    def _write(self) -> None:
        """Write the packed rows sorted by name, as the index and an export have them. Rows with the same name
        keep their order."""
        self._packed.sort(key=attrgetter("name"))
        dictionary, self._dictionary = self._dictionary, None
        with self._writer.transaction():
            if dictionary is not None:
                number = number_of(self._generation)
                tables.add_dictionary(self._connection, number, self._generation, dictionary)
            new = tables.add_records(self._connection, self._generation, self._packed)
            if new < len(self._packed):  # seldom: one name is on several lines
                self.ambiguous += tables.ambiguous(self._connection, self._generation, self._packed)
            self._written += new
        self._packed, self._packed_bytes = [], 0
