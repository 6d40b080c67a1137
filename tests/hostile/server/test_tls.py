"""Servers under an https address that do not get on with TLS: no secret goes out before that stands."""

from collections.abc import Mapping
from typing import Final

import pytest

from tests.hostile.server.conftest import Judge, names_judged
from tests.hostile.server.ends import OVER, OVER_SECONDS, End
from tests.hostile.server.passes import Case, Outcome, Passes, at_once
from tests.support.raw_server import RawServer, Script, head, raw, silence, then_for_ever

NO_TLS: Final = End(
    3,
    r"does not use TLS, but cti\.url begins with https://",
    "or, in a private network, set cti.url to http://",
)
RECORD: Final = b"\x16\x03\x03\x40\x00"
"""A handshake record of 16 KiB begins."""


LIES: Final[Mapping[str, tuple[Script, End]]] = {
    "silence": (silence, OVER),
    "a handshake that drips": (then_for_ever(RECORD, b"x", 0.1), OVER),
    "an answer without TLS": (raw(head(400, "Content-Length: 0")), NO_TLS),
    "an answer without TLS that drips": (then_for_ever(b"", b"x", 0.1), NO_TLS),
}


@pytest.fixture(scope="module")
def outcomes(passes: Passes, request: pytest.FixtureRequest) -> Mapping[str, Outcome]:
    def play(name: str) -> Outcome:
        home = passes.begun(f"TLS, {name}")
        before = passes.kept(home)
        with RawServer(LIES[name][0], listens=False) as server:
            settings = {
                "CTISYNC_CTI__URL": f"https://{server.place}/api/v1",
                "CTISYNC_LIMITS__PASS_SECONDS": str(OVER_SECONDS),
            }
            ended = passes.run(home, "sync", **settings)
            return Outcome(ended, before, passes.kept(home), (), ())

    return at_once(play, names_judged(request))


@pytest.mark.parametrize("name", LIES)
def test_a_handshake_that_does_not_come_about_ends_in_time(
    name: str, outcomes: Mapping[str, Outcome], judge: Judge
) -> None:
    judge(Case({}, LIES[name][1], seconds=OVER_SECONDS), outcomes[name])
