"""A search is killed, or fails, at any effect of building and updating the index.

The content stays, and the next search answers what a plain scan does and leaves no file behind. A kill comes
before each statement, each operation on a file, and each write that makes a file longer: the last also within
a commit. An error has the exit code 7, unless the index could be built another way.
"""

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.crash.searches import STORIES, Searches, Story, matching_of, searches
from tests.crash.sweep import WORLDS, shown
from tests.crash.test_errors_sqlite import errors_of, ways_of, wrong_words
from tests.support.faults import Effect, Fault
from tests.support.faults_sql import CLOSE
from tests.support.figures import figure
from tests.support.long import LONG, some

pytestmark = pytest.mark.timeout(900)

_PAGE: Final = 4096
_FAILED: Final = 7

# A kill before one of these is the same as one before the next effect.
_CHANGES_NOTHING: Final = ("SELECT", "PRAGMA", "read", "open index", "CREATE TEMP", CLOSE)

# What is done when the answer is there, or is left to the next search.
_BEST_EFFORT: Final = ("unlink new note", "ftruncate lock", "mkdir folder")

Wrong = Callable[[Searches, frozenset[str]], list[str]]


@pytest.fixture(params=STORIES, ids=lambda story: story.name)
def story(request: pytest.FixtureRequest) -> Story:
    chosen: Story = request.param
    return chosen


def test_killed_at_any_effect_the_next_search_answers_and_nothing_is_left(
    story: Story, tmp_path: Path
) -> None:
    def kills(effects: Sequence[Effect], _: Searches) -> Sequence[Wrong]:
        points = [
            at for at, effect in enumerate(effects, start=1) if not effect.name.startswith(_CHANGES_NOTHING)
        ]
        faults = [*(Fault(at, "before", "kill") for at in points), Fault(points[-1], "after", "kill")]
        return [_killed_at(fault, effects[fault.at - 1]) for fault in some(faults, 50)]

    count, problems = _sweep(story, tmp_path, kills)
    assert not problems, shown(problems)
    figure(f"T1 search, {story.name}: {count} kills, each a real SIGKILL: 0 wrong answers, 0 leftovers")


def test_killed_at_any_write_that_makes_a_file_longer_the_next_search_answers(
    story: Story, tmp_path: Path
) -> None:
    def kills(_: Sequence[Effect], begun: Searches) -> Sequence[Wrong]:
        longest = max(path.stat().st_size for path in begun.folder.glob("*.search*"))
        return [_killed_beyond(size) for size in some(range(_PAGE, longest, _PAGE), 10)]

    count, problems = _sweep(story, tmp_path, kills)
    assert not problems, shown(problems)
    figure(f"T1 search, {story.name}: {count} kills within a write: 0 wrong answers, 0 leftovers")


@pytest.mark.parametrize("story", STORIES[:2], ids=lambda story: story.name)
def test_an_error_at_any_effect_has_its_exit_code_and_the_next_search_answers(
    story: Story, tmp_path: Path
) -> None:
    """Of effects of the same name, the first and the last; all in a long run."""

    def errors(effects: Sequence[Effect], _: Searches) -> Sequence[Wrong]:
        numbered = list(enumerate(effects, start=1))
        ends = {
            *{effect: at for at, effect in numbered}.values(),
            *{effect: at for at, effect in reversed(numbered)}.values(),
        }
        faults = [
            Fault(at, when, how, lasting)
            for at, effect in numbered
            if LONG or at in ends
            for how in errors_of(effect)
            for when, lasting in ways_of(effect, how)
        ]
        return [_failed_at(fault, effects[fault.at - 1]) for fault in some(faults, 100)]

    count, problems = _sweep(story, tmp_path, errors)
    assert not problems, shown(problems)
    figure(f"T2 search, {story.name}: {count} errors: 0 wrong exit codes, 0 tracebacks, 0 wrong answers")


def _sweep(
    story: Story, folder: Path, cases: Callable[[Sequence[Effect], Searches], Sequence[Wrong]]
) -> tuple[int, list[str]]:
    """How many cases were played, and what was wrong, a line each."""

    def share(number: int) -> tuple[int, list[str]]:
        with searches(story, folder / f"world{number}") as world:
            world.begin()
            undisturbed = world.run()
            assert (undisturbed.code, undisturbed.stderr) == (0, ""), undisturbed
            assert matching_of(undisturbed) == world.expected() != {}
            files = world.files()
            mine = cases(undisturbed.effects, world)[number::WORLDS]
            return len(mine), [line for wrong in mine for line in wrong(world, files)]

    with ThreadPoolExecutor(WORLDS) as pool:
        shares = list(pool.map(share, range(WORLDS)))
    return sum(count for count, _ in shares), [line for _, lines in shares for line in lines]


def _killed_at(fault: Fault, effect: Effect) -> Wrong:
    def wrong(world: Searches, files: frozenset[str]) -> list[str]:
        world.begin()
        killed = world.run(fault)
        how = [] if killed.code == -signal.SIGKILL else [f"it was not killed but ended with {killed.code}"]
        where = f"killed {fault.when} effect {fault.at} ({effect.place}: {effect.name})"
        return [f"{where}: {what}" for what in (*how, *world.wrong(files))]

    return wrong


def _killed_beyond(size: int) -> Wrong:
    def wrong(world: Searches, files: frozenset[str]) -> list[str]:
        world.begin()
        killed = world.run(most_bytes=size)
        how = [] if killed.code in (0, -signal.SIGXFSZ) else [f"it ended with {killed.code}: {killed.stderr}"]
        return [f"killed at {size} bytes: {what}" for what in (*how, *world.wrong(files))]

    return wrong


def _failed_at(fault: Fault, effect: Effect) -> Wrong:
    def wrong(world: Searches, files: frozenset[str]) -> list[str]:
        world.begin()
        failed = world.run(fault)
        right = {_FAILED} if fault.lasting and effect.name not in _BEST_EFFORT else {0, _FAILED}
        problems = wrong_words(failed)
        if failed.code not in right:
            problems.append(f"it ends with {failed.code} instead of {right}: {failed.stderr}")
        if failed.code == 0 and matching_of(failed) != world.expected():
            problems.append("it ends with 0 and another answer")
        lasting = " for good" if fault.lasting else ""
        where = f"{fault.how}{lasting} {fault.when} effect {fault.at} ({effect.place}: {effect.name})"
        return [f"{where}: {what}" for what in (*problems, *world.wrong(files))]

    return wrong
