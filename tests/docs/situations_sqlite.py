"""What the page shows of a SQLite file: another program's, newer, full, damaged, locked, gone."""

import io
import sqlite3
import struct
import zipfile
from contextlib import closing

from ctisync.core.model import Consumer
from ctisync.stores.sqlite.connection import PAGE_SIZE
from ctisync.stores.sqlite.schema import MIGRATIONS
from ctisync.system.locks import lock_beside
from tests.docs.situations import situation
from tests.docs.stage import Printed, Stage
from tests.support.feed_failures import Reply
from tests.support.feed_history import churn, populate


def damage(stage: Stage) -> None:
    """The first page stays, all others are lost."""
    size = stage.database.stat().st_size
    with stage.database.open("r+b") as file:
        file.seek(PAGE_SIZE)
        file.write(b"\xff" * (size - PAGE_SIZE))


def removed_in_the_middle(stage: Stage) -> None:
    """Of the next pass: it asks for its first range before it opens the file to write."""
    reached = stage.feed.history.last_offset
    stage.feed.history.gap(1000)
    churn(stage.feed.history, 30)

    def answer(reply: Reply) -> Reply:
        stage.database.unlink()
        return reply

    stage.feed.fail(lambda request: request.kind == "changes" and request.range[0] > reached, answer)


@situation("foreign-database")
def _(stage: Stage) -> Printed:
    stage.alter_database("CREATE TABLE theirs (value)")
    return stage.run("sync", "-q")


@situation("newer-database")
def _(stage: Stage) -> Printed:
    stage.follow()
    stage.alter_database(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    return stage.run("sync", "-q")


@situation("full")
def _(stage: Stage) -> Printed:
    stage.follow()
    populate(stage.feed.history, 500, first=5000)
    return stage.run("sync", "-q", HURRIED_PAGES="30")


@situation("replaced")
def _(stage: Stage) -> Printed:
    stage.follow()
    removed_in_the_middle(stage)
    return stage.run("sync", "-q")


@situation("no-room")
def _(stage: Stage) -> Printed:
    stage.feed.publish_snapshot(body=of_a_declared_size(b"\n".join(stage.feed.expected_lines()), 1 << 50))
    return stage.run("sync", "-q")


def of_a_declared_size(content: bytes, size: int) -> bytes:
    """A ZIP that says so of its one member, in its zip64 field (APPNOTE 4.5.3)."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo("vd_1.0.0_vd_4.8.0_1901695_1746459961.json")
        member.extra = struct.pack("<HHQ", 1, 8, size)
        archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    body = bytearray(target.getvalue())
    struct.pack_into("<I", body, body.index(b"PK\x03\x04") + 22, 0xFFFF_FFFF)
    struct.pack_into("<I", body, body.index(b"PK\x01\x02") + 24, 0xFFFF_FFFF)
    return bytes(body)


@situation("damaged")
def _(stage: Stage) -> Printed:
    stage.follow()
    damage(stage)
    return stage.run("sync", "-q")


@situation("locked")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    with closing(sqlite3.connect(stage.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        return stage.run("sync", "-q")


@situation("not-writable")
def _(stage: Stage) -> Printed:
    """Tests may run as root, to whom nothing is forbidden: another reason stands in for that."""
    lock_beside(stage.database, Consumer()).mkdir()
    stage.names["Is a directory"] = "Permission denied"
    return stage.run("sync", "-q")


@situation("shared-folder")
def _(stage: Stage) -> Printed:
    stage.follow()
    stage.state.chmod(0o775)
    return stage.run("sync", "-q")


@situation("not-configured")
def _(stage: Stage) -> Printed:
    stage.follow()
    printed = stage.run("status", CTISYNC_CONSUMERS='[{"consumer": "another"}]')
    return printed._replace(text=printed.text.splitlines()[-1])


@situation("gone")
def _(stage: Stage) -> Printed:
    stage.follow()
    stage.alter_database("UPDATE consumers SET generation = NULL")
    return stage.run("export", "-q")
