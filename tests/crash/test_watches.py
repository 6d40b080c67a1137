"""Kills and errors of passes with watches: what matches is reported at least once, and again only if the
hook failed or the pass died between its end and the stored cursor.
"""

from collections import Counter
from collections.abc import Iterator
from typing import cast, get_args

import pytest

from ctisync.core.conditions import Conditions
from ctisync.core.watches import Watch
from tests.crash.in_memory import KILLED, InMemoryPasses
from tests.crash.stories import STORIES, Story
from tests.crash.sweep import shown
from tests.support.faults import Fault, When
from tests.support.faults_ports import NEVER_FAIL
from tests.support.feed_simulator import FeedSimulator
from tests.support.figures import figure

EVERY = Watch("every record", Conditions())


@pytest.fixture(params=STORIES, ids=lambda story: story.name)
def story(request: pytest.FixtureRequest) -> Story:
    return cast(Story, request.param)


@pytest.fixture(params=["an old watch", "a new watch"])
def passes(story: Story, request: pytest.FixtureRequest) -> Iterator[InMemoryPasses]:
    with FeedSimulator() as feed:
        passes = InMemoryPasses(story, feed, [EVERY] if request.param == "an old watch" else [])
        passes.watches = [EVERY]
        yield passes


def undisturbed(passes: InMemoryPasses) -> tuple[list[str], set[str]]:
    """The effects of a pass that nothing spoils, and the ids that it has reported."""
    passes.begin()
    ended = passes.run()
    assert ended.code == passes.story.exit_code
    return [effect.name for effect in ended.effects], {one for call in passes.delivered for one in call}


def wrong_after(passes: InMemoryPasses, expected: set[str], *, may_repeat: bool) -> list[str]:
    """What a pass after a fault has made wrong."""
    passes.run()
    counts = Counter(one for call in passes.delivered for one in call)
    wrong = [f"{len(missed)} are missed" for missed in [expected - set(counts)] if missed]
    repeated = [one for one, number in counts.items() if number > 1]
    if repeated and not may_repeat:
        wrong.append(f"{len(repeated)} are repeated")
    if passes.state.watches and passes.state.watches[0].offset != passes.state.offset:
        wrong.append(
            f"the cursor is at {passes.state.watches[0].offset}, the content at {passes.state.offset}"
        )
    return wrong


def test_killed_at_any_call_of_a_port_no_match_is_missed_and_repeats_only_follow_the_hook(
    passes: InMemoryPasses,
) -> None:
    names, expected = undisturbed(passes)
    hook = names.index("match") + 1 if "match" in names else len(names) + 1
    assert bool(expected) == (passes.story.before is not None), "a watch begins with the first content"
    problems = []
    for at, name in enumerate(names, start=1):
        for when in get_args(When):
            passes.begin()
            assert passes.run(Fault(at, when, "kill")).code == KILLED
            after_hook = (at, when) >= (hook, "after")
            problems += [
                f"killed {when} effect {at} ({name}): {what}"
                for what in wrong_after(passes, expected, may_repeat=after_hook)
            ]
    assert not problems, shown(problems)
    figure(f"watches in memory, {passes.story.name}: {len(names)} points x 2: 0 missed")


def test_an_error_of_any_call_of_a_port_no_match_is_missed(passes: InMemoryPasses) -> None:
    passes.begin()
    effects = passes.run().effects
    _, expected = undisturbed(passes)
    problems = []
    for at, effect in enumerate(effects, start=1):
        for when in get_args(When):
            if effect.name in NEVER_FAIL:
                continue
            passes.begin()
            passes.run(Fault(at, when, "EIO"))
            problems += [
                f"{when} effect {at} ({effect.name}): {what}"
                for what in wrong_after(passes, expected, may_repeat=True)
            ]
    assert not problems, shown(problems)


def test_a_hook_that_fails_for_long_gets_all_of_it_later_with_the_same_ids(passes: InMemoryPasses) -> None:
    _, expected = undisturbed(passes)
    passes.begin()
    passes.hook_works = False
    for _ in range(3):
        passes.run()
    failed = list(passes.delivered)
    passes.hook_works = True
    passes.delivered.clear()
    passes.run()

    assert {one for call in passes.delivered for one in call} == expected
    assert all(set(call) == expected for call in failed)
    assert len(failed) == (3 if expected else 0)
