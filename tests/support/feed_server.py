"""The HTTP of the feed simulator: what comes in as a request, and how a reply goes out, whole or not."""

from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import parse_qsl, urlsplit

from tests.support.feed_failures import Reply
from tests.support.http_server import HttpHandler, HttpServer

Kind = Literal["info", "changes", "snapshot", "exchange", "other"]

_LONGEST_PAUSE = 60.0


@dataclass
class Request:
    """One request in the log; header names are in lower case. `status`: 0 before a reply."""

    kind: Kind
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    status: int = 0
    form: dict[str, str] = field(default_factory=dict)

    @property
    def range(self) -> tuple[int, int]:
        """The requested offsets: (from, to]."""
        return int(self.query["from_offset"]), int(self.query["to_offset"])


class Feed(Protocol):
    """Answers the requests."""

    def whose(self, path: str, form: dict[str, str]) -> "Feed":
        """The feed that answers this one."""

    def kind_of(self, path: str) -> Kind: ...

    def reply_to(self, request: Request) -> Reply: ...


class Server(HttpServer):
    def __init__(self, feed: Feed, port: int) -> None:
        super().__init__(_Handler, port)
        self.feed = feed


class _Handler(HttpHandler):
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        body = self.read_body()
        form = dict(parse_qsl(body.decode())) if self.command == "POST" else {}
        feed = self.server.feed.whose(parts.path, form)
        request = Request(
            feed.kind_of(parts.path),
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            {name.lower(): value for name, value in self.headers.items()},
            form=form,
        )
        self._send(feed.reply_to(request))

    do_POST = do_GET  # the name of the base class

    def do_CONNECT(self) -> None:
        """The first request to a proxy; this one always refuses, in the way that the test chooses."""
        self.do_GET()

    def _send(self, reply: Reply) -> None:
        if reply.cut == 0 and reply.how_cut == "reset":
            self.reset()
            return
        (self.send_response_only if "Date" in reply.headers else self.send_response)(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        body = reply.body
        match reply.framing:
            case "length":
                self.send_header("Content-Length", str(len(body)))
            case "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            case "close":
                self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body if reply.cut is None else body[: reply.cut])
        if reply.until is not None:
            self.wfile.flush()
            reply.until.wait(_LONGEST_PAUSE)
            self.wfile.write(body[reply.cut :])
        elif reply.cut is not None:
            self.close_connection = True
            self.wfile.flush()
            if reply.stall:
                self.server.stopping.wait(reply.stall)
            if reply.how_cut == "reset":
                self.reset()
