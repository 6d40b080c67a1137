"""One pass's right to change a consumer's rows. Content, offset and owed command change together.

Each transaction first makes sure that no later pass has begun: that one's token would stand in the
consumer's row.
"""

import math
import sqlite3
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from ctisync.core.model import Consumer, Delete, Put, Record, Snapshot, Write
from ctisync.core.state import ConsumerState, load_abandoned, load_begun
from ctisync.errors import AnotherPass, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores import guards
from ctisync.stores import sqlite_rows as rows
from ctisync.stores.endings import HURRY, finish, is_stop
from ctisync.stores.sqlite_file import named_errors, open_writable, transaction

DROPPED_AT_ONCE: Final = 5000
"""Records removed in one transaction, so that the write-ahead log stays small."""


@contextmanager
def writing(path: Path, patience: float, consumer: Consumer, clock: Clock) -> Iterator["SqliteWriter"]:
    with closing(open_writable(path, patience)) as connection:
        yield SqliteWriter(connection, path, consumer, clock)


class SqliteWriter:
    def __init__(self, connection: sqlite3.Connection, path: Path, consumer: Consumer, clock: Clock) -> None:
        """Become the writer, and remove what a killed one left."""
        self._connection = connection
        self.path = path
        self._consumer = consumer
        self._clock = clock
        self._token = uuid.uuid4().hex
        with named_errors(path), transaction(connection):
            row = rows.find_consumer(connection, consumer) or rows.add_consumer(connection, consumer)
            rows.set_writer(connection, row.id, self._token)
        self._row = row
        self._settle()

    @property
    def state(self) -> ConsumerState:
        return self._row.state

    def save(self, state: ConsumerState) -> None:
        guards.check_save(self.state, state)
        with self.transaction():
            self._set_state(state)

    @contextmanager
    def load(self, snapshot: Snapshot) -> Iterator["SqliteLoad"]:
        stopped = False
        try:
            with self.transaction():
                generation = rows.add_generation(self._connection, self._row.id, snapshot, self._clock.now())
                self._set_state(load_begun(self.state))
            yield SqliteLoad(self, self._connection, generation)
        except BaseException as error:
            stopped = is_stop(error)
            raise
        finally:
            # Whatever cannot be removed now, the next writer removes.
            with suppress(AnotherPass, StoreUnavailable):
                finish(lambda seconds: self._settle(HURRY if stopped else seconds))

    def read(self, names: Collection[str]) -> dict[str, Record]:
        generation = self._row.generation
        if generation is None:
            return {}
        with self.transaction():
            found = (rows.find_record(self._connection, generation, name) for name in names)
            return {record.name: record for record in found if record is not None}

    def apply(self, writes: Sequence[Write], after: ConsumerState) -> None:
        guards.check_apply(self.state, writes, after)
        generation = self._row.generation
        assert generation is not None  # for the state says that there is content
        puts = [write.record for write in writes if isinstance(write, Put)]
        deletes = [write for write in writes if isinstance(write, Delete)]
        with self.transaction():
            rows.put_records(self._connection, generation, puts)
            rows.delete_records(self._connection, generation, deletes)
            self._set_state(after)

    def make_searchable(self) -> None:
        """What is committed is found."""

    def keep_alive(self) -> None:
        """The lease is this host's lock, which does not expire."""

    def swap(self, generation: int, after: ConsumerState) -> None:
        """Make this generation the live one; a part of a `transaction`."""
        rows.set_live(self._connection, self._row.id, generation)
        self._row = self._row._replace(generation=generation)
        self._set_state(after)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing, and nothing once another writer has begun. What we know goes with it."""
        before = self._row
        try:
            with named_errors(self.path), transaction(self._connection):
                self._still_mine()
                yield
        except BaseException:
            self._row = before
            raise

    def _still_mine(self) -> None:
        if not rows.is_writer(self._connection, self._row.id, self._token):
            raise AnotherPass(f"another pass has begun to work on {self._consumer} in {self.path}")

    def _set_state(self, state: ConsumerState) -> None:
        rows.set_state(self._connection, self._row.id, state)
        self._row = self._row._replace(state=state)

    def _settle(self, seconds: float = math.inf) -> None:
        """Go on from what is stored, without what a load left that did not publish; within so many seconds
        as much of it as can be removed."""
        end = self._clock.monotonic() + seconds
        with self.transaction():
            self._row = rows.find_consumer(self._connection, self._consumer) or self._row
            if self.state.loading:
                self._set_state(load_abandoned(self.state))
            dead = rows.dead_generations(self._connection, self._row.id)
        for generation in dead:
            self._drop(generation, end)

    def _drop(self, generation: int, end: float) -> None:
        dropped = DROPPED_AT_ONCE
        while dropped == DROPPED_AT_ONCE:
            if self._clock.monotonic() >= end:
                return
            with self.transaction():
                dropped = rows.drop_records(self._connection, generation, DROPPED_AT_ONCE)
        with self.transaction():
            rows.drop_generation(self._connection, generation)


class SqliteLoad:
    """A generation that no consumer's row points to yet. What is added is committed piece by piece."""

    def __init__(self, writer: SqliteWriter, connection: sqlite3.Connection, generation: int) -> None:
        self._writer = writer
        self._connection = connection
        self._generation = generation
        self._taken = 0

    def add(self, records: Sequence[Record]) -> None:
        with self._writer.transaction():
            new = rows.put_records(self._connection, self._generation, records)
        self._taken += new

    def publish(self, after: ConsumerState) -> int:
        guards.check_publish(after)
        with self._writer.transaction():
            held = rows.count_records(self._connection, self._generation)
            if held != self._taken:
                raise StoreUnavailable(
                    f"{self._writer.path} holds {held} records of the new content, it took {self._taken};"
                    " the old content stays",
                    hint="ctisync sync",
                )
            self._writer.swap(self._generation, after)
        return held
