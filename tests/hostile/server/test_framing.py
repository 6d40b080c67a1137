"""Lengths that lie, in the three ways in which a body may be framed, and answers that are no HTTP at all."""

from collections.abc import Mapping
from typing import Final

import pytest

from tests.hostile.server.conftest import Judge
from tests.hostile.server.ends import (
    CUT_OFF,
    INCOMPLETE,
    LATER,
    LOADS,
    LOOK,
    NO_ANSWER,
    NO_JSON,
    NO_ZIP,
    End,
    no_http,
    refused,
)
from tests.hostile.server.passes import Case, Outcome
from tests.support.lying_feed import FeedRequest, Lie, body, headed, tell, whole
from tests.support.raw_server import CHUNKED, LAST_CHUNK, Line, chunk, head, raw


def _length(value: str) -> Lie:
    return headed(lambda text: [f"Content-Length: {value}"])


def _longer(by: int, *fields: str) -> Lie:
    """The true body, announced as so many bytes longer."""
    return headed(lambda text: [f"Content-Length: {len(text) + by}", *fields])


def _chunked_as(size: str, text: bytes) -> bytes:
    return b"%s\r\n%s\r\n%s" % (size.encode(), text, LAST_CHUNK)


def _hinted_first(line: Line, request: FeedRequest) -> None:
    line.send(head(103, "Link: </x>"))
    tell(line, request)


BODIES: Final[Mapping[str, tuple[Lie, End, End]]] = {
    "announced longer": (_longer(10), INCOMPLETE, CUT_OFF),
    "announced shorter": (_longer(-10), NO_JSON, NO_ZIP),
    "of two lengths": (
        headed(lambda text: ["Content-Length: 5", f"Content-Length: {len(text)}"]),
        no_http("conflicting Content-Length headers"),
        no_http("conflicting Content-Length headers"),
    ),
    "announced longer, and chunked": (
        headed(
            lambda text: [f"Content-Length: {len(text) + 7}", CHUNKED], lambda text: chunk(text) + LAST_CHUNK
        ),
        LOADS,  # chunks win (RFC 9112, 6.3)
        End(5, r"the download stopped after \d+ of \d+ bytes", LATER),
    ),
    "announced shorter, and chunked": (
        headed(lambda _: ["Content-Length: 5", CHUNKED], lambda text: chunk(text) + LAST_CHUNK),
        LOADS,
        refused("the server sends more than the 5 bytes of the snapshot"),
    ),
    "in a chunk that is announced longer": (
        headed(lambda _: [CHUNKED], lambda text: _chunked_as(f"{len(text) + 10:x}", text)),
        INCOMPLETE,
        CUT_OFF,
    ),
    "in a chunk that is announced shorter": (
        headed(lambda _: [CHUNKED], lambda text: _chunked_as(f"{len(text) - 10:x}", text)),
        INCOMPLETE,
        CUT_OFF,
    ),
    "in chunks of which the last is missing": (headed(lambda _: [CHUNKED], chunk), INCOMPLETE, CUT_OFF),
    "without a length, and cut off": (
        headed(lambda _: [], lambda text: text[: len(text) // 2]),
        NO_JSON,
        End(5, "the download stopped early; the server does not send its size", LATER),
    ),
    "behind a status that has none": (
        whole(bytes, status=204),
        End(6, "answers 204, which is not a valid answer", LOOK),
        End(5, "answers 204, which is not a valid answer", LATER),
    ),
}
"""With how a pass ends to which the API answers so, and one that asks for the snapshot."""

HEADS: Final[Mapping[str, tuple[Lie, End]]] = {
    "a negative length": (_length("-1"), no_http("bad Content-Length")),
    "a length that is no number": (_length("many"), no_http("bad Content-Length")),
    "a length of thirty digits": (_length("9" * 30), no_http("bad Content-Length")),
    "the same length twice": (_longer(0), LOADS),
    "a chunk of a negative size": (
        headed(lambda _: [CHUNKED], lambda text: _chunked_as("-5", text)),
        INCOMPLETE,
    ),
    "a chunk whose size is no number": (
        headed(lambda _: [CHUNKED], lambda text: _chunked_as("xyz", text)),
        INCOMPLETE,
    ),
    "a chunk of all bytes in the world": (
        headed(lambda _: [CHUNKED], lambda text: _chunked_as("f" * 18, text)),
        INCOMPLETE,
    ),
    "a coding beside the chunks": (
        headed(lambda _: ["Transfer-Encoding: gzip, chunked"], chunk),
        no_http("Only Transfer-Encoding"),
    ),
    "no answer at all": (raw(), NO_ANSWER),
    "a head that breaks off": (raw(b"HTTP/1.1 200 OK\r\nContent-Le"), NO_ANSWER),
    "a body without a head, as HTTP/0.9 has it": (raw(b'{"data": {"last_offset": 5}}\n'), NO_ANSWER),
    "all bytes there are": (raw(bytes(range(256)) * 100), no_http("illegal request line")),
    "the start of a TLS handshake": (
        raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)),
        no_http("illegal request line"),
    ),
    "a status that is no number": (raw(b"HTTP/1.1 fine OK\r\n\r\n"), no_http("illegal status line")),
    "a status of 99": (raw(head("099 OK")), no_http("InformationalResponse status_code should be")),
    "a status of 999": (body(b"{}", status=999), End(5, "answers 999", LATER)),
    "another protocol": (raw(head(101, "Upgrade: h2c", "Connection: Upgrade")), no_http("Received server")),
    "a header with a zero byte": (body(b"{}", "X: a\0b"), no_http("illegal header line")),
    "a hint before the answer": (_hinted_first, LOADS),
}

CASES: Final = {
    **{f"info: a body {name}": Case({"info": lie}, end) for name, (lie, end, _) in BODIES.items()},
    **{f"snapshot: a body {name}": Case({"snapshot": lie}, end) for name, (lie, _, end) in BODIES.items()},
    **{f"info: {name}": Case({"info": lie}, end) for name, (lie, end) in HEADS.items()},
}


@pytest.mark.parametrize("name", CASES)
def test_an_answer_whose_bytes_lie_is_no_answer_and_touches_nothing(
    name: str, outcomes: Mapping[str, Outcome], judge: Judge
) -> None:
    judge(CASES[name], outcomes[name])
