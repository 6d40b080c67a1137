"""Files and documents of our own, as a disk, an editor or another program may have left them."""

import io
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from ctisync.commands.status import as_document, as_table, judge
from ctisync.commands.status.read import ConsumerStatus, Status
from ctisync.core.catalog import WrongManifest, manifest_entries, packaged
from ctisync.core.model import MAX_OFFSET, Consumer, ConsumerInfo, Snapshot
from ctisync.core.pass_report import PassReport, Touched, log_entries
from ctisync.core.state import ConsumerState, Cooldown, FailedChange, Owed, RefusedSnapshot
from ctisync.core.steps import Policy, Situation, SoFar, next_step
from ctisync.errors import AnotherPass, ConfigurationError, CtisyncError, StoreUnavailable
from ctisync.feed.snapshot.download import Download
from ctisync.notifications import metrics
from ctisync.stores.opensearch.client import Client, OpenSearchReply
from ctisync.stores.opensearch.refusals import Curl
from ctisync.stores.opensearch.state_document import Lease, StateDocument, StateEntry, Swap
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system import locks
from ctisync.system.clock import SystemClock
from tests.fuzz.drawing import Drawn
from tests.fuzz.on_json import WORDS
from tests.fuzz.place import folder
from tests.fuzz.printed import harmless, refusing
from tests.fuzz.target import target
from tests.support.clock import FakeClock
from tests.support.log import KeptLog

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONSUMER: Final = Consumer()

STATE: Final = ConsumerState(
    offset=7,
    last_offset=9,
    last_snapshot_link="https://a.example/7.zip#0123456789abcdef",
    snapshot_offset=5,
    content=True,
    range_to=9,
    owed=Owed(7, 2),
    failed=FailedChange(
        8, "CVE-1", 0, "no such path", "d1", "https://a.example/5.zip", reinitialised=True, blocked=True
    ),
    refused=RefusedSnapshot("https://a.example/x", '"e"', 5, "damaged"),
    stored_for=CONSUMER,
    checked_at=NOW,
    updated_at=NOW,
    reinitialised_at=NOW,
    cooldown=Cooldown(NOW + timedelta(minutes=5), "429"),
)

DEEP: Final = b'{"offset":1,"x":' + b"[" * 1200
"""Deeper than the decoder goes, in a field that is not known."""

NAMES: Final = tuple(f'"{name}":'.encode() for name in ConsumerState.__struct_fields__)
TOKENS: Final = (
    *b'"2026-03-01T12:00:00" "2026-03-01T12:00:00Z" "9999-12-31T23:59:59.9Z"'.split(),
    b'"0001-01-01T00:00:00Z"',
    *NAMES,
    *WORDS,
    *b"-1 9223372036854775808 null".split(),
    *b'"until": "reason": "2026-03-01T12:00:00+23:59" "schema":'.split(),
)


def used(state: ConsumerState) -> None:
    """What passes and commands do with a state: they decide by it, and show it."""
    for info in (None, ConsumerInfo(9, Snapshot("https://a.example/9.zip", 9))):
        next_step(Situation(state, info, CONSUMER, SoFar(), Policy(), NOW))
    status = Status("sqlite:///x", (ConsumerStatus(CONSUMER, state, 3),))
    json.dumps(as_document(status))
    as_table(status, io.StringIO(), NOW)
    judge.check(status, NOW)
    msgspec.json.decode(msgspec.json.encode(state), type=ConsumerState)


def _database() -> Path:
    path = folder() / "states.db"
    path.unlink(missing_ok=True)
    store = SqliteStore(path, FakeClock())
    store.record_check(CONSUMER, ConsumerState(checked_at=NOW))
    return path


@target(
    seeds=[
        msgspec.json.encode(STATE),
        DEEP,
        b"{}",
        b"null",
        b'{"offset":"7"}',
        b'{"cooldown":{"until":"2026-03-01T12:00:00Z","reason":""}}',
    ],
    tokens=TOKENS,
)
def sqlite_states(data: bytes) -> None:
    """The state in a SQLite file, whatever stands there: told as unreadable, or used as any other."""
    path = folder() / "states.db"
    if not path.exists():
        _database()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("UPDATE consumers SET state = CAST(? AS TEXT)", (data,))
    with refusing(StoreUnavailable, ConfigurationError):
        used(SqliteStore(path, FakeClock(NOW)).read_state(CONSUMER))


