"""The built-in feed over HTTP, on the loopback interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from ctisync.demo.made_up import CONSUMER, CONTEXT, MadeUpFeed
from ctisync.errors import UsageError
from ctisync.system.threads import beside

_CONSUMER_PATH: Final = f"/api/v1/catalog/contexts/{CONTEXT}/consumers/{CONSUMER}"
_MOST_OFFSETS: Final = 1000


@contextmanager
def served(feed: MadeUpFeed) -> Iterator[str]:
    """Serve the feed while the block runs; yields the value for `cti.url`.

    Raises UsageError if the system allows no further thread.
    """
    server = _Server(feed)
    thread = beside(lambda: server.serve_forever(0.05), "feed")
    if thread is None:
        server.server_close()
        raise UsageError(
            "the demo needs a thread for its feed, but the system allows no more", hint="ulimit -u"
        )
    try:
        yield f"{server.origin}/api/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, feed: MadeUpFeed) -> None:
        self.feed = feed
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        feed, parts = self.server.feed, urlsplit(self.path)
        if parts.path == _CONSUMER_PATH:
            self._send_json(200, {"data": self._consumer()})
        elif parts.path == f"{_CONSUMER_PATH}/changes":
            query = parse_qs(parts.query)
            after, to = int(query["from_offset"][0]), int(query["to_offset"][0])
            if to - after > _MOST_OFFSETS:
                self._send_json(422, {"errors": {"to_offset": [f"at most {_MOST_OFFSETS} offsets"]}})
            else:
                self._send_json(
                    200, {"data": [each for each in feed.changes if after < each["offset"] <= to]}
                )
        elif parts.path == self._snapshot_path():
            self._send(200, "application/zip", feed.snapshot)
        else:
            self._send_json(404, {"errors": {"detail": "Not Found"}})

    def _snapshot_path(self) -> str:
        file = f"{self.server.feed.snapshot_offset}_1746459961.zip"
        return f"/store/contexts/{CONTEXT}/consumers/{CONSUMER}/{file}"

    def _consumer(self) -> dict[str, Any]:
        feed = self.server.feed
        return {
            "id": 4,
            "name": CONSUMER,
            "context": CONTEXT,
            "last_offset": feed.last_offset,
            "last_snapshot_link": self.server.origin + self._snapshot_path(),
            "last_snapshot_offset": feed.snapshot_offset,
        }

    def _send_json(self, status: int, document: Any) -> None:
        self._send(status, "application/json", msgspec.json.encode(document))

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Prints nothing: the log of the passes names their requests."""
