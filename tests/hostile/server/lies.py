"""What lies are made of: an answer's bytes, as they are written on the line."""

import json
import zlib
from collections.abc import Callable
from typing import Any, Final

from tests.hostile.server.lying_feed import FeedRequest, Lie, head
from tests.hostile.server.raw_server import Line

Edit = Callable[[bytes], bytes]

Deaf = Callable[[Line, object], None]
"""A lie, or a server's script, that does not depend on the request."""

CHUNKED: Final = "Transfer-Encoding: chunked"
LAST_CHUNK: Final = b"0\r\n\r\n"


def raw(*pieces: bytes) -> Deaf:
    """These bytes; then the connection closes."""
    return lambda line, _: line.send(*pieces)


def then_for_ever(begun: bytes, piece: bytes, every: float = 0.0) -> Deaf:
    """A piece again and again, each after so many seconds."""

    def lie(line: Line, _: object) -> None:
        line.send(begun)
        line.send_for_ever(piece, every)

    return lie


def whole(edit: Edit, *fields: str, status: int | str = 200) -> Lie:
    """A well-framed answer whose body is what `edit` makes of the true one."""

    def lie(line: Line, request: FeedRequest) -> None:
        body = edit(request.truth.body)
        line.send(head(status, *fields, f"Content-Length: {len(body)}"), body)

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


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def redirect(target: str, status: int = 302) -> Lie:
    return body(b"", f"Location: {target}", "Set-Cookie: session=canary-cookie; Path=/", status=status)


def link(target: str) -> Lie:
    """The true information of the consumer, but for where its snapshot lies."""
    return data(lambda information: {**information, "last_snapshot_link": target})


def silence(line: Line, _: object) -> None:
    line.stay_silent()


def bomb(mebibytes: int) -> bytes:
    """Blanks, packed by gzip to a thousandth."""
    packing = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    packed = [packing.compress(b" " * (1 << 20)) for _ in range(mebibytes)]
    return b"".join((*packed, packing.flush()))
