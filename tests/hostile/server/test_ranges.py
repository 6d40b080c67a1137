"""Downloads that break off, and servers that lie about the rest."""

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from tests.hostile.server.conftest import Judge
from tests.hostile.server.ends import CUT_OFF, LOADS, NO_ZIP, End, refused
from tests.hostile.server.passes import Case, Outcome, Passes
from tests.support.lying_feed import FeedRequest, Lie, LyingFeed, headed, in_turn
from tests.support.raw_server import CHUNKED, LAST_CHUNK, Line, chunk, head, response

ETAG: Final = 'ETag: "one"'
OTHER: Final = 'ETag: "two"'
TRIES: Final = {"CTISYNC_CTI__RETRY_BUDGET": "20"}
"""Seconds: enough for three further tries, whatever chance makes of the pauses: they last 7 at the most."""

UNREQUESTED: Final = refused("answers 206 to a request for the whole snapshot")
"""What came was thrown away, and the whole asked for: a server that goes on to lie is found out."""


def _cut(etag: str = ETAG) -> Lie:
    """Half of the file, announced as all of it."""
    return headed(lambda text: [etag, f"Content-Length: {len(text)}"], _half)


def _half(text: bytes) -> bytes:
    return text[: len(text) // 2]


def _rest(text: bytes) -> bytes:
    return text[len(text) // 2 :]


def _whole(etag: str = ETAG) -> Lie:
    return headed(lambda text: [etag, f"Content-Length: {len(text)}"])


def _part(span: Callable[[int, int], str], body: Callable[[bytes], bytes] = _rest, *fields: str) -> Lie:
    """A 206 with the Content-Range that `span` makes of where the client stands and how large the file is."""

    def lie(line: Line, request: FeedRequest) -> None:
        text = request.truth.body
        part = body(text)
        value = span(len(text) // 2, len(text))
        named = [f"Content-Range: {value}"] if value else []
        line.send(response(206, part, *(fields or (ETAG,)), *named))

    return lie


def _unsatisfied(span: Callable[[int, int], str]) -> Lie:
    def lie(line: Line, request: FeedRequest) -> None:
        size = len(request.truth.body)
        value = span(size // 2, size)
        named = [f"Content-Range: {value}"] if value else []
        line.send(head(416, *named, "Content-Length: 0"))

    return lie


def _too_much(line: Line, request: FeedRequest) -> None:
    text = request.truth.body
    ranged = f"Content-Range: {_true(len(text) // 2, len(text))}"
    line.send(head(206, ETAG, ranged, CHUNKED), chunk(_rest(text) + b"more"), LAST_CHUNK)


def _true(have: int, size: int) -> str:
    return f"bytes {have}-{size - 1}/{size}"


def _garbled(text: bytes) -> bytes:
    return bytes(byte ^ 1 for byte in _rest(text))


def _multipart(text: bytes) -> bytes:
    part = f"Content-Range: {_true(len(text) // 2, len(text))}"
    return b"--x\r\n" + part.encode() + b"\r\n\r\n" + _rest(text) + b"\r\n--x--\r\n"


SECOND: Final[Mapping[str, tuple[Lie, End]]] = {
    "the rest": (_part(_true), LOADS),
    "the whole": (_whole(), LOADS),
    "another file, whole": (_whole(OTHER), LOADS),
    "a rest that begins earlier": (
        _part(lambda have, size: f"bytes {have - 10}-{size - 1}/{size}"),
        UNREQUESTED,
    ),
    "a rest that begins at 0": (_part(lambda _, size: f"bytes 0-{size - 1}/{size}", bytes), UNREQUESTED),
    "a rest that does not say where it begins": (_part(lambda *_: ""), UNREQUESTED),
    "a rest of unknown size": (_part(lambda have, size: f"bytes {have}-{size - 1}/*"), UNREQUESTED),
    "a rest of many parts": (
        _part(lambda *_: "", _multipart, ETAG, "Content-Type: multipart/byteranges; boundary=x"),
        UNREQUESTED,
    ),
    "a rest that ends early": (_part(lambda have, size: f"bytes {have}-{size - 9}/{size}"), UNREQUESTED),
    "a rest of a larger file": (
        _part(lambda have, size: f"bytes {have}-{size + 4}/{size + 5}"),
        UNREQUESTED,
    ),
    "a rest with numbers of 5000 digits": (
        _part(lambda have, _: f"bytes {have}-{'9' * 5000}/{'9' * 5000}"),
        UNREQUESTED,
    ),
    "the rest of another file": (_part(_true, _rest, OTHER), UNREQUESTED),
    "another rest under the same ETag": (_part(_true, _garbled), NO_ZIP),
    "a rest with too little in it": (_part(_true, lambda text: _rest(text)[:-9]), UNREQUESTED),
    "a rest with too much in it": (_too_much, refused("the server sends more than the")),
    "that there is nothing more": (
        _unsatisfied(lambda have, _: f"bytes */{have}"),
        refused("answers 416 to a request for the whole"),
    ),
    "that nothing can be had": (
        _unsatisfied(lambda *_: ""),
        refused("answers 416 to a request for the whole"),
    ),
}

CASES: Final = {
    **{
        f"cut off, then {name}": Case({"snapshot": in_turn(_cut(), lie)}, end, settings=TRIES)
        for name, (lie, end) in SECOND.items()
    },
    "cut off under a weak ETag, then the rest": Case(
        {"snapshot": in_turn(_cut('ETag: W/"one"'), _part(_true))}, UNREQUESTED, settings=TRIES
    ),
    "cut off each time": Case({"snapshot": _cut()}, CUT_OFF, settings={"CTISYNC_CTI__RETRY_BUDGET": "6"}),
    "a part at once": Case({"snapshot": _part(_true)}, UNREQUESTED),
}


@pytest.mark.parametrize("name", CASES)
def test_parts_are_put_together_only_when_they_are_of_one_file(
    name: str, outcomes: Mapping[str, Outcome], judge: Judge
) -> None:
    judge(CASES[name], outcomes[name])


NEXT_PASS: Final[Mapping[str, tuple[Lie, End]]] = {
    "the rest": SECOND["the rest"],
    "another file, whole": SECOND["another file, whole"],
    "another rest under the same ETag": SECOND["another rest under the same ETag"],
}


@pytest.mark.parametrize("name", NEXT_PASS)
def test_what_one_pass_kept_the_next_one_goes_on_with_only_while_it_is_the_same_file(
    name: str, passes: Passes, judge: Judge
) -> None:
    lie, end = NEXT_PASS[name]
    home = passes.begun(f"two passes, {name}")
    before = passes.kept(home)
    with LyingFeed(passes.feed, {"snapshot": in_turn(_cut(), lie)}) as liar:
        first = passes.run(home, "init-snapshot", CTISYNC_CTI__URL=liar.url)
        spooled = passes.kept(home)
        judge(Case({}, CUT_OFF), Outcome(first, before, spooled, (), ()))
        [part] = [size for name, size in spooled.files.items() if name.endswith(".part")]

        second = passes.run(home, "init-snapshot", CTISYNC_CTI__URL=liar.url)

        judge(Case({}, end), Outcome(second, before, passes.kept(home), (), ()))
        headers = liar.requests[-1].headers
        assert (headers["range"], headers["if-range"]) == (f"bytes={part}-", '"one"')

    mended = passes.run(home, "init-snapshot")

    judge(Case({}, LOADS), Outcome(mended, before, passes.kept(home), (), ()))
