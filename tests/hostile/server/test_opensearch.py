"""An address that is set as OpenSearch's and answers otherwise: it gets the login, and nobody else does.

What such a server sends without end is waited for: it is the operator's own, and no limit is set for it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from tests.hostile.server.conftest import names_judged
from tests.hostile.server.ends import End
from tests.hostile.server.measured import Ended
from tests.hostile.server.passes import (
    PASSWORD,
    SECRETS,
    USER,
    Passes,
    assert_bounded,
    at_once,
    secrets_in,
)
from tests.hostile.server.tally import Tally
from tests.support.printed_error import assert_error
from tests.support.raw_server import (
    CHUNKED,
    LAST_CHUNK,
    Line,
    RawRequest,
    RawServer,
    Script,
    head,
    raw,
    response,
)

TRIES: Final = 10.0
"""Seconds for what is sent again after a pause, and at last is not."""

JSON: Final = "Content-Type: application/json"
NOT_REACHED: Final = End(7, "OpenSearch at http://127.0.0.1:[0-9]+ cannot be reached", "check that it runs")


def _echo(line: Line, request: RawRequest) -> None:
    words = b'{"error":{"type":"x","reason":"%s"}}' % request.headers["authorization"].encode()
    line.send(response(400, words, JSON))


LIES: Final[Mapping[str, tuple[Script, End]]] = {
    "all bytes there are": (raw(bytes(range(256)) * 100), NOT_REACHED),
    "a web page": (raw(response(200, b"<html>", "Content-Type: text/html")), NOT_REACHED),
    "an array without a bottom": (
        raw(response(200, b"[" * 60_000, JSON)),
        End(7, "a reply of OpenSearch .* cannot be read"),
    ),
    "a chunk of minus five bytes": (
        raw(head(200, JSON, CHUNKED), b"-5\r\n{}\r\n", LAST_CHUNK),
        NOT_REACHED,
    ),
    "a length beyond all memory": (raw(head(200, JSON, f"Content-Length: {4 * 10**18}"), b"{}"), NOT_REACHED),
    "a length beyond all numbers": (raw(head(200, JSON, f"Content-Length: {10**30}"), b"{}"), NOT_REACHED),
    "another document": (
        raw(response(200, b'{"result":"OK"}', JSON)),
        End(7, "a reply of OpenSearch .* cannot be read"),
    ),
    "half a character, where no reader looks": (
        raw(response(200, b'{"_source":{"other":{"text":"\xc3"}},"_seq_no":1,"_primary_term":1}', JSON)),
        End(7, "cannot be reached: the answer is not JSON", "check that it runs"),
    ),
    "a sign-in": (
        raw(response(401, b"", 'WWW-Authenticate: Digest realm="x"')),
        End(3, r"refuses user operator \(401\)", "check store.username"),
    ),
    "the login that it was told": (_echo, End(7, r"\(400\): x: Basic \*\*\*")),
}


def _play(passes: Passes, name: str, script: Script) -> tuple[Ended, str]:
    """How the pass ended, and all that the server was told."""
    home = passes.begun(f"OpenSearch, {name}")
    with RawServer(script) as node:
        settings = {
            "CTISYNC_STORE__URL": node.origin,
            "CTISYNC_STORE__USERNAME": USER,
            "CTISYNC_STORE__PASSWORD": PASSWORD,
        }
        ended = passes.run(home, "sync", **settings)
        return ended, node.received.decode("latin-1")


@pytest.fixture(scope="module")
def played(passes: Passes, request: pytest.FixtureRequest) -> Mapping[str, tuple[Ended, str]]:
    return at_once(lambda name: _play(passes, name, LIES[name][0]), names_judged(request))


def _judge(ended: Ended, end: End, tally: Tally) -> None:
    assert_bounded(ended, TRIES)
    assert ended.code == end.code, ended.stderr
    if end.advises:
        assert_error(ended.stderr, end.says, end.advises)
    tally.add(ended.peak)


@pytest.mark.parametrize("name", LIES)
def test_what_is_no_opensearch_is_an_error_and_nothing_is_written_to_it(
    name: str, played: Mapping[str, tuple[Ended, str]], tally: Tally
) -> None:
    ended, received = played[name]
    _judge(ended, LIES[name][1], tally)
    assert secrets_in(received) == SECRETS[2:]
    assert not any(method in received for method in ("PUT ", "POST ", "DELETE "))


@pytest.fixture
def stranger() -> Iterator[RawServer]:
    with RawServer(raw(response(200, b"{}", JSON)), "127.0.0.2") as stranger:
        yield stranger


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_takes_neither_request_nor_login_elsewhere(
    passes: Passes, tally: Tally, stranger: RawServer, status: int
) -> None:
    away = raw(response(status, b"", f"Location: {stranger.origin}/"))

    ended, _ = _play(passes, f"redirect {status}", away)

    end = End(3, rf"answers with a redirect \({status}\); ctisync does not follow it", "set store.url")
    _judge(ended, end, tally)
    assert stranger.connections == 0
    tally.add_stranger()
