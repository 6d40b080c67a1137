"""Answers of a server: whatever it sends, what leaves is a record, a refusal or another try."""

import gzip
import math
import re
import shutil
import ssl
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from unittest.mock import patch

import httpcore
import httpx

from ctisync.command_manager import _accepts, _excerpt
from ctisync.core.health import judge_clocks
from ctisync.core.limits import Limits
from ctisync.core.model import MAX_OFFSET, Consumer, OffsetRange, Snapshot
from ctisync.core.retry import http_date, next_delay, parse_retry_after
from ctisync.errors import CtisyncError, ReplyTooLarge, SnapshotChanged, SnapshotRefused
from ctisync.feed.client import CtiFeed
from ctisync.feed.http import transport
from ctisync.feed.http.budget import PassLimits, RetryLater
from ctisync.feed.http.replies import decoded
from ctisync.feed.http.transport import FeedReply
from ctisync.feed.snapshot.download import Download
from ctisync.tls import Files
from tests.fuzz.drawing import Drawn
from tests.fuzz.on_archives import LINES, packed
from tests.fuzz.on_json import in_chunks
from tests.fuzz.on_wire import CHANGES, INFO
from tests.fuzz.place import folder
from tests.fuzz.printed import harmless, refusing
from tests.fuzz.target import target
from tests.support.clock import FakeClock
from tests.support.log import KeptLog

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LINK: Final = "https://192.0.2.7/7.zip"


@target(
    seeds=[
        b"120",
        b"Sun, 01 Mar 2026 12:01:00 GMT",
        b"0",
        b"Sun, 01 Mar 2026 12:01:00 -0530",
        b"-1",
        b"1 Jan 70 1:1",
        b"",
    ],
    tokens=[
        b"Mon, ",
        b" Jan ",
        b" 9999 ",
        b" 0001 ",
        b"GMT",
        b"+2359",
        b"-9999",
        b"+999999",
        b"23:59:60",
        b":",
        b"99",
        b"(",
        b")",
        b",",
        b"AM",
    ],
    most_bytes=100,
)
def dates(data: bytes) -> None:
    """`Retry-After` and `Date`: seconds to wait that are a number and not below none, or no word at all."""
    text = data.decode("latin-1")
    seconds = parse_retry_after(text, NOW)
    if seconds is not None:
        assert 0 <= seconds < math.inf
        delay = next_delay(1, seconds, 1e12, 0.5)
        assert delay is None or delay >= seconds, "the server is asked before it wants to be"
    if (theirs := http_date(text)) is not None:
        assert harmless(judge_clocks(theirs, NOW).text)


@target(
    seeds=[
        b"\0\0" + b"plain",
        b"\1\0" + gzip.compress(b"x" * 50, mtime=0),
        b"\1\2\3\4" + gzip.compress(b"a", mtime=0) * 2,
        b"\2\1br",
        b"\1\0" + gzip.compress(b"z" * 5000, mtime=0),
    ],
    tokens=[gzip.compress(b"", mtime=0), gzip.compress(b"z" * 5000, mtime=0), b"\x1f\x8b\x08", b"\0" * 8],
)
def bodies(data: bytes) -> None:
    """A body, packed or not: what Python's own gzip makes of it, never more than is allowed, or an error."""
    drawn = Drawn(data)
    encoding = drawn.choice(["", "gzip", "br", "x-gzip", "identity", " GZIP "])
    cuts, body = drawn.take(drawn.number(6)), drawn.rest()
    out = b""
    try:
        for piece in decoded(iter(in_chunks(cuts, body)), encoding, 1000, 10):
            out += piece
            assert len(out) <= 990, "more than is allowed"
    except (ReplyTooLarge, RetryLater):
        return
    if encoding.strip().lower() in ("", "identity"):
        assert out == body
        return
    try:
        theirs = gzip.decompress(body)
    except (EOFError, zlib.error, OSError) as error:
        raise AssertionError(f"{out!r} of what gzip does not take: {error}") from None
    assert out == theirs


HEADERS: Final = (
    ("etag", ('"a"', '"b"', 'W/"a"', "a", "", '"\u00e9"')),
    ("content-length", ("0", "5", "12", "-1", "1" * 30, "\u0665", "5, 5")),
    (
        "content-range",
        (
            *("bytes 4-8/9", "bytes 4-9/9", "bytes */4", "bytes */6", "bytes 6-8/9", "bytes 6-7/8"),
            *("bytes 0-3/4", "bytes 4-8/*", "bytes 4-3/4", ""),
        ),
    ),
    ("content-encoding", ("identity", "gzip", "")),
    ("transfer-encoding", ("chunked",)),
)


