"""One content in use for all tests of a module."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.hostile.confined import Confined
from tests.hostile.in_use import InUse, content_in_use
from tests.support.figures import figure


@pytest.fixture(scope="module")
def _in_use(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InUse]:
    with content_in_use(tmp_path_factory.mktemp("in-use")) as in_use:
        yield in_use


@pytest.fixture
def in_use(_in_use: InUse) -> InUse:
    """As it was before the first hostile snapshot."""
    _in_use.begin()
    return _in_use


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Confined]:
    """A content in use, and little memory for the passes on it."""
    confined = Confined(tmp_path_factory.mktemp("confined"))
    yield confined
    figure(
        f"T7 memory: {len(confined.peaks)} processes in 1 GiB of addresses, "
        f"peak {max(confined.peaks):.0f} MiB"
    )


@pytest.fixture(scope="module")
def counts(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """How many rows of a module came out right, "refused" and "loaded"; its `WHAT` says what they are."""
    counted = Counter[str]()
    yield counted
    figure(
        f"T7 {request.module.WHAT}: {counted['refused']} refused, 0 contents touched; "
        f"{counted['loaded']} loaded by both doors, 0 wrongly"
    )
