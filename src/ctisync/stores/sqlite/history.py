"""The history in a SQLite file: one row per pass, with its report and the touched records as JSON."""

import sqlite3
from collections.abc import Iterator
from typing import Final

import msgspec

from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport, Touched
from ctisync.errors import StoreUnavailable

_report_decoder: Final = msgspec.json.Decoder(PassReport)
_touched_decoder: Final = msgspec.json.Decoder(tuple[Touched, ...])


def remember(connection: sqlite3.Connection, report: PassReport, keep: int) -> None:
    """Within a transaction: add the pass, and remove the consumer's passes beyond the last `keep`."""
    context, _, name = report.consumer.partition("/")
    told = msgspec.json.encode(msgspec.structs.replace(report, touched=())).decode()
    touched = msgspec.json.encode(report.touched).decode()
    connection.execute(
        "INSERT INTO passes (pass_id, context, consumer, account, touched) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (report.pass_id, context, name, told, touched),
    )
    connection.execute(
        "DELETE FROM passes WHERE context = ? AND consumer = ? AND id <= "
        "(SELECT id FROM passes WHERE context = ? AND consumer = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (context, name, context, name, keep),
    )


def count(connection: sqlite3.Connection, consumer: Consumer) -> int:
    """The number of passes of the consumer; 0 in a file from before the history."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'passes'").fetchone():
        return 0
    (number,) = connection.execute(
        "SELECT count(*) FROM passes WHERE context = ? AND consumer = ?", (consumer.context, consumer.name)
    ).fetchone()
    return int(number)


def forget(connection: sqlite3.Connection, consumer: Consumer) -> None:
    """Within a transaction: remove all passes of the consumer."""
    connection.execute(
        "DELETE FROM passes WHERE context = ? AND consumer = ?", (consumer.context, consumer.name)
    )


def passes(
    connection: sqlite3.Connection, consumer: Consumer, most: int, *, touched: bool
) -> Iterator[PassReport]:
    """The last `most` passes, newest first. Raises StoreUnavailable for one that cannot be read."""
    column = "touched" if touched else "'[]'"
    rows = connection.execute(
        f"SELECT account, {column} FROM passes WHERE context = ? AND consumer = ? ORDER BY id DESC LIMIT ?",  # noqa: S608
        (consumer.context, consumer.name, most),
    )
    for report, of_it in rows:
        try:
            found = decode_as(report, _report_decoder)
            found = msgspec.structs.replace(found, touched=decode_as(of_it, _touched_decoder))
            found.ended_at  # noqa: B018  # it may be out of range
        except UNDECODABLE as error:
            raise StoreUnavailable(
                f"the history of {consumer} cannot be read: {error}",
                hint="use the version of ctisync that wrote it; passes work without the history",
            ) from error
        yield found
