"""A TLS server in front of an HTTP server, which requires a password or a client certificate.

It answers as the security plugin of OpenSearch does: 401 without the right user and password, and a failed
handshake without the requested client certificate.
"""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import trustme


class TlsProxy(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1. `authorizations`: the header of each request so far."""

    daemon_threads = True

    def __init__(self, upstream: str, credentials: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.expected = None if credentials is None else _basic(credentials)
        self.authorizations: list[str | None] = []
        self.redirect_to: str | None = None

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: some tests make handshakes fail."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TlsProxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.authorizations.append(self.headers.get("Authorization"))
        if self.server.redirect_to is not None:
            self._answer(307, b"", {"Location": self.server.redirect_to + self.path})
        elif self.server.expected not in (None, self.headers.get("Authorization")):
            self._answer(401, b"Unauthorized", {"Content-Type": "text/plain"})
        else:
            status, content_type, reply = self._ask_upstream(body)
            self._answer(status, reply, {"Content-Type": content_type})

    do_GET = do_POST = do_PUT = do_DELETE = _forward  # noqa: N815  # the names that the base class looks for

    def _ask_upstream(self, body: bytes) -> tuple[int, str, bytes]:
        upstream = self.server.upstream
        connection = HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
        try:
            kind = self.headers.get("Content-Type") or "application/json"
            connection.request(self.command, self.path, body, {"Content-Type": kind})
            reply = connection.getresponse()
            return reply.status, reply.getheader("Content-Type") or "", reply.read()
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


@contextmanager
def tls_proxy(
    upstream: str,
    certificate: trustme.LeafCert,
    *,
    credentials: str | None = None,
    client_authority: trustme.CA | None = None,
) -> Iterator[TlsProxy]:
    """Forward requests to `upstream`. If they are given, a client must send `credentials` (`user:password`)
    as Basic authentication, and show a certificate that `client_authority` has signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    if client_authority is not None:
        client_authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    with TlsProxy(upstream, credentials) as proxy:
        # The handshake belongs to the request's own thread: a client that hangs hinders nobody.
        proxy.socket = context.wrap_socket(proxy.socket, server_side=True, do_handshake_on_connect=False)
        serving = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            serving.join()


def _basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()
