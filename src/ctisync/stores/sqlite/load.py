"""A load: a new content that is packed piece by piece and written in few transactions."""

import sqlite3
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final, Protocol, Self

from ctisync.core.model import Record
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.errors import StoreUnavailable
from ctisync.stores import invariants
from ctisync.stores.sqlite import tables
from ctisync.stores.sqlite.compression import AsText, Compression, Packer, Packing, number_of, trained
from ctisync.system.threads import submit

PACKED_AT_ONCE: Final = 2 << 20
"""Bytes of lines. A first piece of this size is enough to train a dictionary."""

WRITTEN_AT_ONCE: Final = 4 << 20
"""Stored bytes in one transaction. Each transaction waits for the disk; its rows stay in memory until
then."""


class LoadingWriter(Protocol):
    """The part of the writer that a load needs."""

    path: Path

    def transaction(self) -> AbstractContextManager[None]: ...

    def swap(self, generation: int, after: ConsumerState) -> None: ...


class SqliteLoad:
    """`ports.Load`: a generation that no consumer's row points to yet.

    A thread, which does not use the database, packs one piece while the next one is read. The pieces are few
    and large: with one record each, the two threads would wait for each other.
    """

    def __init__(
        self,
        writer: LoadingWriter,
        connection: sqlite3.Connection,
        generation: int,
        compression: Compression,
    ) -> None:
        self._writer = writer
        self._connection = connection
        self._generation = generation
        self._packing: Packing | None = AsText() if compression == "none" else None
        self._dictionary: bytes | None = None
        self._begun: list[Record] = []
        self._begun_bytes = 0
        self._packed: Future[list[tables.RecordRow]] | None = None
        self._waiting: list[tables.RecordRow] = []
        self._waiting_bytes = 0
        self._taken = 0
        self.ambiguous = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._packed is not None:
            wait([self._packed])

    def add(self, records: Sequence[Record]) -> None:
        self._begun += records
        self._begun_bytes += sum(len(record.line) for record in records)
        if self._begun_bytes >= PACKED_AT_ONCE:
            self._pack()
            if self._waiting_bytes >= WRITTEN_AT_ONCE:
                self._write()

    def publish(self, after: ConsumerState) -> int:
        invariants.check_publish(after)
        self._pack()
        self._take(self._packed)
        self._write()
        with self._writer.transaction():
            held = tables.count_records(self._connection, self._generation)
            if held != self._taken:
                raise StoreUnavailable(
                    f"{self._writer.path} holds {counted(held, 'record')} of the new content "
                    f"after {self._taken} were written; the old content stays live",
                    hint="ctisync sync",
                )
            self._writer.swap(self._generation, after)
        return held

    def _pack(self) -> None:
        """Start to pack the added records, and take the result of the piece before."""
        self._take(self._packed)
        records, self._begun, self._begun_bytes = self._begun, [], 0
        self._packed = submit(partial(self._rows, records), "packing")
        if self._packed is None:
            self._take_rows(self._rows(records))

    def _rows(self, records: list[Record]) -> list[tables.RecordRow]:
        """Pack records. Runs on the thread."""
        if self._packing is None:
            self._dictionary = trained([record.line for record in records], number_of(self._generation))
            self._packing = Packer(self._dictionary)
        return tables.as_rows(records, self._packing)

    def _take(self, packed: Future[list[tables.RecordRow]] | None) -> None:
        if packed is not None:
            self._take_rows(packed.result())

    def _take_rows(self, rows: list[tables.RecordRow]) -> None:
        self._waiting += rows
        self._waiting_bytes += sum(row.size for row in rows)

    def _write(self) -> None:
        """Write the packed rows sorted by name, as the index and an export have them. Rows with the same name
        keep their order."""
        self._waiting.sort(key=_name)
        dictionary, self._dictionary = self._dictionary, None
        with self._writer.transaction():
            if dictionary is not None:
                number = number_of(self._generation)
                tables.add_dictionary(self._connection, number, self._generation, dictionary)
            new = tables.add_records(self._connection, self._generation, self._waiting)
            if new < len(self._waiting):  # seldom: one name is on several lines
                self.ambiguous += tables.ambiguous(self._connection, self._generation, self._waiting)
            self._taken += new
        self._waiting, self._waiting_bytes = [], 0


def _name(row: tables.RecordRow) -> str:
    return row.name
