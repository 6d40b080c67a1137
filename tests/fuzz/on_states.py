"""Stored states as wholes: whatever stands there, each pass and each look ends as one of ctisync's errors
says; and what that error says to type heals it."""

import io
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from ctisync.commands.status import as_document, as_table, judge
from ctisync.commands.status.read import ConsumerStatus, Status
from ctisync.core.model import Consumer
from ctisync.core.pass_plan import plan_pass
from ctisync.core.steps import Mode, Policy
from ctisync.errors import CtisyncError
from ctisync.hints import load_anew
from ctisync.stores.opensearch.client import Client
from ctisync.stores.opensearch.lease import can_take_over, work_of
from ctisync.stores.opensearch.refusals import Curl
from ctisync.stores.opensearch.state_document import StateDocument
from ctisync.stores.sqlite.backend import SqliteBackend
from ctisync.stores.sqlite.connection import open_writable
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.verify.rules import check_count, check_offsets, check_state
from tests.fuzz import on_files
from tests.fuzz.place import folder
from tests.fuzz.printed import check_printed
from tests.fuzz.target import target
from tests.support.clock import FakeClock
from tests.support.log import KeptLog
from tests.support.memory_feed import MemoryFeed, MemoryServer
from tests.support.one_pass import parts_of, passed

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONSUMER: Final = Consumer()
MODES: Final[tuple[Mode, ...]] = ("update", "sync", "init-snapshot")


@cache
def server() -> MemoryServer:
    """A feed at offset 9, with a snapshot of offset 5."""
    made = MemoryServer()
    for number in range(1, 6):
        made.history.create(f"CVE-{number}", {"n": number})
    made.offer_snapshot()
    for number in range(1, 5):
        made.history.update(f"CVE-{number}", [{"op": "replace", "path": "/n", "value": 0}])
    return made


def _passed(store: SqliteStore, mode: Mode) -> CtisyncError | None:
    try:
        passed(
            parts_of(
                CONSUMER,
                feed=MemoryFeed(server()),
                store=store,
                commands=None,
                clock=FakeClock(NOW),
                log=KeptLog(),
                policy=Policy(mode, now=True),
            )
        )
    except CtisyncError as error:
        return error
    return None


@cache
def _filled() -> bytes:
    """A file with the content of the whole feed."""
    path = folder() / "filled.db"
    assert _passed(SqliteStore(path, FakeClock(NOW)), "sync") is None
    return path.read_bytes()


def _placed(content: bytes) -> Path:
    path = folder() / "state.db"
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    path.write_bytes(content)
    return path


def _with_state(text: bytes) -> Path:
    path = _placed(_filled())
    with closing(open_writable(path)) as file, file.transaction():
        file.connection.execute("UPDATE consumers SET state = CAST(? AS TEXT)", (text,))
    return path


def _read_all(store: SqliteStore) -> None:
    state = store.read_state(CONSUMER)
    count = store.summary(CONSUMER).records
    status = Status(store.name, (ConsumerStatus(CONSUMER, state, count, work=store.work(CONSUMER)),))
    as_document(status)
    as_table(status, io.StringIO(), NOW)
    judge.check(status, NOW)
    for mode in MODES:
        list(plan_pass(state, CONSUMER, Policy(mode), NOW, MemoryFeed(server()).consumer_info))
    list(check_state(state))
    list(check_count(state, count))
    list(check_offsets(state))
    list(store.export(CONSUMER))
    list(store.passes(CONSUMER, 9, touched=True))
    store.footprint(CONSUMER)
    store.consumers()
    with store.inspect(CONSUMER) as inspection:
        list(inspection.findings(deep=True))
        list(inspection.scan())
        inspection.lookup(["CVE-1"])
        inspection.neighbours("CVE-3", 2)


