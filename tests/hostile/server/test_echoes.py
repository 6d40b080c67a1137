"""Servers that tell back what they were told: the secrets in it are neither shown nor kept."""

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from tests.hostile.server.conftest import Judge
from tests.hostile.server.ends import LOOK, End, no_http, refused
from tests.hostile.server.passes import Case, Outcome, Passes
from tests.support.lying_feed import FeedRequest, Lie
from tests.support.raw_server import Line, head, response

Answer = Callable[[str, bytes], bytes]
"""What to send, from the Authorization header that came and the whole request."""


def _echo(answer: Answer) -> Lie:
    def lie(line: Line, request: FeedRequest) -> None:
        line.send(answer(request.received.headers["authorization"], request.received.raw))

    return lie


AT_ONCE: Final = "ctisync sync --now"
"""A cool-down begins, which these cases have."""

TEXT: Final = "Content-Type: text/plain"
# Enough that the token lies where a line of words ends.
FILLED: Final = "x" * (200 - len("Bearer canary"))

CASES: Final[Mapping[str, Case]] = {
    name: Case({"info": _echo(answer)}, end, settings={"CTISYNC_CTI__COOLDOWN": "600"})
    for name, (answer, end) in {
        "in a refusal": (
            lambda token, _: response(401, token.encode(), TEXT),
            End(3, r"answers 401: Bearer \*\*\*", "cti.token"),
        ),
        "the whole request": (lambda _, raw: response(422, raw, TEXT), refused("answers 422: GET /")),
        "where the words are cut off": (
            lambda token, _: response(422, (FILLED + token).encode(), TEXT),
            refused("answers 422: x"),
        ),
        "in the status": (
            lambda token, _: b"HTTP/1.1 " + token.encode() + b"\r\n\r\n",
            no_http("illegal status line")._replace(advises=AT_ONCE),
        ),
        "in a header that is none": (
            lambda token, _: head(200, f"X: {token}\0"),
            no_http("illegal header line")._replace(advises=AT_ONCE),
        ),
        "as an encoding": (
            lambda token, _: head(200, f"Content-Encoding: {token}"),
            End(6, "the reply has an unexpected encoding", LOOK),
        ),
        "in a redirect": (
            lambda token, _: head(302, f"Location: http://127.0.0.2/{token.split()[1]}?{token.split()[1]}"),
            End(3, r"a redirect to http://127\.0\.0\.2/\*\*\*;", "set cti.url"),
        ),
    }.items()
}


@pytest.mark.parametrize("name", CASES)
def test_a_secret_that_a_server_echoes_is_neither_shown_nor_kept(
    name: str, outcomes: Mapping[str, Outcome], judge: Judge
) -> None:
    judge(CASES[name], outcomes[name])
    assert "canary" not in outcomes[name].ended.stderr


def test_the_secrets_were_sent(passes: Passes) -> None:
    """What is looked for above can be found."""
    authorizations: list[str] = []

    def keep(line: Line, request: FeedRequest) -> None:
        authorizations.append(request.received.headers["authorization"])

    passes.play("telling", Case({"info": keep}, no_http("")))
    assert authorizations
    assert all("canary" in each for each in authorizations)
