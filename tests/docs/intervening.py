"""An HTTP server between ctisync and a real node, which answers some requests itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, path: str, status: int, body: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.path, self.status, self.body = path, status, body


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.path in self.path:
            self._send(self.server.status, self.server.body.encode())
            return
        upstream = self.server.upstream
        connection = HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
        try:
            connection.request(self.command, self.path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            self._send(reply.status, reply.read())
        finally:
            connection.close()

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  # the names that the base class looks for

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def answering(upstream: str, path: str, status: int, body: str) -> Iterator[str]:
    """The URL of a server that answers requests whose path holds `path`, and hands on all others."""
    server = _Server(upstream, path, status, body)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