@target(seeds=[bytes(range(40)), b"\2\2" * 20, b"\4\1\0\0" * 10], most_bytes=200)
def downloads(data: bytes) -> None:
    """A part, a note and answers with headers that lie: the file that is called complete is of the size that
    was announced, and of one ETag; a part is joined only to what its server confirms by a strong one."""
    drawn = Drawn(data)
    part = folder() / "x.part"
    etag = drawn.choice(['"a"', 'W/"a"', None, '"b"'])
    size = drawn.choice([9, None, 4, 2])
    before = b"old!"[: drawn.number(5)]
    log = KeptLog()
    download = Download(part, LINK, None, 20, log)
    if before:
        part.write_bytes(before)
        note = {"link": LINK, "etag": etag, "size": size}
        part.with_suffix(".json").write_text(
            str(note).replace("'", "\0").replace('"', '\\"').replace("\0", '"').replace("None", "null")
        )
        download = Download(part, LINK, None, 20, log)
    download.in_use = drawn.number(4) == 1
    for _ in range(1 + drawn.number(3)):
        requested = download.request_headers()
        is_part = "Range" in requested
        begun = part.read_bytes() if part.exists() else b""
        headers = {name: drawn.choice(values) for name, values in HEADERS if drawn.number(2)}
        status = drawn.choice([200, 206, 416, 206])
        body = drawn.take(drawn.number(24))
        reply = FeedReply(LINK, status, headers, "", iter(in_chunks(drawn.take(3), body)))
        try:
            for _ in download.store(reply):
                pass
        except RetryLater:
            assert not part.exists() or part.stat().st_size <= 20, "more than limits.snapshot_bytes is kept"
            continue
        except (SnapshotRefused, SnapshotChanged):
            return
        made, offer = part.read_bytes() if part.exists() else b"", download.offer
        assert len(made) <= 20
        assert offer.size in (None, len(made)), f"{len(made)} bytes are called the whole of {offer}"
        if status == 200:
            same = offer.validator is not None and made == begun
            assert made == body or same, f"{made!r} of {body!r}"
        elif status == 206:
            assert is_part, "a part was not asked for"
            assert made == begun + body or (made == begun and offer.size == len(begun))
            assert requested["If-Range"] == offer.etag
            assert headers.get("etag") in (None, offer.etag)
        else:
            assert made == begun
        return


def _http(status: bytes, body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body])


_CHANGES: Final = b'{"data":[' + b",".join(CHANGES) + b"]}"
QUESTIONS: Final = 4


@target(
    seeds=[
        b"\0" + _http(b"200 OK", INFO, b"Date: Sun, 01 Mar 2026 12:00:09 GMT"),
        b"\1" + _http(b"200 OK", _CHANGES),
        b"\1" + _http(b"200 OK", gzip.compress(_CHANGES, mtime=0), b"Content-Encoding: gzip"),
        b"\2" + _http(b"200 OK", packed(LINES), b'ETag: "e"'),
        b"\2" + _http(b"302 Found", b"", b"Location: /other.zip"),
        b"\2" + _http(b"206 Partial Content", b"x", b"Content-Range: bytes 0-0/7"),
        b"\3" + _http(b"200 OK", INFO),
        b"\0" + _http(b"429 Slow", b"", b"Retry-After: 7"),
        b"\0" + _http(b"403 No", b"words", b"Content-Type: text/plain"),
        b"\0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{}  \r\n0\r\nX: y\r\n\r\n",
        b"\0HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}",
    ],
    tokens=[
        b"HTTP/1.1 ",
        b"200 OK",
        b"301 ",
        b"403 ",
        b"404 ",
        b"407 ",
        b"429 ",
        b"503 ",
        b"206 ",
        b"\r\n",
        b"\r\n\r\n",
        b": ",
        b"Location: ",
        b"Retry-After: ",
        b"Date: ",
        b"Content-Encoding: ",
        b"Transfer-Encoding: chunked\r\n",
        b"ETag: ",
        *b"\x1b[2J \xe9".split(),
        b"Content-Range: bytes ",
        b"Content-Length: ",
        b"Content-Type: text/html",
        b"Set-Cookie: a=b",
        *b"https:// //[ http://127.0.0.1/ gzip ffffffff 9999999999999999999".split(),
        b"0\r\n\r\n",
    ],
)
def feeds(data: bytes) -> None:
    """A server that may say anything, asked over HTTP as a pass does: an answer, or an error of ours."""
    question, answer = data[:1], data[1:]
    clock = FakeClock(NOW)
    pass_limits = PassLimits(
        clock, Limits(reply_bytes=4000, snapshot_bytes=4000, json_values=1000, json_depth=20)
    )
    spool = folder() / "spool"
    shutil.rmtree(spool, ignore_errors=True)
    with (
        patch.object(transport, "_client", lambda *_, **__: _client_of(answer)),
        CtiFeed(
            base_url="https://192.0.2.7/api/v1",
            consumer=Consumer(),
            token="to-ken",
            ca_file=None,
            retry_budget=2.0,
            lock=spool / "ctisync.lock",
            pass_limits=pass_limits,
            log=KeptLog(),
            cooldown=60.0,
            load_while_downloading=bool(answer) and answer[-1] % 2 == 0,
        ) as feed,
    ):
        kind = int.from_bytes(question, "little") % QUESTIONS
        with refusing(CtisyncError):
            _REQUESTS[kind](feed)


