"""The feed over HTTP on the loopback, as a process of its own: its CPU seconds are not the client's.

    python -m bench.feed.server SNAPSHOT.zip OFFSET [CHANGES_FOLDER]

Tells its origin on standard output and ends when its standard input does. `PUT /` sets `Served` from JSON.
"""

import argparse
import mmap
import re
import sys
import threading
import time
from bisect import bisect_right
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from bench.feed.files import PUBLISHED, Changes
from ctisync.demo import CONSUMER, CONTEXT

_CONSUMER_PATH: Final = f"/api/v1/catalog/contexts/{CONTEXT}/consumers/{CONSUMER}"
_MOST_OFFSETS: Final = 1000
_PIECE: Final = 1 << 20
_PIECES_A_SECOND: Final = 100
"""The least, when the bandwidth is limited: so fine is the limit."""


class Served(msgspec.Struct, frozen=True):
    """What the feed says is its last offset, and how many bytes of snapshots it sends a second, at most."""

    last_offset: int
    bytes_per_second: float | None = None


class _Pace:
    """The link's: shared by all that goes over it at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free_at = 0.0

    def wait(self, seconds: float) -> None:
        """Until the link, after what was sent over it before, has been busy for so long."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + seconds
            until = self._free_at
        time.sleep(max(0.0, until - time.monotonic()))


class _ServedChanges:
    """Any range of offsets is one slice of the file."""

    def __init__(self, changes: Changes) -> None:
        entries = changes.facts.entries
        self._offsets = [entry.offset for entry in entries]
        self._ends = [0, *(entry.end for entry in entries)]
        with (changes.folder / "served.json").open("rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def reply(self, after: int, to: int) -> bytes:
        start, end = (self._ends[bisect_right(self._offsets, offset)] for offset in (after, to))
        return b'{"data":[' + self._text[start : max(start, end - 1)] + b"]}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, snapshot: Path, offset: int, changes: Path | None) -> None:
        self.snapshot = snapshot
        self.offset = offset
        self.snapshot_path = f"/store/contexts/{CONTEXT}/consumers/{CONSUMER}/{offset}_{PUBLISHED}.zip"
        self.etag = f'"{snapshot.parent.name}"'
        self.changes = None if changes is None else _ServedChanges(Changes(changes))
        self.served = Served(last_offset=offset)
        self.pace = _Pace()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.served = msgspec.json.decode(content, type=Served)
        self._send(b"{}")

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == _CONSUMER_PATH:
            self._send(msgspec.json.encode({"data": self._consumer()}))
        elif parts.path == self.server.snapshot_path:
            self._send_snapshot()
        elif parts.path == f"{_CONSUMER_PATH}/changes" and self.server.changes is not None:
            query = parse_qs(parts.query)
            after, to = int(query["from_offset"][0]), int(query["to_offset"][0])
            if to - after > _MOST_OFFSETS:
                self._send(b'{"errors":{"to_offset":["at most 1000 offsets"]}}', 422)
            else:
                self._send(self.server.changes.reply(after, to))
        else:
            self._send(b'{"errors":{"detail":"Not Found"}}', 404)

    def _consumer(self) -> dict[str, Any]:
        return {
            "id": 4,
            "name": CONSUMER,
            "context": CONTEXT,
            "last_offset": self.server.served.last_offset,
            "last_snapshot_link": self.server.origin + self.server.snapshot_path,
            "last_snapshot_offset": self.server.offset,
        }

    def _send(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_snapshot(self) -> None:
        """RFC 9110, section 14: the whole, or one part from the same ETag."""
        size = self.server.snapshot.stat().st_size
        first, last = 0, size - 1
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is not None and self.headers.get("If-Range", self.server.etag) == self.server.etag:
            first, last = int(match[1]), min(last, int(match[2] or last))
            self.send_response(206 if first <= last else 416)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(max(0, last + 1 - first)))
        self.end_headers()
        self._send_bytes(first, last + 1)

    def _send_bytes(self, start: int, end: int) -> None:
        rate = self.server.served.bytes_per_second
        piece = _PIECE if rate is None else max(1, min(_PIECE, int(rate / _PIECES_A_SECOND)))
        with self.server.snapshot.open("rb") as file:
            while start < end:
                sent = self.connection.sendfile(file, start, min(piece, end - start))
                start += sent
                if rate is not None:
                    self.server.pace.wait(sent / rate)

    def log_message(self, *_: Any) -> None:
        """Silence: the bench tells what it measures."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.feed.server")
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("offset", type=int)
    parser.add_argument("changes", type=Path, nargs="?")
    options = parser.parse_args()
    server = _Server(options.snapshot, options.offset, options.changes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(server.origin + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
