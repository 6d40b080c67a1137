"""A feed that tells the truth, but for one kind of question, which a lie answers."""

import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from tests.hostile.server.raw_server import Line, RawRequest, RawServer
from tests.support.feed_failures import Reply
from tests.support.feed_server import Kind, Request
from tests.support.feed_simulator import FeedSimulator


class FeedRequest(NamedTuple):
    """A question with its true answer. `number`: which of its kind it is, from 1; `origin`: who is asked."""

    received: RawRequest
    truth: Reply
    number: int
    origin: str


Lie = Callable[[Line, FeedRequest], None]


class LyingFeed(RawServer):
    """`truth` says what is asked for by which path, and the true answers, in which its own origin is ours."""

    def __init__(
        self,
        truth: FeedSimulator,
        lies: Mapping[Kind, Lie],
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._truth = truth
        self._lies = dict(lies)
        self.kinds: list[Kind] = []
        super().__init__(self._answer, host, tls=tls)

    @property
    def url(self) -> str:
        """What `cti.url` is set to."""
        return self.origin + urlsplit(self._truth.url).path

    def _answer(self, line: Line, request: RawRequest) -> None:
        parts = urlsplit(request.target)
        kind = self._truth.kind_of(parts.path)
        self.kinds.append(kind)
        parsed = Request(kind, request.method, parts.path, dict(parse_qsl(parts.query)), request.headers)
        reply = self._truth.reply_to(parsed)
        if kind == "info":
            ours = reply.body.replace(self._truth.origin.encode(), self.origin.encode())
            reply = Reply(reply.status, ours, reply.headers)
        lie = self._lies.get(kind, tell)
        lie(line, FeedRequest(request, reply, self.kinds.count(kind), self.origin))


def head(status: int | str, *fields: str) -> bytes:
    """Status line and header fields, each `Name: value`.

    All but an interim answer announce that the connection closes, as a `RawServer` does after each: else the
    client may send its next request on a connection that is just being closed.
    """
    last = () if str(status).startswith("1") else ("Connection: close",)
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *fields, *last, "")).encode("latin-1")


def tell(line: Line, request: FeedRequest) -> None:
    """The truth."""
    reply = request.truth
    fields = [f"{name}: {value}" for name, value in reply.headers.items()]
    length = f"Content-Length: {len(reply.body)}"
    line.send(head(f"{reply.status} X", *fields, length), reply.body)
