"""The fault seams themselves: what is not counted cannot be killed, so what matters must be seen."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.crash.passes import REPOSITORY, SqlitePasses, sqlite_passes
from tests.crash.stories import STORIES, Story

INITIALISE, UPDATE, *_ = STORIES

_BOTH: Final = {
    "files: flock lock",
    "feed: GET info",
    "database: BEGIN IMMEDIATE",
    "database: UPDATE consumers",
    "database: INSERT records",
    "database: COMMIT",
    "commands: POST command",
}
_ITS_OWN: Final = {
    "initialise": {
        "feed: GET snapshot body",
        "files: write part",
        "files: fsync part",
        "files: replace new note",
        "files: fsync folder",
        "files: unlink part",
        "database: INSERT generations",
    },
    "update": {"feed: GET changes", "database: DELETE records"},
}


@pytest.fixture(params=[INITIALISE, UPDATE], ids=lambda story: story.name)
def passes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlitePasses]:
    story: Story = request.param
    with sqlite_passes(story, tmp_path) as begun:
        begun.begin()
        yield begun


def test_every_effect_that_a_pass_cannot_do_without_is_counted(passes: SqlitePasses) -> None:
    effects = {f"{effect.place}: {effect.name}" for effect in passes.run().effects}
    assert (_BOTH | _ITS_OWN[passes.story.name]) - effects == set()


def test_two_runs_of_the_same_start_have_the_same_effects_in_the_same_order(passes: SqlitePasses) -> None:
    first = passes.run().effects
    passes.begin()
    assert passes.run().effects == first


def test_started_by_hand_it_counts_and_dies_by_sigkill_at_the_effect_of_that_number(
    passes: SqlitePasses,
) -> None:
    environ = os.environ | passes.environ | {"PYTHONPATH": str(REPOSITORY)}
    counted = passes.folder.parent / "counted"

    def doomed(*options: str) -> int:
        command = [sys.executable, "-m", "tests.support.doomed", *options, "--", "sync", "--quiet"]
        return subprocess.run(command, cwd=passes.folder, env=environ, check=False).returncode

    assert doomed("--at", "5", "--when", "after", "--how", "kill") == -signal.SIGKILL
    assert passes.commands() == []
    assert doomed("--count-file", str(counted)) == 0
    assert passes.commands() == [passes.last_offset]
    assert "database: COMMIT" in counted.read_text().splitlines()
