"""T1 on SQLite: killed by SIGKILL between any two effects, the next pass ends as if it had not been.

A pass that dies after an effect dies before the next one: only its memory has changed between them. So a
kill comes before each effect and after the last one; in a long run, on both sides of each.
"""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest

from tests.crash.passes import Kept, SqlitePasses
from tests.crash.stories import PRIVATE, STORIES, Story
from tests.crash.sweep import shown, sweep
from tests.support.faults import Effect, Fault, When
from tests.support.figures import figure
from tests.support.long import LONG, some

# Hundreds of passes a test, each with its own time limit (`doomed.HANGS`).
pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("story", [*STORIES, PRIVATE], ids=lambda story: story.name)
def test_killed_at_any_effect_nothing_is_lost_doubled_missed_or_left(story: Story, tmp_path: Path) -> None:
    kills, problems = sweep(story, tmp_path, every_kill, wrong_after_a_kill)
    assert not problems, shown(problems)
    figure(
        f"T1 sqlite, {story.name}: {kills} kills, each a real SIGKILL: "
        "0 lost, 0 doubled, 0 missed, 0 leftovers"
    )


def every_kill(effects: Sequence[Effect]) -> Sequence[Fault]:
    points = range(1, len(effects) + 1)
    sides = get_args(When) if LONG else ("before",)
    faults = [Fault(at, when, "kill") for at in points for when in sides]
    return some([*faults, Fault(points[-1], "after", "kill")], 50)


def wrong_after_a_kill(passes: SqlitePasses, effect: Effect, fault: Fault, undisturbed: Kept) -> list[str]:
    passes.begin()
    killed = passes.run(fault)
    wrong = []
    if killed.code != -signal.SIGKILL:
        wrong.append(f"it was not killed but ended with {killed.code}")
    if not passes.is_whole():
        wrong.append("readers then find another content than that of the stored offset")
    clean = passes.run()
    if clean.code != passes.story.exit_code:
        wrong.append(f"the next pass ends with {clean.code}: {clean.stderr}")
    if (kept := passes.kept()) != undisturbed:
        wrong.append(f"the next pass leaves something else: {kept.unlike(undisturbed)}")
    if passes.last_offset not in passes.commands():
        wrong.append(f"no command with offset {passes.last_offset} was accepted: {passes.commands()}")
    return wrong