def _played(path: Path) -> None:
    """Each look, and then passes until one of them succeeds; what the last error says is typed."""
    store = SqliteStore(path, FakeClock(NOW), 0.2)
    with suppress(CtisyncError):
        _read_all(store)
    error = _passed(store, "update")
    error = _passed(store, "sync") or error
    if error is None:
        return
    check_printed(error)
    if load_anew() in (error.hint or ""):
        for mode in ("init-snapshot", "sync"):
            assert (failed := _passed(store, mode)) is None, f"{error.message}: {failed}"
        history = server().history
        assert list(store.export(CONSUMER)) == list(history.expected_records(history.last_offset).values())


@target(
    seeds=[
        msgspec.json.encode(on_files.STATE),
        b'{"offset":9,"content":true,"range_to":99999999,"snapshot_offset":5}',
        b'{"offset":9,"content":true,"unsettled":true,"loading":true}',
        b'{"offset":9,"content":false}',
        b'{"offset":-9,"content":true}',
        b'{"offset":' + b"9" * 4400 + b"}",
        b'{"x":' + b"[" * 1200,
    ],
    tokens=on_files.TOKENS,
    most_bytes=4500,
)
def states_in_passes(data: bytes) -> None:
    """The state in a SQLite file with content, in looks and in passes of each kind."""
    _played(_with_state(data))


@target(
    seeds=[
        on_files._as_stored(on_files.ENTRY),
        (
            b'{"ctisync":{"schema":1,"state":{"unsettled":true},"lease":{"token":"t","owner":"o","host":"h",'
            b'"pid":1,"until":99999999999999999999,"since":-99999999999999999}},"offset":9,'
            b'"last_snapshot_link":null}'
        ),
        (
            b'{"ctisync":{"schema":1,"state":{"content":true,"range_to":99999}},"offset":9,'
            b'"last_snapshot_link":null}'
        ),
    ],
    tokens=[*on_files.TOKENS, b'"ctisync":', b'"state":{', b'"lease":{', b'"since":', b'"until":', b'"pid":'],
)
def documents_in_passes(data: bytes) -> None:
    """The same of a state in an OpenSearch document, and its lease. The passes are on a SQLite file."""
    text = data.decode("utf-8", "replace")
    node = on_files._OneAnswer('{"_source":{"vd_4.8.0":%s},"_seq_no":1,"_primary_term":1}' % text)  # noqa: UP031
    client = Client(node, Curl("http://127.0.0.1:9200"), FakeClock(NOW))
    try:
        entry = StateDocument(client, CONSUMER, 0).read().entry
    except CtisyncError as error:
        check_printed(error)
        return
    if entry.lease is not None:
        work, now = work_of(entry.lease), int(NOW.timestamp())
        one = ConsumerStatus(CONSUMER, entry.state, 3, work=work)
        as_table(Status("x", (one,)), io.StringIO(), NOW)
        can_take_over(entry.lease, now)
    assert not entry.state.unsettled
    _played(_with_state(msgspec.json.encode(entry.state)))


@target(
    seeds=[
        b"",
        b"\0\0\1",
        b"\x10\0\x80",
        b"\x3e\xc1\x80",
        b"\x3e\xbf\x04\x10\x02\x01",
        b"\xff\xff\x80",
        b"\x3e\xd0\x80",
        b"\x38\x73\x80",
    ],
    tokens=[b"\x3e", b"\x3f", b"\x80", b"\0\0"],
    most_bytes=24,
)
def altered_files(data: bytes) -> None:
    """A SQLite file in which some bytes are others: three bytes each, of which two say where (in the half of
    the pages that has the schema, or anywhere), and the last one which bits."""
    content = bytearray(_filled())
    for start in range(0, len(data) - 2, 3):
        at, bits = int.from_bytes(data[start : start + 2], "big"), data[start + 2]
        content[at * 8 % len(content) if at & 0x8000 else at % 16384] ^= bits
    path = _placed(bytes(content))
    with suppress(CtisyncError):
        SqliteBackend(path).free_space()
    _played(path)
