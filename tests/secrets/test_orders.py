"""No field that an outsider sets is obeyed by a terminal, begins a line of its own, or hides what is told."""

import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Final

import pytest

from tests.secrets.commands import FORMATS
from tests.secrets.conftest import MakeStage
from tests.secrets.fields import FIELDS, OF_PERSON, OF_SQLITE
from tests.secrets.orders import MARK, ORDER, Played, Player, obeyed, sent_outside
from tests.secrets.stage import Stage
from tests.support.figures import figure
from tests.support.long import LONG

TELL: Final = 'env | grep -a ^HOOK_ >> "$0"'

PASSES: Final = [["sync", "-v"], *([["init-snapshot", "-v"], ["update", "-v"]] if LONG else [])]
AFTER_A_PASS: Final = [["status"], ["status", "--json"], ["log"]]
OF_SETTINGS: Final = [["doctor"], ["config", "show"], ["config", "check"]]
OF_A_STORE: Final = [
    *AFTER_A_PASS,
    ["status", "--check"],
    ["history"],
    ["history", "--json"],
    ["log", "--json"],
    ["verify"],
    ["verify", "--json"],
]
MORE: Final = [
    ["status", "--remote"],
    ["verify", "--deep", "--json"],
    ["doctor", "--json"],
    ["config", "show", "--json"],
    ["show", "CVE-1"],
    ["completion", "bash"],
    ["examples"],
    ["config", "init"],
    ["config", "schema"],
    ["--version"],
    ["sync", "--help"],
]
DRAWN: Final = [["status"], *([["sync", "-q"], ["history"], ["doctor"]] if LONG else [])]


def looks_at(name: str) -> list[list[str]]:
    """The commands that come to a field; in a run that has time, all."""
    if LONG:
        return [*OF_A_STORE, *OF_SETTINGS, *MORE]
    if name in OF_SQLITE:
        return OF_A_STORE
    return OF_SETTINGS if name in OF_PERSON else AFTER_A_PASS


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    player = Player()
    yield player
    player.close()


@pytest.fixture(scope="module", autouse=True)
def counted() -> Iterator[dict[str, list[str]]]:
    """For each field, what was called with it in place."""
    runs: dict[str, list[str]] = {}
    yield runs
    calls = [call for each in runs.values() for call in each]
    figure(f"T14 orders: {len(runs)} fields by {len(set(calls))} commands, {len(calls)} runs, 0 escapes")


def arranged(stage: Stage, name: str) -> tuple[Path, Path, Path]:
    """With everybody who can be told of a pass; the files of hooks, metrics and page."""
    hooks, metrics, page = (stage.home / each for each in ("told", "ctisync.prom", "page.html"))
    hook = json.dumps(["sh", "-c", TELL, str(hooks)])
    stage.environ |= {"CTISYNC_HOOKS__ON_ERROR": hook, "CTISYNC_HOOKS__ON_UPDATE": hook}
    stage.publish()
    FIELDS[name].arrange(stage)
    if name == "settings: a hook":
        del stage.environ["CTISYNC_HOOKS__ON_ERROR"], stage.environ["CTISYNC_HOOKS__ON_UPDATE"]
    return hooks, metrics, page


def check(played: list[Played], outside: dict[str, bytes]) -> None:
    orders = [order for each in played for order in each.orders()]
    orders += [f"{place}: {what}" for place, content in outside.items() for what in obeyed(content)]
    assert orders == []
    for each in played:
        assert each.code != 1 or each.arguments[0] in ("doctor", "status"), each
        if "--json" in each.arguments and each.arguments[0] != "log":
            assert not each.written["out"] or json.loads(each.written["out"])
        if "json" in each.arguments:
            assert all(json.loads(line) for line in each.written["err"].splitlines())


@pytest.mark.parametrize(
    ("name", "log_format"), [(name, each) for name, each in zip(FIELDS, cycle(FORMATS), strict=False)]
)
def test_no_field_is_an_order(
    on_sqlite: MakeStage, player: Player, counted: dict[str, list[str]], name: str, log_format: str
) -> None:
    stage = on_sqlite()
    files = arranged(stage, name)
    passes = [
        [*call, "--log-format", each, "--metrics", str(files[1])]
        for call in PASSES
        for each in (FORMATS if LONG else (log_format,))
    ]
    looks = [*looks_at(name), ["history", "--html", str(files[2])], *FIELDS[name].calls]

    # A pass may put another text in the place of what a database holds.
    played = player.play(stage, [*looks, *passes] if name in OF_SQLITE else [*passes, *looks])
    screens = player.play(stage, [*DRAWN, *(FIELDS[name].calls if LONG else ())], at_terminal=True)

    outside = sent_outside(stage, *files)
    check([*played, *screens], outside)
    counted[name] = [" ".join(call) for call in (*PASSES, *looks[: -len(FIELDS[name].calls) or None], *DRAWN)]
    outputs = b"".join([*outside.values(), *(text for each in played for text in each.written.values())])
    assert (MARK.encode() in outputs) or not FIELDS[name].shown, "nobody was told: what is this field for?"


def test_the_search_for_orders_sees_them() -> None:
    """Each order of the canary, alone, is one; and so is a line of its own."""
    for char in sorted(set(ORDER)):
        assert obeyed(char.encode()) == ([] if char.isprintable() or char == "\n" else [f"U+{ord(char):04X}"])
    assert "a line of its own" in obeyed(ORDER.encode())
    assert obeyed(b"\x9b") == ["U+DC9B"]
    assert obeyed(b"\x1b[31mred\x1b[0m\r\n", terminal=True) == []
    assert obeyed(b"\x1b[2J", terminal=True) == ["U+001B"]
