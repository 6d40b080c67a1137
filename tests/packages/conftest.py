"""The packages of two commits of this tree, made once. All tests here are marked `packages`."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs import page
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator
from tests.tooling.test_upgrade import Clone
from tools.packages import ROOT, Build

TOOLS = ROOT / ".venv-packages"
NFPM, PEX = str(TOOLS / "nfpm"), str(TOOLS / "bin" / "pex")
PROGRAMS = ("buildah", "crun", "debootstrap", "lintian", "rpm", "rpmlint", "shellcheck")
"""Debian's packages have the same names."""


PAGE = (ROOT / "docs" / "install.md").read_text()


def lines_of(name: str) -> str:
    """What docs/install.md says to type, in its block of that name."""
    (block,) = [block for block in page.blocks(PAGE, "sh") if block.names == (name,)]
    return block.text


def command_for(host: str) -> str:
    """The command that its table has for a kind of host."""
    (command,) = re.findall(rf"(?m)^\| {host}.*? \| `(.*)` \|$", PAGE)
    return str(command)


class Packages(NamedTuple):
    """Those of one commit for amd64."""

    deb: Path
    rpm: Path
    version: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.packages)
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session", autouse=True)
def _programs() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    assert missing == [], f"apt-get install --no-install-recommends {' '.join(missing)}"


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Build]:
    """By the name of their commit, "older" and "newer"; each folder has the wheel alone."""
    clone = Clone(tmp_path_factory.mktemp("clone") / "clone")
    made = {}
    for word in ("older", "newer"):
        dist = tmp_path_factory.mktemp(word)
        clone.build(word, dist, "--wheel")
        made[word] = Build(dist, ROOT / ".wheels")
    return made


def packages(build: Build) -> Packages:
    build.system_packages(NFPM, "amd64")
    (deb,), (rpm,) = build.dist.glob("*.deb"), build.dist.glob("*.rpm")
    return Packages(deb, rpm, build.version)


@pytest.fixture(scope="session")
def older(builds: dict[str, Build]) -> Packages:
    return packages(builds["older"])


@pytest.fixture(scope="session")
def newer(builds: dict[str, Build]) -> Packages:
    return packages(builds["newer"])


@pytest.fixture(scope="session")
def pyz(builds: dict[str, Build]) -> Path:
    build = builds["newer"]
    build.one_file(PEX, "x86_64")
    (file,) = build.dist.glob("*.pyz")
    return file


@pytest.fixture(scope="module")
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        populate(simulator.history, 20)
        simulator.publish_snapshot()
        yield simulator
