"""Servers that tell a client with which secrets it came: not a part of one is shown."""

import json
from functools import partial
from typing import Final, NamedTuple

import pytest

from tests.secrets.conftest import MakeStage
from tests.secrets.echoing import SPELLINGS, echo, json_echo
from tests.secrets.stage import Stage
from tests.support.figures import figure
from tests.support.http_proxy import Answer, Intercept, Received
from tests.support.long import LONG


class Refusal(NamedTuple):
    """How a server refuses to answer `command`, and how that ends."""

    server: str
    status: int
    command: str
    code: int


REFUSALS: Final = [
    Refusal("feed", 403, "sync", 3),
    Refusal("store", 403, "status", 3),
    Refusal("manager", 500, "sync", 8),
    Refusal("proxy", 407, "sync", 3),
]
EACH: Final = pytest.mark.parametrize("refusal", REFUSALS, ids=[each.server for each in REFUSALS])


def refusing(stage: Stage, refusal: Refusal, spoil: Intercept) -> None:
    if refusal.server == "store":
        stage.closed_store()
    if refusal.server == "proxy":
        stage.proxied()
    stage.servers[refusal.server].intercept = spoil


ALL_OR_FEW: Final = [
    pytest.param(each, spelling, id=f"{each.server}, {spelling}")
    for each in REFUSALS
    for spelling in SPELLINGS
    if LONG or each.server in ("feed", "store") or spelling == "as it came"
]


@pytest.mark.parametrize(("refusal", "spelling"), ALL_OR_FEW)
def test_an_echo_is_masked_in_every_spelling(on_sqlite: MakeStage, refusal: Refusal, spelling: str) -> None:
    stage = on_sqlite()
    stage.publish()
    for spoil in (echo, json_echo) if LONG else (json_echo if refusal.server == "store" else echo,):
        refusing(stage, refusal, spoil(refusal.status, spelling=spelling))

        ended = stage.run(refusal.command, "-v")

        assert ended.code == refusal.code, ended.stderr.decode()
        assert ended.leaks() == [], ended.stderr.decode()


SHIFTS: Final = range(50, 300, 4 if LONG else 90)


@EACH
def test_an_echo_that_is_cut_anywhere_is_masked(on_sqlite: MakeStage, refusal: Refusal) -> None:
    """Messages show so many characters of what a server says: the end of them may lie within a secret."""

    def shifted(shift: int, request: Received) -> Answer:
        text = "-" * shift + request.credentials
        if refusal.server == "store":
            text = json.dumps({"error": {"type": "refused", "reason": text}})
        return Answer(refusal.status, text.encode(), {"Content-Type": "text/plain"})

    stage = on_sqlite()
    stage.publish()
    for shift in SHIFTS:
        refusing(stage, refusal, partial(shifted, shift))
        ended = stage.run(refusal.command)
        assert ended.code == refusal.code
        assert ended.leaks() == [], (shift, ended.stderr.decode())
    figure(f"T12 canaries: echoes by the {refusal.server}, cut at {len(SHIFTS)} places, 0 leaks")
