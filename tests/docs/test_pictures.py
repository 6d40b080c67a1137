"""The pictures show what the program does today, and the state machine's arrows are where passes go."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import suppress

import pytest
from msgspec.structs import replace

from ctisync.core.model import ConsumerInfo
from ctisync.core.state import ConsumerState, Owed
from ctisync.core.steps import AskFeed, End, SendCommand, Situation, SoFar, Step, next_step
from ctisync.errors import CtisyncError
from ctisync.sync import run_pass
from tests.docs.shell import ROOT
from tests.support.memory_store import Kept
from tests.unit.one_pass.stage import CONSUMER, Stage
from tools.pictures import machine, walk
from tools.pictures.making import FOLDER, made

DRAWN = sorted(path.name for path in FOLDER.glob("*.svg") if path.name != "performance.svg")


@pytest.fixture(scope="module")
def anew() -> dict[str, str]:
    return made()


@pytest.fixture(scope="module")
def walked() -> walk.Machine:
    return walk.walked()


def test_the_pictures_are_what_the_program_does_today(anew: dict[str, str]) -> None:
    assert sorted(anew) == DRAWN
    stale = [name for name, svg in anew.items() if svg != (FOLDER / name).read_text()]
    assert stale == [], "make pictures"


def test_each_picture_is_shown() -> None:
    texts = [path.read_text() for path in (ROOT / "README.md", *FOLDER.glob("*.md"))]
    shown = {name for text in texts for name in re.findall(r"!\[[^\]]+\]\((?:docs/)?([\w-]+\.svg)\)", text)}
    assert set(DRAWN) <= shown


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_needs_nothing_beside_it_and_runs_nothing(name: str) -> None:
    svg = (FOLDER / name).read_text()
    elements = list(ET.fromstring(svg).iter())  # noqa: S314  # our own file
    assert {element.tag.rpartition("}")[2] for element in elements} <= {
        *("svg", "title", "defs", "style", "g", "path", "text", "clipPath", "rect", "circle"),
    }
    assert [each for each in re.findall(r"url\((.*?)\)", svg) if not each.startswith("#")] == []
    assert re.search(r"<!DOCTYPE|<!ENTITY|@import|@font-face| on\w+=|href=", svg) is None


def test_a_step_that_has_no_place_in_the_picture_is_an_error(
    walked: walk.Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ORDER", machine.ORDER[:-1])
    with pytest.raises(machine.CannotDraw, match=r"no place, or no step: \['ApplyRange'\]"):
        machine.drawn(walked)


def test_an_end_that_no_pass_comes_to_is_an_error(walked: walk.Machine) -> None:
    ends = {step: outcomes - {"too-far"} for step, outcomes in walked.ends.items()}
    with pytest.raises(machine.CannotDraw, match=r"no pass ends so: \['too-far'\]"):
        machine.drawn(walked._replace(ends=ends))


def test_the_picture_follows_the_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the feed asked before a command that is owed is sent, it would show that."""
    before = machine.drawn(walk.walked())

    def feed_first(at: Situation) -> Step:
        step = next_step(at)
        return AskFeed() if isinstance(step, SendCommand) and at.info is None else step

    monkeypatch.setattr(walk, "next_step", feed_first)
    walked = walk.walked()
    assert (walk.START, "SendCommand") not in walked.follows
    assert machine.drawn(walked) != before


def test_the_picture_has_an_arrow_and_a_pill_for_each_way_there_is(walked: walk.Machine) -> None:
    svg = machine.drawn(walked)
    assert len(re.findall(r'class="(?:up-)?head"', svg)) == len(walked.follows)
    assert len(re.findall(r'class="end"', svg)) == sum(map(len, walked.ends.values()))


# Passes as they are: a story each, on a stage that is in step at offset 3.


def _first(stage: Stage) -> None:
    """Before the first pass, some changes after the snapshot."""
    stage.storage.put(CONSUMER, Kept())
    stage.server.history.create("CVE-9")


def _nothing_new(stage: Stage) -> None:
    pass


def _far_behind(stage: Stage) -> None:
    for number in range(2500):
        stage.server.history.create(f"CVE-{number + 100}")


def _owed(stage: Stage) -> None:
    stage.put(owed=Owed(3))
    stage.server.history.create("CVE-9")


def _owed_and_refused(stage: Stage) -> None:
    _owed(stage)
    stage.commands.refusals = 2


def _poison(stage: Stage) -> None:
    stage.server.history.poison("CVE-1")
    stage.server.history.create("CVE-9")
    stage.server.offer_snapshot()


def _poison_again(stage: Stage) -> None:
    stage.server.history.create("CVE-8")
    stage.server.history.poison("CVE-1")
    stage.put(reinitialised_at=stage.clock.now())


def _poison_and_no_snapshot(stage: Stage) -> None:
    stage.server.history.poison("CVE-1")
    stage.server.link = None


def _died_while_loading(stage: Stage) -> None:
    stage.put(loading=True, owed=Owed(3))


def _died_in_a_range(stage: Stage) -> None:
    for name in ("CVE-7", "CVE-8"):
        stage.server.history.create(name)
    stage.put(range_to=4)


def _feed_went_back(stage: Stage) -> None:
    stage.put(offset=9)


@pytest.mark.parametrize(
    "story",
    [
        *(_first, _nothing_new, _far_behind, _owed, _owed_and_refused, _poison, _poison_again),
        *(_poison_and_no_snapshot, _died_while_loading, _died_in_a_range, _feed_went_back),
    ],
    ids=lambda story: story.__name__.lstrip("_"),
)
@pytest.mark.parametrize("mode", ["sync", "update", "init-snapshot"])
def test_no_pass_goes_a_way_that_is_not_in_the_picture(
    story: Callable[[Stage], None],
    mode: str,
    walked: walk.Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = in_step()
    story(stage)
    went = went_by(stage, mode, monkeypatch)
    assert went
    for before, step in zip([None, *went], went, strict=False):
        source = walk.START if before is None else type(before).__name__
        if isinstance(step, End):
            assert step.outcome in walked.ends[source]
        else:
            assert (source, type(step).__name__) in walked.follows


def in_step() -> Stage:
    stage = Stage()
    for name in ("CVE-1", "CVE-2", "TID-1"):
        stage.server.history.create(name, {"n": 0})
    stage.server.offer_snapshot()
    stage.run()
    return stage


def went_by(stage: Stage, mode: str, monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """The steps of a pass. One that is decided anew once the lease is taken counts once."""
    questions: list[tuple[ConsumerState, ConsumerInfo | None, SoFar]] = []
    went: list[Step] = []

    def noting(at: Situation) -> Step:
        step = next_step(at)
        question = (replace(at.state, checked_at=None), at.info, at.so_far)
        if not questions or questions[-1] != question:
            questions.append(question)
            went.append(step)
        return step

    monkeypatch.setattr(run_pass, "next_step", noting)
    with suppress(CtisyncError):
        stage.run(mode=mode)
    return went