class _OneAnswer:
    """A node that has one document, and takes what is written for granted."""

    timeout = 1.0

    def __init__(self, body: str) -> None:
        self._body = body
        self.written = b""

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if method == "GET":
            return OpenSearchReply(200, self._body.encode())
        self.written = body or b""
        return OpenSearchReply(200, b'{"_seq_no":2,"_primary_term":1}')

    def close(self) -> None:
        pass


ENTRY: Final = StateEntry(
    STATE, Lease("t", "o", "h", 7, 1_800_000_000), "w", "wazuh-cve-1", Swap("wazuh-cve-2", 5, STATE)
)


def _as_stored(entry: StateEntry) -> bytes:
    ours = msgspec.to_builtins(entry) | {"schema": 1}
    public = {"offset": 7, "last_offset": 9, "last_snapshot_link": "https://a.example/7.zip", "ctisync": ours}
    return msgspec.json.encode(public)


@target(
    seeds=[
        _as_stored(ENTRY),
        DEEP,
        b"{}",
        b"null",
        b'{"ctisync":{"schema":1,"state":{}},"offset":0,"last_snapshot_link":null}',
    ],
    tokens=[
        *TOKENS,
        b'"ctisync":',
        b'"state":{',
        b'"lease":{',
        b'"swap":{',
        b'"after":{',
        b'"pid":',
        b'"schema":2',
    ],
)
def opensearch_states(data: bytes) -> None:
    """The state in an OpenSearch document: told as damaged, or used; what is not ours is written back."""
    text = data.decode("utf-8", "replace")
    other = '{"a": 1.50, "b":[ ]}'
    node = _OneAnswer(
        '{"_source":{"other":%s,"vd_4.8.0":%s},"_seq_no":1,"_primary_term":1}' % (other, text)  # noqa: UP031
    )
    client = Client(node, Curl("http://127.0.0.1:9200"), FakeClock(NOW))
    document = StateDocument(client, CONSUMER, 0)
    with refusing(StoreUnavailable, ConfigurationError):
        entry_read = document.read()
        used(entry_read.entry.state)
        if entry_read.has_entry and (written := document.write(entry_read, entry_read.entry)) is not None:
            again = msgspec.json.decode(node.written, type=dict[str, msgspec.Raw])
            assert bytes(again["other"]) == other.encode()
            assert written.entry == entry_read.entry


@target(
    seeds=[
        b'\3{"link":"https://a.example/7.zip","etag":"\\"e\\"","size":9}',
        b'\0{"link":"https://a.example/7.zip","etag":null,"size":null}',
        b"\1" + DEEP,
        b'\1{"link":"https://a.example/7.zip","etag":"W/\\"e\\"","size":3}',
    ],
    tokens=[
        b'"link":"https://a.example/7.zip"',
        b'"etag":"\\"',
        b'"size":',
        b"\\u00e9",
        b"\\n",
        b"\xc3\xa9",
        b"\\u0000",
        *WORDS,
    ],
    most_bytes=400,
)
def notes(data: bytes) -> None:
    """The note beside a part of a download: used for a question that can be asked, or of no account."""
    drawn = Drawn(data)
    have = drawn.number(12)
    part = folder() / "note.part"
    part.write_bytes(b"x" * have)
    part.with_suffix(".json").write_bytes(drawn.rest())
    log = KeptLog()
    download = Download(part, "https://a.example/7.zip", None, 100, log)
    headers = download.request_headers()
    request = httpx.Request("GET", "https://a.example/7.zip", headers=headers)
    for name, value in request.headers.raw:
        assert not set(value) & {0, 10, 13}, f"{name!r}: {value!r} is more than one header"
    assert ("range" in request.headers) == ("if-range" in request.headers)


@target(
    seeds=[
        b'{"pid":1,"since":"2026","command":"ctisync sync"}',
        DEEP,
        b"",
        b'{"pid":-1,"since":"","command":"\\u001b[2J"}',
    ],
    tokens=[b'"pid":', b"99999999999999999999", b"-1", b"0", b'"since":', b'"command":"', *WORDS],
    most_bytes=300,
)
def lock_files(data: bytes) -> None:
    """What a lock file says of its holder is told, or passed over; it never stops the one who reads it."""
    path = folder() / "x.lock"
    path.write_bytes(data)
    locks.diagnose(path)
    owner = locks.read_lock(path).who
    assert owner is None or not re.search(r"process (0|-)", owner), owner
    with locks.host_lock(path, SystemClock(), "ctisync sync"):
        path.write_bytes(data)
        with refusing(AnotherPass), locks.host_lock(path, SystemClock(), "ctisync sync"):
            raise AssertionError("two hold one lock")


