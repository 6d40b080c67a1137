"""What the tests of downloads look at, and what they do while one is under way."""

from pathlib import Path

from tests.support.feed_simulator import FeedSimulator, File

ALWAYS = None


def nothing() -> None:
    """There is no lease to keep."""


def served(sim: FeedSimulator) -> File:
    """The only file that the server has."""
    (file,) = sim.files.values()
    return file


def spooled(tmp_path: Path) -> list[str]:
    """The endings of what lies in the spool."""
    return sorted(path.suffix for path in (tmp_path / "spool").iterdir())
