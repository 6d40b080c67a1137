"""The SQL statements, a function each. Call those that write within a transaction."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.model import Consumer, Delete, Record, Snapshot
from ctisync.core.pass_report import PassReport, Touched, Work
from ctisync.core.state import ConsumerState
from ctisync.errors import StoreUnavailable
from ctisync.stores.sqlite.compression import RecordRow, Unpacker, Unreadable
from ctisync.stores.sqlite.schema import value_of

_NAMES_AT_ONCE: Final = 500
"""SQLite before 3.32 accepts up to 999 parameters in a statement."""

_state_decoder: Final = msgspec.json.Decoder(ConsumerState)

_report_decoder: Final = msgspec.json.Decoder(PassReport)
_touched_decoder: Final = msgspec.json.Decoder(tuple[Touched, ...])

_INSERT: Final = (
    "INSERT INTO records (generation, name, offset, line, packed) VALUES (?, ?, ?, CAST(? AS TEXT), ?)"
)


class ConsumerRow(NamedTuple):
    """The stored state of a consumer, and its live generation. `id`: 0 if it has no row."""

    id: int = 0
    generation: int | None = None
    state: ConsumerState = ConsumerState()


def find_consumer(connection: sqlite3.Connection, consumer: Consumer) -> ConsumerRow:
    """The consumer's row. Raises Unreadable."""
    row = connection.execute(
        "SELECT id, generation, state FROM consumers WHERE context = ? AND name = ?",
        (consumer.context, consumer.name),
    ).fetchone()
    if row is None:
        return ConsumerRow()
    number, generation, state = row
    try:
        decoded = decode_as(state, _state_decoder)
    except UNDECODABLE as error:
        raise Unreadable(f"the state of {consumer} cannot be read: {error}") from error
    return ConsumerRow(number, generation, msgspec.structs.replace(decoded, unsettled=False))  # never stored


def add_consumer(connection: sqlite3.Connection, consumer: Consumer) -> ConsumerRow:
    """Add a row with an empty state."""
    added = connection.execute(
        "INSERT INTO consumers (context, name, state) VALUES (?, ?, ?)",
        (consumer.context, consumer.name, _encode(ConsumerState())),
    )
    assert added.lastrowid is not None  # an INSERT has been run
    return ConsumerRow(added.lastrowid)


def set_state(connection: sqlite3.Connection, consumer_id: int, state: ConsumerState) -> None:
    connection.execute("UPDATE consumers SET state = ? WHERE id = ?", (_encode(state), consumer_id))


def set_writer(connection: sqlite3.Connection, consumer_id: int, token: str) -> None:
    connection.execute("UPDATE consumers SET writer = ? WHERE id = ?", (token, consumer_id))


def is_writer(connection: sqlite3.Connection, consumer_id: int, token: str) -> bool:
    query = "SELECT 1 FROM consumers WHERE id = ? AND writer = ?"
    return value_of(connection, query, consumer_id, token) is not None


def drop_consumer(connection: sqlite3.Connection, consumer_id: int) -> None:
    connection.execute("DELETE FROM consumers WHERE id = ?", (consumer_id,))


def consumers_with_content(connection: sqlite3.Connection) -> list[Consumer]:
    """All consumers that have a generation, live or not, in the order of their names."""
    rows = connection.execute(
        "SELECT DISTINCT context, name FROM consumers JOIN generations ON generations.consumer = consumers.id"
        " ORDER BY context, name"
    )
    return [Consumer(context.decode(), name.decode()) for context, name in rows]


def bytes_of_contents(connection: sqlite3.Connection, consumer_id: int) -> int | None:
    """Stored bytes of all lines, live or not; None if there is no generation."""
    # A file from before the packing has no such column.
    packed = any(row[1] == b"packed" for row in connection.execute("PRAGMA table_info(records)"))
    size = "length(CAST(line AS BLOB))" + (" + ifnull(length(packed), 0)" if packed else "")
    total: int | None = value_of(
        connection,
        f"SELECT (SELECT ifnull(sum({size}), 0) FROM records"  # noqa: S608  # a constant
        " WHERE generation IN (SELECT id FROM generations WHERE consumer = consumers.id))"
        " FROM consumers WHERE id = ? AND id IN (SELECT consumer FROM generations)",
        consumer_id,
    )
    return total


def set_live(connection: sqlite3.Connection, consumer_id: int, generation: int | None) -> None:
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


def live_generation(connection: sqlite3.Connection, row: ConsumerRow) -> int | None:
    """The live generation; None if there is none, or its row is missing."""
    stored: int | None = value_of(connection, "SELECT id FROM generations WHERE id = ?", row.generation)
    return stored