def _report(consumer: str) -> PassReport:
    return PassReport(
        pass_id="1",
        command="sync",
        consumer=consumer,
        index="wazuh-cve",
        began_at=NOW,
        seconds=1.5,
        exit_code=0,
        outcome="up-to-date",
        why="",
        offset=7,
        last_offset=9,
        phase="ready",
        checked_at=NOW,
        updated_at=NOW,
    )


def _figures() -> bytes:
    path = folder() / "seed.prom"
    metrics.write([_report("a/b"), _report('c"/\\d')], path)
    return path.read_bytes()


@target(
    seeds=[_figures()[:1500], b"x 1\n", b'x{consumer="a"} 1 2\n', b"# HELP x y\n# TYPE x gauge\n", b""],
    tokens=[
        b"ctisync_offset",
        b'{consumer="',
        b'"} ',
        b"NaN",
        b"+Inf",
        b"# TYPE ",
        b"# HELP ",
        b" histogram\n",
        b"\\n",
        b"\\\\",
        b"1e400",
        b"le=",
        b"{",
        b"}",
        b",",
    ],
)
def metric_files(data: bytes) -> None:
    """Figures are written over whatever the file holds, and read back; the same ones make the same file."""
    path = folder() / "x.prom"
    path.write_bytes(data)
    metrics.write([_report("a/b")], path)
    first = path.read_bytes()
    families = list(text_string_to_metric_families(first.decode()))
    offsets = [each for each in families if each.name == "ctisync_offset"]
    (ours,) = [sample.value for sample in offsets[0].samples if sample.labels == {"consumer": "a/b"}]
    assert ours == 7
    for line in first.decode().removesuffix("\n").split("\n"):
        assert harmless(line) or not harmless(data.decode("utf-8", "replace").replace("\n", "")), line
    metrics.write([_report("a/b")], path)
    assert path.read_bytes() == first, "the same figures make another file"


@target(
    seeds=[
        msgspec.json.encode(_report("vd_1.0.0/vd_4.8.0"))
        + b"\n"
        + msgspec.json.encode((Touched(1, "created", "CVE-1"),)),
        b"{}\n[]",
        DEEP + b"\n[]",
        b'null\n[[1,"loaded",""]]',
    ],
    tokens=[
        *TOKENS,
        b'"began_at":',
        b'"seconds":',
        b"1e308",
        b"1e20",
        b'"touched":',
        b'"untold":',
        b'"exit_code":',
    ],
)
def histories(data: bytes) -> None:
    """A pass of the past, in a row of SQLite: told as unreadable, or shown."""
    report, _, touched = data.partition(b"\n")
    path = folder() / "states.db"
    if not path.exists():
        _database()
    store = SqliteStore(path, FakeClock(NOW))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("DELETE FROM passes")
        connection.execute(
            "INSERT INTO passes (pass_id, context, consumer, account, touched) "
            "VALUES ('1', ?, ?, CAST(? AS TEXT), CAST(? AS TEXT))",
            (CONSUMER.context, CONSUMER.name, report, touched),
        )
    with refusing(CtisyncError):
        passes = list(store.passes(CONSUMER, 10, touched=True))
        for each in log_entries(passes):
            each.at.isoformat()
        for one in passes:
            assert one.ended_at >= one.began_at or one.seconds < 0
            one.reasons()


MANIFEST: Final = (
    b'{"ruleset.zip":{"name":"public-ruleset-5","context":"t1-ruleset-5","local_offset":7,"remote_offset":9}}'
)


@target(
    seeds=[
        MANIFEST,
        MANIFEST.replace(b"7", b"-7"),
        MANIFEST.replace(b"7", b"9223372036854775808"),
        MANIFEST.replace(b'"name"', b'"name":5,"x"'),
        MANIFEST.replace(b'"local_offset"', b'"resource":"https://h/catalog/contexts/a/consumers/b","x"'),
        b'{"a":1,"b":[],"":{"local_offset":1}}',
        DEEP,
    ],
    tokens=[
        *WORDS,
        b'"local_offset":',
        b'"remote_offset":',
        b'"resource":"https://h/catalog/contexts/',
        b"/consumers/",
        b'"context":"',
        b'"name":"',
        b'.zip":{',
        b"true",
        b"1.0",
    ],
)
def manifests(data: bytes) -> None:
    """A manifest's entry is one that a pass can begin with, or is refused in words that can be shown."""
    with refusing(WrongManifest):
        entries = manifest_entries(data)
        for file in entries:
            with refusing(WrongManifest):
                one = packaged(entries, file)
                assert 0 <= one.offset <= MAX_OFFSET
                assert type(one.offset) is int
                assert one.context
                assert one.name
