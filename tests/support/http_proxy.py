"""An HTTP server in front of another one: it keeps each request, asks for a password or a certificate, and
may answer in the place of the other."""

import base64
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import trustme

from tests.support.http_server import HttpHandler, HttpServer

_HANDED_ON: Final = ("Content-Type", "ETag", "Content-Range", "Accept-Ranges", "Location")


class Received(NamedTuple):
    """A request; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def credentials(self) -> str:
        """What it was sent to get in, as a careless server logs it: the headers, and what they stand for."""
        parts = [f"asked for {self.target}"]
        for name in ("authorization", "proxy-authorization", "cookie"):
            if (value := self.headers.get(name)) is not None:
                parts.append(f"{name}: {value}")
                if value.startswith("Basic "):
                    parts.append(f"user {base64.b64decode(value.removeprefix('Basic ')).decode()}")
        return ", ".join(parts)

    def __bytes__(self) -> bytes:
        return repr((self.method, self.target, self.headers)).encode() + self.body


class Answer(NamedTuple):
    """`raw` is sent as it is, be it HTTP or not."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    raw: bytes | None = None


Intercept = Callable[[Received], Answer | None]
"""What is answered in the place of the server behind; None leaves that to it."""


class HttpProxy(HttpServer):
    """`received` is all that came so far; `cookie` is set by each answer. Without an upstream it forwards to
    the host that a request names, as a proxy of the environment does."""

    def __init__(self, upstream: str | None, credentials: str | None) -> None:
        super().__init__(_Handler)
        self.upstream = upstream
        self.credentials = None if credentials is None else _basic(credentials)
        self.intercept: Intercept = lambda _: None
        self.cookie = ""
        self.received: list[Received] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or does not finish its handshake, is what some tests are about."""


@contextmanager
def http_proxy(upstream: str | None, credentials: str | None = None) -> Iterator[HttpProxy]:
    """In front of `upstream`. A client must send the `credentials` (`user:password`), if any."""
    with HttpProxy(upstream, credentials) as proxy:
        yield proxy


@contextmanager
def tls_proxy(
    upstream: str | None,
    certificate: trustme.LeafCert,
    *,
    credentials: str | None = None,
    client_authority: trustme.CA | None = None,
) -> Iterator[HttpProxy]:
    """The same with TLS. A client must show a certificate of the `client_authority`, if any: else the
    handshake fails, as with the security plugin of OpenSearch."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    if client_authority is not None:
        client_authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    proxy = HttpProxy(upstream, credentials)
    # The handshake belongs to the request's own thread: a client that hangs hinders nobody.
    proxy.socket = context.wrap_socket(proxy.socket, server_side=True, do_handshake_on_connect=False)
    with proxy:
        yield proxy


def _basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


class _Handler(HttpHandler):
    server: HttpProxy

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Received(self.command, self.path, headers, self.read_body())
        self.server.received.append(request)
        answer = self.server.intercept(request)
        if answer is None:
            answer = self._forward(request) if self._may_enter() else self._refusal()
        if answer.raw is None:
            cookie = {"Set-Cookie": f"session={self.server.cookie}; Path=/"} if self.server.cookie else {}
            self.send(answer.status, answer.body, {**answer.headers, **cookie})
        else:
            self.wfile.write(answer.raw)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_WR)

    do_GET = do_POST = do_PUT = do_DELETE = do_CONNECT = _serve  # the names of the base class

    def _may_enter(self) -> bool:
        name = "Authorization" if self.server.upstream else "Proxy-Authorization"
        return self.server.credentials in (None, self.headers.get(name))

    def _refusal(self) -> Answer:
        return Answer(401 if self.server.upstream else 407, b"Unauthorized", {"Content-Type": "text/plain"})

    def _forward(self, request: Received) -> Answer:
        target = urlsplit((self.server.upstream or "") + request.target)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in ("host", "connection", "content-length", "proxy-authorization")
        }
        connection = HTTPConnection(str(target.hostname), target.port, timeout=60)
        try:
            path = target.path + (f"?{target.query}" if target.query else "")
            connection.request(request.method, path, request.body or None, headers)
            reply = connection.getresponse()
            kept = {name: reply.headers[name] for name in _HANDED_ON if name in reply.headers}
            return Answer(reply.status, reply.read(), kept)
        finally:
            connection.close()
