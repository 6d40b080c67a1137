"""Failures of a simulated server. Each is a function from the correct reply to a wrong one."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from tests.support import records

Json = Any


@dataclass(frozen=True)
class Reply:
    """A reply before it is sent. `cut`: only so many bytes of the body are sent; the announced length stays.
    `until`: the rest follows when the event is set.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    how_cut: Literal["close", "reset"] = "close"
    stall: float = 0.0
    until: threading.Event | None = None
    framing: Literal["length", "chunked", "close"] = "length"


Failure = Callable[[Reply], Reply]


def status(
    code: int, headers: Mapping[str, str] | None = None, body: bytes = b"<html>Sorry</html>"
) -> Failure:
    """Another status, with an HTML body like that of a proxy."""
    return lambda _: Reply(code, body, {"Content-Type": "text/html", **(headers or {})})


def refused(code: int, words: str) -> Reply:
    """A refusal with a JSON body like that of the API."""
    body = json.dumps({"errors": {"detail": words}}).encode()
    return Reply(code, body, {"Content-Type": "application/json"})


def refusal(code: int, words: str) -> Failure:
    return lambda _: refused(code, words)


def redirect(location: str, code: int = 302) -> Failure:
    return lambda _: Reply(code, b"", {"Location": location})


def body(content: bytes, content_type: str = "application/json") -> Failure:
    """Status 200 with these bytes."""
    return lambda _: Reply(200, content, {"Content-Type": content_type})


def html() -> Failure:
    return body(b"<!DOCTYPE html><html><body>Please sign in</body></html>", "text/html")


def cut_off(after: int | float) -> Failure:
    """The connection closes after so many bytes, or after this share (a float) of the announced length."""
    return lambda reply: replace(reply, cut=_amount(after, reply), how_cut="close")


def reset(after: int | float = 0) -> Failure:
    """A TCP reset after so many bytes; with 0, before the reply."""
    return lambda reply: replace(reply, cut=_amount(after, reply), how_cut="reset")


def stall(seconds: float, after: int | float = 0) -> Failure:
    """No byte for so many seconds, then the connection closes."""
    return lambda reply: replace(reply, cut=_amount(after, reply), how_cut="close", stall=seconds)


def paused(until: threading.Event, after: int | float) -> Failure:
    """The rest of the body follows when the event is set."""
    return lambda reply: replace(reply, cut=_amount(after, reply), until=until)


def undelimited(cut: int | float = 1.0) -> Failure:
    """No length: the end of the connection ends the body, complete or not."""
    return lambda reply: replace(reply, framing="close", cut=_amount(cut, reply), how_cut="close")


def chunked() -> Failure:
    """No length in the headers, but a chunked body (RFC 9112, 7.1)."""
    return lambda reply: replace(reply, framing="chunked")


def shortened(share: float) -> Failure:
    """A whole reply with only so much of its body."""
    return lambda reply: replace(reply, body=reply.body[: _amount(share, reply)])


def headers(**changed: str | None) -> Failure:
    """Other headers (`content_range=...` is Content-Range); None removes one."""

    def worse(reply: Reply) -> Reply:
        names = {name.replace("_", "-").title(): value for name, value in changed.items()}
        kept = {**reply.headers, **names}
        return replace(reply, headers={name: value for name, value in kept.items() if value is not None})

    return worse


def edited(edit: Callable[[Json], Json]) -> Failure:
    """Another JSON document: `edit` gets the decoded reply and returns the one to send."""

    def worse(reply: Reply) -> Reply:
        return replace(reply, body=records.encode(edit(json.loads(reply.body, parse_float=Decimal))))

    return worse


def data(edit: Callable[[Json], Json]) -> Failure:
    """As `edited`, for the value of `data` alone."""
    return edited(lambda document: {**document, "data": edit(document["data"])})


def only_first(count: int) -> Failure:
    """Only the first so many changes of the range."""
    return data(lambda changes: changes[:count])


def without_data() -> Failure:
    return edited(lambda document: {key: value for key, value in document.items() if key != "data"})


def _amount(after: int | float, reply: Reply) -> int:
    return int(len(reply.body) * after) if isinstance(after, float) else after
