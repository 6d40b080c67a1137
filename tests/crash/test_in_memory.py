"""T1 and T2 on the in-memory store, which keeps the stores' contract: every call of a port, every write."""

from collections.abc import Iterator
from typing import Final, get_args

import pytest

from tests.crash.in_memory import KILLED, InMemoryPasses
from tests.crash.passes import without_times
from tests.crash.stories import STORIES, Story
from tests.crash.sweep import shown
from tests.support.faults import Effect, Fault, When
from tests.support.faults_ports import NEVER_FAIL
from tests.support.feed_simulator import FeedSimulator
from tests.support.figures import figure

_CODES: Final = {"feed": 5, "files": 7, "store": 7, "commands": 8}


@pytest.fixture(params=STORIES, ids=lambda story: story.name)
def passes(request: pytest.FixtureRequest) -> Iterator[InMemoryPasses]:
    with FeedSimulator() as feed:
        yield InMemoryPasses(request.param, feed)


class Whole:
    """The pass that nothing spoils, and what is kept after it."""

    def __init__(self, passes: InMemoryPasses) -> None:
        passes.begin()
        ended = passes.run()
        assert ended.code == passes.story.exit_code
        assert passes.commands[-1:] == [passes.last_offset]
        self.effects = ended.effects
        self.lines = passes.lines()
        self.state = without_times(passes.state)

    def unlike(self, passes: InMemoryPasses, code: int) -> list[str]:
        """What a clean pass that ended with `code` has left differently."""
        wrong = []
        if code != passes.story.exit_code:
            wrong.append(f"the next pass ends with {code}")
        if passes.lines() != self.lines:
            wrong.append("the content is another one")
        if (state := without_times(passes.state)) != self.state:
            wrong.append(f"the state is another one: {state} instead of {self.state}")
        if passes.last_offset not in passes.commands:
            wrong.append(f"no command with offset {passes.last_offset} was accepted: {passes.commands}")
        return wrong


def test_killed_at_any_call_of_a_port_nothing_is_lost_doubled_or_missed(passes: InMemoryPasses) -> None:
    whole = Whole(passes)
    problems = []
    for at, effect in enumerate(whole.effects, start=1):
        for when in get_args(When):
            passes.begin()
            assert passes.run(Fault(at, when, "kill")).code == KILLED
            problems += [
                f"killed {when} effect {at} ({effect.name}): {what}"
                for what in whole.unlike(passes, passes.run().code)
            ]
    assert not problems, shown(problems)
    figure(f"T1 in memory, {passes.story.name}: {len(whole.effects)} points x 2: 0 lost, 0 doubled, 0 missed")


def test_an_error_of_any_call_of_a_port_is_reported_and_the_next_pass_ends_right(
    passes: InMemoryPasses,
) -> None:
    whole = Whole(passes)
    faults = [
        (effect, Fault(at, when, "EIO", lasting))
        for at, effect in enumerate(whole.effects, start=1)
        for when in get_args(When)
        for lasting in (False, True)
        if effect.name not in NEVER_FAIL
    ]
    problems = [
        f"{fault} ({effect.place}: {effect.name}): {what}"
        for effect, fault in faults
        for what in wrong_after_an_error(passes, effect, fault, whole)
    ]
    assert not problems, shown(problems)
    figure(f"T2 in memory, {passes.story.name}: {len(faults)} errors: 0 wrong exit codes, 0 lost")


def wrong_after_an_error(passes: InMemoryPasses, effect: Effect, fault: Fault, whole: Whole) -> list[str]:
    passes.begin()
    code = passes.run(fault).code
    wrong = []
    if code not in allowed(passes.story, effect):
        wrong.append(f"it ends with {code}")
    if code in (passes.story.exit_code, 8) and passes.lines() != whole.lines:
        wrong.append(f"it ends with {code}, and the content is another one")
    wrong += whole.unlike(passes, passes.run().code)
    if passes.story.name == "update" and passes.downloads:
        wrong.append("it was initialised again")
    return wrong


def allowed(story: Story, effect: Effect) -> set[int]:
    """A command that fails does not hide what the feed's data is worth, nor does a facts index."""
    if effect.name == "fill_facts":
        return {story.exit_code}
    if effect.place == "commands" and story.exit_code:
        return {story.exit_code}
    return {_CODES[effect.place]}
