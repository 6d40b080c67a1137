"""One stored content for all tests here, the passes of a module side by side, and what they add up to."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.hostile.server.passes import Case, Outcome, Passes, assert_harmless, at_once
from tests.hostile.server.tally import Tally
from tests.support.figures import figure

Judge = Callable[[Case, Outcome], None]


@pytest.fixture(scope="session")
def passes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passes]:
    with Passes(tmp_path_factory.mktemp("passes")) as passes:
        yield passes


@pytest.fixture(scope="session")
def tally() -> Iterator[Tally]:
    tally = Tally()
    yield tally
    figure(str(tally))


@pytest.fixture(scope="module")
def outcomes(passes: Passes, request: pytest.FixtureRequest) -> Mapping[str, Outcome]:
    """What came of the module's CASES, by name: of those that are to be judged in this run."""
    cases = request.module.CASES
    return at_once(lambda name: passes.play(name, cases[name]), names_judged(request))


def names_judged(request: pytest.FixtureRequest) -> list[str]:
    """The names of cases that this run of the asking module has a test for."""
    return [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.module is request.module
        and request.fixturename in item.fixturenames
    ]


@pytest.fixture
def judge(passes: Passes, tally: Tally) -> Judge:
    def judge(case: Case, outcome: Outcome) -> None:
        assert_harmless(case, outcome, passes.feed)
        tally.add(outcome.ended.peak)

    return judge