def occupant(connection: sqlite3.Connection, consumer: Consumer, row: ConsumerRow) -> tuple[int, str] | None:
    """The row and the name (`context/name`) of the other consumer whose content is live under the same index;
    None if this one's is, or none."""
    if live_generation(connection, row) is not None:
        return None
    others = connection.execute(
        "SELECT consumers.id, context, name, state FROM consumers JOIN generations"
        " ON generations.id = consumers.generation WHERE NOT (context = ? AND name = ?)"
        " ORDER BY context, name",
        (consumer.context, consumer.name),
    )
    for number, context, name, state in others:
        with suppress(*UNDECODABLE):
            stored_for = decode_as(state, _state_decoder).stored_for
            if stored_for is not None and stored_for.index == consumer.index:
                return number, str(Consumer(context.decode(), name.decode()))
    return None


def load_under_way(connection: sqlite3.Connection, row: ConsumerRow) -> Work | None:
    """The progress of a load: the newest generation that is not live."""
    load = connection.execute(
        "SELECT id, begun_at FROM generations WHERE consumer = ? AND id IS NOT ? ORDER BY id DESC LIMIT 1",
        (row.id, row.generation),
    ).fetchone()
    if load is None:
        return None
    since = None
    with suppress(ValueError, AttributeError):  # of a damaged row, which the next pass removes
        since = datetime.fromisoformat(load[1].decode())
    since = since if since is not None and since.tzinfo else None
    return Work(since=since, records=count_records(connection, load[0]) or None)


def drop_records(connection: sqlite3.Connection, generation: int, after: int, most: int) -> int | None:
    """Remove up to `most` records with an id above `after`. Returns the last one's id, None if there is none.

    The file has them in the order of their ids, so whole pages become free at once. The `+` keeps SQLite from
    using the index.
    """
    ids = connection.execute(
        "SELECT id FROM records WHERE id > ? AND +generation = ? ORDER BY id LIMIT ?",
        (after, generation, most),
    ).fetchall()
    if not ids:
        return None
    [first], [last] = ids[0], ids[-1]
    connection.execute(
        "DELETE FROM records WHERE id BETWEEN ? AND ? AND +generation = ?", (first, last, generation)
    )
    return int(last)


def drop_generation(connection: sqlite3.Connection, generation: int) -> None:
    connection.execute("DELETE FROM dictionaries WHERE generation = ?", (generation,))
    connection.execute("DELETE FROM generations WHERE id = ?", (generation,))


def add_dictionary(connection: sqlite3.Connection, number: int, generation: int, content: bytes) -> None:
    connection.execute("INSERT INTO dictionaries VALUES (?, ?, ?)", (number, generation, content))


def find_dictionary(connection: sqlite3.Connection, generation: int) -> bytes | None:
    content: bytes | None = value_of(
        connection, "SELECT content FROM dictionaries WHERE generation = ?", generation
    )
    return content


def add_records(connection: sqlite3.Connection, generation: int, rows: Sequence[RecordRow]) -> int:
    """Store these records, except where one with an offset as high is stored. Returns the number of new
    names.

    Texts are bound as bytes and cast: so they are stored without being decoded here.
    """
    new = connection.executemany(
        f"{_INSERT} ON CONFLICT (generation, name) DO NOTHING", ((generation, *row) for row in rows)
    ).rowcount
    if new < len(rows):
        put_records(connection, generation, rows)
    return new


def ambiguous(connection: sqlite3.Connection, generation: int, rows: Iterable[RecordRow]) -> int:
    """How many of these rows have the offset of the stored record of that name, but another line. One
    generation packs its lines alike, so equal ones are stored as equal bytes."""
    query = "SELECT offset, line, CAST(packed AS BLOB) FROM records WHERE generation = ? AND name = ?"
    number = 0
    for row in rows:
        offset, text, frame = connection.execute(query, (generation, row.name)).fetchone()
        packed = None if row.frame is None else row.frame.tobytes()
        number += offset == row.offset and (text, frame) != (row.text, packed)
    return number


def put_records(connection: sqlite3.Connection, generation: int, rows: Iterable[RecordRow]) -> None:
    """Store these records, except where one with an offset as high is stored."""
    connection.executemany(
        f"{_INSERT} ON CONFLICT (generation, name) DO UPDATE"
        " SET offset = excluded.offset, line = excluded.line, packed = excluded.packed"
        " WHERE excluded.offset > records.offset",
        ((generation, *row) for row in rows),
    )