class _Stream(httpcore.MockStream):
    """A connection to the address that was asked for."""

    def get_extra_info(self, info: str) -> Any:
        return ("192.0.2.7", 443) if info == "server_addr" else super().get_extra_info(info)


class _Server(httpcore.MockBackend):
    """Gives each connection the same answer."""

    def connect_tcp(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        return _Stream(list(self._buffer))


_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_made = transport._client


@cache
def _real_client() -> httpx.Client:
    return _made(Files("cti"), "https")


def _client_of(answer: bytes) -> httpx.Client:
    """As the real one, but for where its connections lead; made quickly."""
    http = httpx.HTTPTransport(verify=_TLS, trust_env=False)
    http._pool = httpcore.ConnectionPool(ssl_context=_TLS, network_backend=_Server([answer]))
    like = _real_client()
    return httpx.Client(
        transport=http, headers=like.headers, cookies=like.cookies.jar, event_hooks=like.event_hooks
    )


def _ask_info(feed: CtiFeed) -> None:
    info = feed.consumer_info()
    assert info.last_offset is None or 0 <= info.last_offset <= MAX_OFFSET


def _ask_changes(feed: CtiFeed) -> None:
    changes = feed.changes(OffsetRange(4, 9))
    offsets = [change.offset for change in changes]
    assert offsets == sorted(set(offsets))
    assert all(4 < offset <= 9 for offset in offsets)


def _ask_snapshot(feed: CtiFeed) -> None:
    file = feed.open_snapshot(Snapshot(LINK, 9), None, lambda: None)
    try:
        for batch in file.records(9):
            assert all(record.offset <= 9 for record in batch)
    finally:
        file.close()


def _probe(feed: CtiFeed) -> None:
    for check in feed.diagnose()[0]:
        assert len(check.text) < 2000


_REQUESTS: Final[tuple[Callable[[CtiFeed], None], ...]] = (_ask_info, _ask_changes, _ask_snapshot, _probe)


@target(
    seeds=[
        b'{"result":"OK"}',
        b'{"orders":[]}',
        b'{"error":{"reason":"x"}}',
        b"<html>",
        b"",
        b'{"result":"\xff"}',
    ],
    tokens=[b'"result":', b'"orders":[', b'"error":', b"\xff", b"[" * 100, b"null", b"false"],
    most_bytes=3000,
)
def accepted_commands(data: bytes) -> None:
    """What the Command Manager answers is an acceptance or none, whatever it is."""
    assert _accepts(data) in (True, False)
    assert len(_excerpt(data)) < 220


@target(
    seeds=[b"\xce\x00bytes 0-0/7", b"\xc8\x0012", b"\xce\x00bytes 0-0/*"],
    tokens=[b"bytes 0-0/", b"9" * 19, b"-", b" ", b"\xb2"],
    most_bytes=60,
)
def snapshot_sizes(data: bytes) -> None:
    """The size of a snapshot by the head of an answer: a number of bytes, or none."""
    status, text = int.from_bytes(data[:2], "little"), data[2:].decode("latin-1")
    headers: dict[str, Any] = {"content-range": text, "content-length": text}
    size = FeedReply(LINK, status, headers, "", iter(())).whole_size
    assert size is None or (0 <= size < 10**19 and re.search(r"[0-9]$", text))
