"""A Command Manager that lies: the content stays current, the command owed, and the secrets at home."""

import gzip
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import pytest

from tests.hostile.server.conftest import names_judged
from tests.hostile.server.measured import Ended
from tests.hostile.server.passes import (
    SECRETS,
    TOKEN,
    Kept,
    Passes,
    assert_bounded,
    at_once,
    comparables,
    secrets_in,
)
from tests.hostile.server.tally import Tally
from tests.support.printed_error import assert_error
from tests.support.raw_server import (
    CHUNKED,
    Line,
    RawRequest,
    RawServer,
    Script,
    bomb,
    chunk,
    head,
    raw,
    response,
    silence,
    then_for_ever,
)

TIMEOUT: Final = 2.0
SLOW: Final = "no complete answer within 2 s"
BOMB: Final = bomb(200)
OK: Final = b'{"result":"OK"}'


def _packed(encoding: str, content: bytes) -> Script:
    return raw(response(200, content, f"Content-Encoding: {encoding}"))


def _echo(line: Line, request: RawRequest) -> None:
    line.send(response(400, request.raw))


def _echo_login(line: Line, request: RawRequest) -> None:
    line.send(response(400, request.headers["authorization"].encode()))


LIES: Final[Mapping[str, tuple[Script, str]]] = {
    "silence": (silence, SLOW),
    "a head that drips": (then_for_ever(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.1), SLOW),
    "a body that drips": (then_for_ever(head(200), b" ", 0.1), SLOW),
    "chunks that drip": (then_for_ever(head(200, CHUNKED), chunk(b" "), 0.1), SLOW),
    "a flood of interim answers": (then_for_ever(b"", head(100) * 1000), SLOW),
    "a body without end": (then_for_ever(head(200), b" " * 65_536), "answered 200"),
    "a bomb": (_packed("gzip", BOMB), "with an unexpected encoding"),
    "a bomb within a bomb": (_packed("gzip, gzip", gzip.compress(BOMB)), "with an unexpected encoding"),
    "its acceptance, packed": (_packed("gzip", gzip.compress(OK)), "with an unexpected encoding"),
    "a body that is cut off": (raw(head(200, "Content-Length: 100"), OK), "peer closed connection"),
    "all bytes there are": (raw(bytes(range(256)) * 100), "illegal request line"),
    "a web page": (raw(head(200, "Content-Length: 6"), b"<html>"), "answered 200, with: <html>"),
    "an array without a bottom": (raw(head(200), b"[" * 60_000), "answered 200"),
    "what it was told": (_echo, "answered 400, with: POST /_plugins"),
    "the login that it was told": (_echo_login, r"answered 400, with: Basic \*\*\*"),
}


class PassResult(NamedTuple):
    ended: Ended
    after: Kept
    requests: tuple[RawRequest, ...]


def _play(passes: Passes, name: str, script: Script) -> PassResult:
    home = passes.begun(f"command, {name}")
    with RawServer(script) as manager:
        settings = {
            "CTISYNC_COMMAND_MANAGER__URL": manager.origin,
            "CTISYNC_COMMAND_MANAGER__TIMEOUT": str(TIMEOUT),
        }
        ended = passes.run(home, "sync", **settings)
        return PassResult(ended, passes.kept(home), tuple(manager.requests))


@pytest.fixture(scope="module")
def results(passes: Passes, request: pytest.FixtureRequest) -> Mapping[str, PassResult]:
    return at_once(lambda name: _play(passes, name, LIES[name][0]), names_judged(request))


def _assert_owed(result: PassResult, says: str, passes: Passes, tally: Tally) -> None:
    ended, after, requests = result
    assert_bounded(ended, TIMEOUT)
    assert ended.code == 8, ended.stderr
    assert_error(
        ended.stderr,
        "the content is current, but the Command Manager did not accept the update command",
        "ctisync status",
    )
    [warning, *_] = ended.stderr.splitlines()
    assert " command-not-accepted " in warning
    assert re.search(says, warning), warning
    assert len(requests) == 1
    assert TOKEN not in str(requests)
    assert comparables(after.lines) == comparables(passes.feed.expected_lines())
    assert after.state.owed is not None
    assert (after.state.owed.offset, after.state.owed.attempts) == (passes.feed.history.last_offset, 1)
    assert after.secrets == ()
    tally.add(ended.peak)


@pytest.mark.parametrize("name", LIES)
def test_a_command_that_is_not_accepted_is_owed_and_costs_only_its_time(
    name: str, results: Mapping[str, PassResult], passes: Passes, tally: Tally
) -> None:
    _assert_owed(results[name], LIES[name][1], passes, tally)


@pytest.fixture
def stranger() -> Iterator[RawServer]:
    with RawServer(raw(head(200), OK), "127.0.0.2") as stranger:
        yield stranger


@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_redirect_takes_neither_command_nor_login_elsewhere(
    passes: Passes, tally: Tally, stranger: RawServer, status: int
) -> None:
    away = head(
        status, f"Location: {stranger.origin}/_plugins/_command_manager/commands", "Content-Length: 0"
    )

    result = _play(passes, f"redirect {status}", raw(away))

    _assert_owed(result, f"answered {status}", passes, tally)
    assert stranger.connections == 0
    tally.add_stranger()


def test_the_login_was_sent_to_the_manager_alone(passes: Passes) -> None:
    """What is looked for above can be found, and the feed is not told."""
    passes.feed.requests.clear()
    result = _play(passes, "telling", silence)
    assert secrets_in(result.requests[0].raw.decode()) == SECRETS[2:]
    assert secrets_in(str(passes.feed.requests)) == (TOKEN,)
