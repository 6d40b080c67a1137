"""The statements on the tables, a function each. Those that write belong within a transaction."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from ctisync.core.model import Consumer, Delete, Record, Snapshot
from ctisync.core.state import ConsumerState


class ConsumerRow(NamedTuple):
    """What is stored of a consumer, and which generation of its content is live."""

    id: int
    generation: int | None
    state: ConsumerState


def find_consumer(connection: sqlite3.Connection, consumer: Consumer) -> ConsumerRow | None:
    """Raises msgspec.MsgspecError when the stored state cannot be read."""
    row = connection.execute(
        "SELECT id, generation, state FROM consumers WHERE context = ? AND name = ?",
        (consumer.context, consumer.name),
    ).fetchone()
    if row is None:
        return None
    number, generation, state = row
    return ConsumerRow(number, generation, msgspec.json.decode(state, type=ConsumerState))


def add_consumer(connection: sqlite3.Connection, consumer: Consumer) -> ConsumerRow:
    """Nothing is known of it so far."""
    state = ConsumerState()
    added = connection.execute(
        "INSERT INTO consumers (context, name, state) VALUES (?, ?, ?)",
        (consumer.context, consumer.name, _encode(state)),
    )
    assert added.lastrowid is not None  # an INSERT has been run
    return ConsumerRow(added.lastrowid, None, state)


def set_state(connection: sqlite3.Connection, consumer_id: int, state: ConsumerState) -> None:
    connection.execute("UPDATE consumers SET state = ? WHERE id = ?", (_encode(state), consumer_id))


def set_writer(connection: sqlite3.Connection, consumer_id: int, token: str) -> None:
    connection.execute("UPDATE consumers SET writer = ? WHERE id = ?", (token, consumer_id))


def is_writer(connection: sqlite3.Connection, consumer_id: int, token: str) -> bool:
    query = "SELECT 1 FROM consumers WHERE id = ? AND writer = ?"
    return connection.execute(query, (consumer_id, token)).fetchone() is not None


def set_live(connection: sqlite3.Connection, consumer_id: int, generation: int) -> None:
    connection.execute("UPDATE consumers SET generation = ? WHERE id = ?", (generation, consumer_id))


def add_generation(
    connection: sqlite3.Connection, consumer_id: int, snapshot: Snapshot, begun_at: datetime
) -> int:
    added = connection.execute(
        "INSERT INTO generations (consumer, snapshot_offset, snapshot_link, begun_at) VALUES (?, ?, ?, ?)",
        (consumer_id, snapshot.offset, snapshot.link, begun_at.isoformat()),
    )
    assert added.lastrowid is not None  # an INSERT has been run
    return added.lastrowid


def dead_generations(connection: sqlite3.Connection, consumer_id: int) -> list[int]:
    """The generations of a consumer that are not live: replaced ones, and what killed loads left."""
    rows = connection.execute(
        "SELECT generations.id FROM generations JOIN consumers ON consumers.id = generations.consumer"
        " WHERE consumers.id = ? AND generations.id IS NOT consumers.generation",
        (consumer_id,),
    )
    return [generation for (generation,) in rows]


def drop_records(connection: sqlite3.Connection, generation: int, most: int) -> int:
    """Remove up to so many records; how many there were."""
    return connection.execute(
        "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE generation = ? LIMIT ?)",
        (generation, most),
    ).rowcount


def drop_generation(connection: sqlite3.Connection, generation: int) -> None:
    connection.execute("DELETE FROM generations WHERE id = ?", (generation,))


def put_records(connection: sqlite3.Connection, generation: int, records: Sequence[Record]) -> int:
    """Store these records unless one with an offset as high stands there; how many have a new name.

    The lines are bound as bytes and cast, which stores them as text without decoding them here.
    """
    new = connection.executemany(
        "INSERT INTO records (generation, name, offset, line) VALUES (?, ?, ?, CAST(? AS TEXT))"
        " ON CONFLICT (generation, name) DO NOTHING",
        ((generation, record.name, record.offset, record.line) for record in records),
    ).rowcount
    if new < len(records):
        connection.executemany(
            "UPDATE records SET offset = ?1, line = CAST(?2 AS TEXT)"
            " WHERE generation = ?3 AND name = ?4 AND offset < ?1",
            ((record.offset, record.line, generation, record.name) for record in records),
        )
    return new


def delete_records(connection: sqlite3.Connection, generation: int, deletes: Iterable[Delete]) -> None:
    """Remove these records unless one with an offset as high stands there."""
    connection.executemany(
        "DELETE FROM records WHERE generation = ? AND name = ? AND offset < ?",
        ((generation, delete.name, delete.offset) for delete in deletes),
    )


def find_record(connection: sqlite3.Connection, generation: int, name: str) -> Record | None:
    row = connection.execute(
        "SELECT offset, line FROM records WHERE generation = ? AND name = ?", (generation, name)
    ).fetchone()
    return None if row is None else Record(name=name, offset=row[0], line=row[1])


def count_records(connection: sqlite3.Connection, generation: int) -> int:
    (number,) = connection.execute(
        "SELECT count(*) FROM records WHERE generation = ?", (generation,)
    ).fetchone()
    return int(number)


def lines_by_name(connection: sqlite3.Connection, generation: int) -> Iterator[bytes]:
    """Ascending by the names' UTF-8 bytes: that is how SQLite compares text by itself."""
    rows = connection.execute("SELECT line FROM records WHERE generation = ? ORDER BY name", (generation,))
    return (line for (line,) in rows)


def _encode(state: ConsumerState) -> str:
    return msgspec.json.encode(state).decode()
