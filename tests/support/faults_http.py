"""Requests to the feed and the Command Manager (httpx), and to an OpenSearch node, as effects."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import httpcore
import httpx

from ctisync.stores.opensearch.client import NoReply, OpenSearchReply
from ctisync.stores.opensearch.refusals import Problem
from ctisync.stores.opensearch.transport import HttpTransport
from tests.support.faults import Effect, Effects, How, Place, When
from tests.support.feed_exchange import EXCHANGE

PIECE: Final = 4096
"""Bytes of a body per piece, so that even a small snapshot comes in several pieces."""

_RESET: Final = f"[Errno {errno.ECONNRESET}] {os.strerror(errno.ECONNRESET)}"

_SPOILT: Final = "tests.spoilt"
"""The extension that marks a reply whose body is not an effect of its own."""

HandleRequest = Callable[[httpx.HTTPTransport, httpx.Request], httpx.Response]
Send = Callable[[HttpTransport, str, str, bytes | None, float], OpenSearchReply]


def handling(inner: HandleRequest, effects: Effects) -> HandleRequest:
    """Replaces `httpx.HTTPTransport.handle_request`: each request and each piece of its reply is an
    effect."""

    def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        effect = _effect_of(request)
        response = effects.around(effect, lambda: inner(transport, request), partial(_spoilt_reply, request))
        if not isinstance(response.stream, httpx.SyncByteStream) or _SPOILT in response.extensions:
            return response
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_Body(response.stream, effect, effects),
            extensions=response.extensions,
        )

    return handle_request


class _Body(httpx.SyncByteStream):
    """The same bytes in pieces of PIECE, whatever pieces the network sent."""

    def __init__(self, inner: httpx.SyncByteStream, effect: Effect, effects: Effects) -> None:
        self._inner = inner
        self._piece = Effect(effect.place, f"{effect.name} body")
        self._effects = effects

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        cut: httpx.TransportError | None = None
        try:
            for chunk in self._inner:
                rest += chunk
        except httpx.TransportError as error:  # after what has come
            cut = error
        while rest:
            piece, rest = rest[:PIECE], rest[PIECE:]
            yield self._effects.around(self._piece, partial(bytes, piece), _spoilt_body)
        if cut is not None:
            raise cut

    def close(self) -> None:
        self._inner.close()


def _effect_of(request: httpx.Request) -> Effect:
    path = request.url.path
    if path == EXCHANGE:
        return Effect("feed", "POST exchange")
    place: Place = "commands" if request.method == "POST" else "feed"
    what = "changes" if path.endswith("/changes") else "snapshot" if path.startswith("/store/") else "info"
    return Effect(place, "POST command" if place == "commands" else f"GET {what}")


class _Connection(httpcore.MockStream):
    """A connection to the requested address."""

    def get_extra_info(self, info: str) -> Any:
        return ("127.0.0.1", 0) if info == "server_addr" else None


def _connect(request: httpx.Request) -> None:
    """Report a connection as httpcore does: ctisync refuses a reply without one."""
    if (trace := request.extensions.get("trace")) is not None:
        trace("connection.connect_tcp.started", {"host": request.url.host, "port": request.url.port})
        trace("connection.connect_tcp.complete", {"return_value": _Connection([])})


def _spoilt_reply(request: httpx.Request, how: How, when: When) -> httpx.Response:
    match how, when:
        case "reset", "before":
            raise httpx.ConnectError(_RESET)
        case "timeout", "before":
            raise httpx.ConnectTimeout("timed out")
        case (("reset" | "timeout"), _):
            return _spoilt_body_as_reply(how)
        case (("429" | "503"), _):
            if when == "before":
                _connect(request)
            body = httpx.ByteStream(b"Too much to do")
            return httpx.Response(int(how), stream=body, extensions={_SPOILT: True})
    raise AssertionError(f"{how} is no failure of a request")


def _spoilt_body_as_reply(how: How) -> httpx.Response:
    _spoilt_body(how, "after")
    raise AssertionError("it raises")


def _spoilt_body(how: How, _when: When) -> bytes:
    match how:
        case "reset":
            raise httpx.ReadError(_RESET)
        case "timeout":
            raise httpx.ReadTimeout("timed out")
    raise AssertionError(f"{how} is no failure of a body")


def sending(inner: Send, effects: Effects) -> Send:
    """Replaces `HttpTransport.send` of the OpenSearch store: each request to a node is an effect."""

    def send(
        transport: HttpTransport, method: str, target: str, body: bytes | None, timeout: float
    ) -> OpenSearchReply:
        effect = Effect("node", kind_of_request(method, target, body))
        return effects.around(effect, lambda: inner(transport, method, target, body, timeout), _spoilt_node)

    return send


def kind_of_request(method: str, target: str, body: bytes | None) -> str:
    """The kind of a request, without names and tokens: `PUT context _doc lease+swap`."""
    parts = [part for part in target.partition("?")[0].split("/") if part]
    owner = "context" if parts[0] == "wazuh-context" else "" if parts[0].startswith("_") else "content"
    endpoint = "/".join(part for part in parts if part.startswith("_"))
    return " ".join(part for part in (method, owner, endpoint, "+".join(_says(body or b""))) if part)


def _says(body: bytes) -> list[str]:
    """What distinguishes requests to one endpoint: the alias actions, or what a state document announces."""
    actions = set(re.findall(rb'{"(add|remove|remove_index)":', body))
    announced = set(re.findall(rb'"(lease|swap|range_to|owed|failed|loading)":(?!null|false)', body))
    return sorted(word.decode() for word in actions | announced)


def _spoilt_node(how: How, _when: When) -> OpenSearchReply:
    match how:
        case "reset":
            raise NoReply(_RESET)
        case "timeout":
            raise NoReply("timed out")
        case "429" | "503":
            return OpenSearchReply(
                int(how), problem=Problem("rejected_execution_exception", "too much to do")
            )
    raise AssertionError(f"{how} is no failure of a node")
