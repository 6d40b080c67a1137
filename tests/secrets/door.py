"""An HTTP server in front of another one: it keeps all that it is sent, asks for a password, and may echo."""

import base64
import html
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

_HANDED_ON: Final = ("Content-Type", "ETag", "Content-Range", "Accept-Ranges", "Location")


class Received(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def credentials(self) -> str:
        """What it was sent to get in, as a careless server logs it: the headers, and what they stand for."""
        parts = [f"asked for {self.target}"]
        for name in ("Authorization", "Proxy-Authorization", "Cookie"):
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


Spoil = Callable[[Received], Answer | None]
"""What is answered in the place of the server behind; None leaves that to it."""


class Door(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1. `received` is all that came so far."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, upstream: str | None, credentials: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.credentials = None if credentials is None else _basic(credentials)
        self.is_proxy = upstream is None
        self.spoil: Spoil = lambda _: None
        self.cookie = ""
        self.received: list[Received] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about."""


@contextmanager
def door(upstream: str | None, credentials: str | None = None) -> Iterator[Door]:
    """In front of `upstream`; without one it is a proxy. `credentials` is `user:password`."""
    with Door(upstream, credentials) as opened:
        serving = threading.Thread(target=opened.serve_forever, args=(0.02,), daemon=True)
        serving.start()
        try:
            yield opened
        finally:
            opened.shutdown()
            serving.join()


def _basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Door

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Received(self.command, self.path, dict(self.headers.items()), body)
        self.server.received.append(request)
        answer = self.server.spoil(request)
        if answer is None:
            answer = self._forward(request) if self._may_enter() else Answer(self._refusal, b"no")
        self._send(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_CONNECT = _serve  # noqa: N815  # the names of the base class

    @property
    def _refusal(self) -> int:
        return 407 if self.server.is_proxy else 401

    def _may_enter(self) -> bool:
        name = "Proxy-Authorization" if self.server.is_proxy else "Authorization"
        return self.server.credentials in (None, self.headers.get(name))

    def _forward(self, request: Received) -> Answer:
        target = urlsplit((self.server.upstream or "") + request.target)
        kept = {
            name: value
            for name, value in request.headers.items()
            if name not in ("Host", "Connection", "Content-Length", "Proxy-Authorization")
        }
        connection = HTTPConnection(str(target.hostname), target.port, timeout=60)
        try:
            path = target.path + (f"?{target.query}" if target.query else "")
            connection.request(request.method, path, request.body or None, kept)
            reply = connection.getresponse()
            headers = {name: reply.headers[name] for name in _HANDED_ON if name in reply.headers}
            return Answer(reply.status, reply.read(), headers)
        finally:
            connection.close()

    def _send(self, answer: Answer) -> None:
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_WR)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.server.cookie:
            self.send_header("Set-Cookie", f"session={self.server.cookie}; Path=/")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_args: Any) -> None:
        pass


SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "as it came": lambda text: text,
    "JSON": json.dumps,
    "for an address": lambda text: quote(text, safe=""),
    "for an address, in small letters": lambda text: quote(text, safe="/:").replace("%C3", "%c3"),
    "Python": lambda text: repr(text.encode()),
    "HTML": html.escape,
    "cut off": lambda text: f"{'careless ':*<140}{text}",
}
"""How a server writes what it echoes. "Cut off" goes beyond the 200 characters that a message shows."""


def echo(status: int, *, spelling: str = "as it came", part: str = "", **headers: str) -> Spoil:
    """Tells the client, in plain text, with which credentials it came; for targets that hold `part`."""

    def answer(request: Received) -> Answer | None:
        if part not in request.target:
            return None
        text = SPELLINGS[spelling](request.credentials)
        return Answer(status, text.encode(), {"Content-Type": "text/plain", **_dashed(headers)})

    return answer


def json_echo(status: int, *, spelling: str = "as it came", part: str = "") -> Spoil:
    """The same as an error of OpenSearch or of its plugins."""

    def answer(request: Received) -> Answer | None:
        if part not in request.target:
            return None
        text = SPELLINGS[spelling](request.credentials)
        error = {"type": "security_exception", "reason": f"not for {text}"}
        body = json.dumps({"error": error, "status": status}, ensure_ascii=False)
        return Answer(status, body.encode(), {"Content-Type": "application/json"})

    return answer


def garbage(*, part: str = "") -> Spoil:
    """What is no HTTP, but holds what came."""

    def answer(request: Received) -> Answer | None:
        if part not in request.target:
            return None
        headers = "".join(f"no colon here {value}\r\n".replace(":", "") for value in request.headers.values())
        return Answer(raw=f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode())

    return answer


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}
