"""The stage before its first pass, and when it is in step."""

import pytest

from tests.unit.one_pass.stage import Stage


@pytest.fixture
def stage() -> Stage:
    """A feed with three records in a snapshot of offset 3, and an empty store."""
    made = Stage()
    for name in ("CVE-1", "CVE-2", "TID-1"):
        made.server.history.create(name, {"n": 0})
    made.server.offer_snapshot()
    return made


@pytest.fixture
def following(stage: Stage) -> Stage:
    """In step at offset 3, and the command was accepted."""
    stage.run()
    stage.commands.offsets.clear()
    return stage
