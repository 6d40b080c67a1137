"""Real passes on SQLite with a watch, killed by SIGKILL at each effect from the last command on: each match
reaches the hook, and only what reached it in the pass that was killed comes again.
"""

import json
import signal
from pathlib import Path
from typing import Final

import pytest

from tests.crash.passes import SqlitePasses, sqlite_passes
from tests.crash.stories import STORIES
from tests.crash.sweep import shown
from tests.support.faults import Effect, Fault
from tests.support.figures import figure

pytestmark = pytest.mark.timeout(900)

(UPDATE,) = (story for story in STORIES if story.name == "update")
_POST: Final = "commands"


def test_killed_at_any_effect_of_reporting_no_match_is_missed_or_repeated_without_need(
    tmp_path: Path,
) -> None:
    matches = tmp_path / "matches"
    settings = {
        "CTISYNC_WATCH": '[{"name": "every", "words": "CVE*"}]',
        "CTISYNC_HOOKS__ON_MATCH": json.dumps(["sh", "-c", f"cat >> {matches}"]),
    }
    with sqlite_passes(UPDATE, tmp_path, settings) as passes:
        passes.begin()
        whole = passes.run()
        assert whole.code == 0, whole.stderr
        (expected,) = calls_of(matches)
        problems = []
        points = reporting(whole.effects)
        for at in points:
            problems += [
                f"killed before effect {at} ({whole.effects[at - 1].name}): {what}"
                for what in wrong_after_a_kill(passes, at, matches, expected)
            ]
    assert not problems, shown(problems)
    figure(f"watches on SQLite: {len(points)} kills, {len(expected)} matches: 0 missed")


def calls_of(matches: Path) -> list[list[str]]:
    """The ids that each call of the hook got; then they are forgotten."""
    lines = matches.read_text().splitlines() if matches.exists() else []
    matches.unlink(missing_ok=True)
    return [[item["id"] for item in json.loads(line)["records"]] for line in lines]


def reporting(effects: tuple[Effect, ...]) -> range:
    """The numbers of the effects from the last command on."""
    command = max(at for at, effect in enumerate(effects, start=1) if effect.place == _POST)
    return range(command + 1, len(effects) + 1)


def wrong_after_a_kill(passes: SqlitePasses, at: int, matches: Path, expected: list[str]) -> list[str]:
    passes.begin()
    wrong = []
    if passes.run(Fault(at, "before", "kill")).code != -signal.SIGKILL:
        wrong.append("it was not killed")
    before = calls_of(matches)
    clean = passes.run()
    after = calls_of(matches)
    if clean.code != 0:
        wrong.append(f"the next pass ends with {clean.code}: {clean.stderr}")
    if before + after not in ([expected], [expected, expected]):
        wrong.append(f"the hook got {before}, then {after}, instead of {expected}")
    cursor = passes.read()[0].watches[0].offset
    if cursor != passes.last_offset:
        wrong.append(f"the watch is at {cursor}")
    if passes.run().code != 0 or calls_of(matches):
        wrong.append("the pass after that reports again")
    return wrong