def delete_records(connection: sqlite3.Connection, generation: int, deletes: Iterable[Delete]) -> None:
    """Remove these records, except where one with an offset as high is stored."""
    connection.executemany(
        "DELETE FROM records WHERE generation = ? AND name = ? AND offset < ?",
        ((generation, delete.name, delete.offset) for delete in deletes),
    )


def find_records(
    connection: sqlite3.Connection, generation: int | None, names: Sequence[str]
) -> Iterator[Record]:
    """The stored records among `names`; none without a generation. Raises Unreadable."""
    unpacker = Unpacker(connection)
    for start in range(0, len(names), _NAMES_AT_ONCE):
        some = names[start : start + _NAMES_AT_ONCE]
        rows = connection.execute(
            "SELECT name, offset, line, CAST(packed AS BLOB) FROM records"  # noqa: S608  # question marks
            f" WHERE generation = ? AND name IN ({', '.join('?' * len(some))})",
            (generation, *some),
        )
        for name, offset, text, frame in rows:
            yield Record(name.decode(), offset, _line(unpacker, name, text, frame))


def count_records(connection: sqlite3.Connection, generation: int) -> int:
    query = "SELECT count(*) FROM records WHERE generation = ?"
    return int(value_of(connection, query, generation))


def lines_by_name(connection: sqlite3.Connection, generation: int) -> Iterator[bytes]:
    """All lines, ascending by the names' UTF-8 bytes, which is SQLite's default order. Raises Unreadable."""
    unpacker = Unpacker(connection)
    rows = connection.execute(
        "SELECT name, line, CAST(packed AS BLOB) FROM records WHERE generation = ? ORDER BY name",
        (generation,),
    )
    return (_line(unpacker, name, text, frame) for name, text, frame in rows)


def _line(unpacker: Unpacker, name: bytes, text: bytes, frame: bytes | None) -> bytes:
    if frame is None:
        return text
    try:
        return unpacker.line(frame)
    except Unreadable as error:
        raise Unreadable(f"record {name.decode('utf-8', 'replace')} cannot be unpacked: {error}") from None


def _encode(state: ConsumerState) -> str:
    return msgspec.json.encode(msgspec.structs.replace(state, occupant=None)).decode()


def add_report(connection: sqlite3.Connection, report: PassReport, keep: int) -> None:
    """Within a transaction: add the pass, and remove the consumer's passes beyond the last `keep`."""
    context, _, name = report.consumer.partition("/")
    account = msgspec.json.encode(msgspec.structs.replace(report, touched=())).decode()
    touched = msgspec.json.encode(report.touched).decode()
    connection.execute(
        "INSERT INTO passes (pass_id, context, consumer, account, touched) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (report.pass_id, context, name, account, touched),
    )
    connection.execute(
        "DELETE FROM passes WHERE context = ? AND consumer = ? AND id <= "
        "(SELECT id FROM passes WHERE context = ? AND consumer = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (context, name, context, name, keep),
    )


def count_passes(connection: sqlite3.Connection, consumer: Consumer) -> int:
    """The number of passes of the consumer; 0 in a file from before the history."""
    if value_of(connection, "SELECT 1 FROM sqlite_master WHERE name = 'passes'") is None:
        return 0
    query = "SELECT count(*) FROM passes WHERE context = ? AND consumer = ?"
    return int(value_of(connection, query, consumer.context, consumer.name))


def drop_passes(connection: sqlite3.Connection, consumer: Consumer) -> None:
    """Within a transaction: remove all passes of the consumer."""
    connection.execute(
        "DELETE FROM passes WHERE context = ? AND consumer = ?", (consumer.context, consumer.name)
    )


def find_passes(
    connection: sqlite3.Connection, consumer: Consumer, most: int, *, touched: bool
) -> Iterator[PassReport]:
    """The last `most` passes, newest first. Raises StoreUnavailable for one that cannot be read."""
    column = "touched" if touched else "'[]'"
    rows = connection.execute(
        f"SELECT account, {column} FROM passes WHERE context = ? AND consumer = ? ORDER BY id DESC LIMIT ?",  # noqa: S608
        (consumer.context, consumer.name, most),
    )
    for account, touched_records in rows:
        try:
            report = decode_as(account, _report_decoder)
            report = msgspec.structs.replace(report, touched=decode_as(touched_records, _touched_decoder))
            report.ended_at  # noqa: B018  # it may be out of range
        except UNDECODABLE as error:
            raise StoreUnavailable(
                f"the history of {consumer} cannot be read: {error}",
                hint="use the version of ctisync that wrote it; passes work without the history",
            ) from error
        yield report
