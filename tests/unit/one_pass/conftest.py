"""The stage before its first pass, and when it is in step."""

import pytest

from tests.unit.one_pass.stage import Stage, offering


@pytest.fixture
def stage() -> Stage:
    return offering()


@pytest.fixture
def following(stage: Stage) -> Stage:
    """In step at offset 3, and the command was accepted."""
    stage.run()
    stage.commands.offsets.clear()
    return stage
