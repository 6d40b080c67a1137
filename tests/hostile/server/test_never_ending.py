"""Answers that never end: silence, drips and floods in every part of an answer, from head to trailers.

`limits.pass_seconds` ends what is slow, `limits.reply_bytes` and `limits.snapshot_bytes` what is large.
"""

from collections.abc import Mapping
from typing import Final

import pytest

from tests.hostile.server.conftest import Judge
from tests.hostile.server.ends import (
    CUT_OFF,
    INCOMPLETE,
    LATER,
    OVER,
    OVER_SECONDS,
    REPLY_TOO_LARGE,
    SNAPSHOT_TOO_LARGE,
    End,
    no_http,
)
from tests.hostile.server.passes import Case, Outcome, Passes, at_once
from tests.support.feed_server import Kind
from tests.support.lying_feed import Lie
from tests.support.raw_server import CHUNKED, chunk, head, silence, then_for_ever

EVERY: Final = 0.1

SLOW: Final[Mapping[str, Lie]] = {
    "silence": silence,
    "a head that drips": then_for_ever(b"HTTP/1.1 200 OK\r\nX: ", b"x", EVERY),
    "a body that drips": then_for_ever(head(200, "Content-Length: 100000"), b" ", EVERY),
    "a body to the end of the connection that drips": then_for_ever(head(200), b" ", EVERY),
    "chunks that drip": then_for_ever(head(200, CHUNKED), chunk(b" "), EVERY),
    "an extension of a chunk that drips": then_for_ever(head(200, CHUNKED) + b"1;", b"x", EVERY),
    "trailers that drip": then_for_ever(head(200, CHUNKED) + b"1\r\n \r\n0\r\nX: ", b"x", EVERY),
    "interim answers that drip": then_for_ever(b"", head(100), EVERY),
    "a flood of interim answers": then_for_ever(b"", head(100) * 1000),
    "a flood of chunks of one byte": then_for_ever(head(200, CHUNKED), chunk(b" ") * 1000),
}

LARGE: Final[Mapping[str, tuple[Lie, End, End]]] = {
    "a body to the end of the connection": (
        then_for_ever(head(200), b" " * 65_536),
        REPLY_TOO_LARGE,
        SNAPSHOT_TOO_LARGE,
    ),
    "chunks without a last one": (
        then_for_ever(head(200, CHUNKED), chunk(b" " * 65_536)),
        REPLY_TOO_LARGE,
        SNAPSHOT_TOO_LARGE,
    ),
    "a head of endless lines": (
        then_for_ever(b"HTTP/1.1 200 OK\r\n", b"X-Line: x\r\n" * 1000),
        no_http("Receive buffer too long"),
        no_http("Receive buffer too long"),
    ),
    "a header line of any size": (
        then_for_ever(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65_536),
        no_http("Receive buffer too long"),
        no_http("Receive buffer too long"),
    ),
    "trailers without end": (
        then_for_ever(head(200, CHUNKED) + b"0\r\n", b"X-Line: x\r\n" * 1000),
        INCOMPLETE,
        CUT_OFF,
    ),
}
"""With how a pass ends to which the API answers so, and one that asks for the snapshot."""

ALSO: Final = ("silence", "a head that drips", "a body that drips", "trailers that drip")
"""Of the slow ones: what is not only tried on the first question of a pass."""


def _kinds(name: str) -> tuple[Kind, ...]:
    return ("info", "changes", "snapshot") if name in ALSO else ("info",)


CASES: Final = {
    **{
        f"{kind}: {name}": Case({kind: lie}, OVER, seconds=OVER_SECONDS)
        for name, lie in SLOW.items()
        for kind in _kinds(name)
    },
    **{
        f"{kind}: {name}": Case({kind: lie}, snapshot if kind == "snapshot" else api)
        for name, (lie, api, snapshot) in LARGE.items()
        for kind in ("info", "snapshot")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_an_answer_without_end_ends_with_the_time_or_the_room_that_the_settings_give(
    name: str, outcomes: Mapping[str, Outcome], judge: Judge
) -> None:
    judge(CASES[name], outcomes[name])


LASTING: Final = {
    "a body that drips": Case(
        {"snapshot": SLOW["a body that drips"]},
        End(5, "sends less than 1000 bytes a second", LATER),
        seconds=65.0,
        settings={"CTISYNC_LIMITS__PASS_SECONDS": "0"},
    ),
    "a head that drips": Case(
        {"info": SLOW["a head that drips"]},
        End(5, "does not answer in time", LATER),
        seconds=65.0,
        settings={"CTISYNC_LIMITS__PASS_SECONDS": "0"},
    ),
}


@pytest.mark.long
def test_a_pass_that_may_take_for_ever_still_waits_a_minute_at_most_for_what_only_drips(
    passes: Passes, judge: Judge
) -> None:
    outcomes = at_once(lambda name: passes.play(f"lasting: {name}", LASTING[name]), LASTING)
    for name, case in LASTING.items():
        judge(case, outcomes[name])
