"""A feed that answers truly, but for some kinds of request, which a lie answers."""

import json
import ssl
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from tests.support.feed_failures import Reply
from tests.support.feed_server import Kind, Request
from tests.support.feed_simulator import FeedSimulator
from tests.support.raw_server import Line, RawRequest, RawServer, head, response


class FeedRequest(NamedTuple):
    """A request with its true answer. `number`: which of its kind it is, from 1; `origin`: who is asked."""

    received: RawRequest
    truth: Reply
    number: int
    origin: str


Lie = Callable[[Line, FeedRequest], None]

Edit = Callable[[bytes], bytes]


class LyingFeed(RawServer):
    """`truth` says what a path is for, and has the true answers, in which our origin replaces its own."""

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


def tell(line: Line, request: FeedRequest) -> None:
    """The truth."""
    reply = request.truth
    fields = [f"{name}: {value}" for name, value in reply.headers.items()]
    line.send(response(f"{reply.status} X", reply.body, *fields))


def whole(edit: Edit, *fields: str, status: int | str = 200) -> Lie:
    """A well-framed answer whose body is what `edit` makes of the true one."""

    def lie(line: Line, request: FeedRequest) -> None:
        line.send(response(status, edit(request.truth.body), *fields))

    return lie


def body(content: bytes, *fields: str, status: int | str = 200) -> Lie:
    return whole(lambda _: content, *fields, status=status)


def headed(fields: Callable[[bytes], list[str]], frame: Edit = bytes) -> Lie:
    """The true body, framed, below a head that depends on it."""

    def lie(line: Line, request: FeedRequest) -> None:
        line.send(head(200, *fields(request.truth.body)), frame(request.truth.body))

    return lie


def data(edit: Callable[[Any], Any]) -> Lie:
    """The true JSON document, with what `edit` makes of what stands under `data`."""

    def edited(text: bytes) -> bytes:
        return json.dumps({"data": edit(json.loads(text)["data"])}).encode()

    return whole(edited)


def in_turn(*lies: Lie) -> Lie:
    """One a question; the last one again and again."""
    return lambda line, request: lies[min(request.number, len(lies)) - 1](line, request)


def redirect(target: str, status: int = 302) -> Lie:
    return body(b"", f"Location: {target}", "Set-Cookie: session=canary-cookie; Path=/", status=status)


def link(target: str) -> Lie:
    """The true information of the consumer, but for where its snapshot lies."""
    return data(lambda information: {**information, "last_snapshot_link": target})
