"""The example units: systemd takes them, they let a pass do little, and a pass needs no more than that."""

import ctypes.util
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ctisync.core.limits import Limits
from tests.docs.shell import ROOT
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode
from tests.support.unit_filter import ANALYZE, values

FOLDER = ROOT / "examples" / "systemd-timer"
SERVICE = FOLDER / "ctisync.service"
TEMPLATE = FOLDER / "ctisync@.service"
INSTALLED = "/usr/local/bin/ctisync"
EXPOSURE = 1.5

needs_systemd = pytest.mark.skipif(
    not ANALYZE, reason="systemd-analyze is not here: NOTHING CHECKS THE UNITS"
)
needs_seccomp = pytest.mark.skipif(
    ctypes.util.find_library("seccomp") is None,
    reason="libseccomp is not here: NOTHING TRIES THE UNIT'S FILTERS",
)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units and an instance of each template, on a host where ctisync is something that is there."""
    folder = tmp_path / "units"
    folder.mkdir()
    for path in FOLDER.iterdir():
        text = path.read_text().replace(INSTALLED, "/bin/true")
        for name in (path.name, path.name.replace("@.", "@north.")):
            (folder / name).write_text(text)
    return folder


def analysed(folder: Path, *arguments: str) -> str:
    done = subprocess.run([ANALYZE, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(units: Path) -> None:
    assert analysed(units, "verify", "--man=no", *(f"./{path.name}" for path in units.iterdir())) == ""


@needs_systemd
@pytest.mark.parametrize("unit", ["ctisync.service", "ctisync@north.service"])
def test_a_pass_may_do_little_on_its_host(units: Path, unit: str) -> None:
    analysis = analysed(units, "security", "--offline=yes", f"--threshold={EXPOSURE * 10:.0f}", f"./{unit}")
    (exposure,) = re.findall(rf"exposure level for {unit}: ([\d.]+)", analysis)
    assert float(exposure) <= EXPOSURE


def test_the_template_is_the_service_but_for_what_is_its_instances_own() -> None:
    def settings(path: Path) -> list[str]:
        return [line for line in path.read_text().splitlines() if re.match(r"[A-Z\[]", line)]

    own = {" (%i)": "", " --config /etc/ctisync/%i.toml": "", "ctisync-%i": "ctisync"}
    text = "\n".join(settings(TEMPLATE))
    for its, common in own.items():
        assert its in text
        text = text.replace(its, common)
    assert text.splitlines() == settings(SERVICE)


@pytest.mark.parametrize("unit", [SERVICE, TEMPLATE])
def test_a_pass_is_ended_by_its_own_limit_before_systemd_ends_it(unit: Path) -> None:
    (text,) = values(unit.read_text(), "TimeoutStartSec")
    assert int(text.removesuffix("h")) * 3600 > Limits().pass_seconds


def passes(unit: Path, environ: Mapping[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """The unit's command, under its filters."""
    (start,) = values(unit.read_text(), "ExecStart")
    arguments = start.replace("%i", "north").removeprefix(f"{INSTALLED} ").split()
    if "--config" in arguments:
        (folder / "north.toml").write_text("[cti]\nretry_budget = 1\n")
        arguments[arguments.index("--config") + 1] = str(folder / "north.toml")
    return confined(unit, environ, folder, "-m", "ctisync", *arguments)


def confined(
    unit: Path, environ: Mapping[str, str], folder: Path, *python: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.support.unit_filter", str(unit), sys.executable, *python],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": "/",
            "STATE_DIRECTORY": str(folder),
            "PYTHONPATH": str(ROOT),
            **environ,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@needs_systemd
@needs_seccomp
@pytest.mark.parametrize("unit", [SERVICE, TEMPLATE], ids=lambda unit: unit.name)
def test_the_units_command_needs_no_system_call_that_the_unit_refuses(
    feed: FeedSimulator, tmp_path: Path, unit: Path
) -> None:
    for _ in range(2):
        ended = passes(unit, {"CTISYNC_CTI__URL": feed.url}, tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert all(re.match(r"<[0-7]>", line) for line in ended.stderr.splitlines())
        churn(feed.history, 30, seed=1)

    assert (tmp_path / "ctisync.db").exists()
    assert confined(unit, {}, tmp_path, "-m", "ctisync", "verify", "--deep").returncode == 0


@needs_systemd
@needs_seccomp
def test_nor_does_it_with_an_opensearch(
    feed: FeedSimulator, tmp_path: Path, opensearch_2: OpenSearchNode
) -> None:
    opensearch_2.wipe()
    environ = {
        "CTISYNC_CTI__URL": feed.url,
        "CTISYNC_STORE__URL": opensearch_2.url,
        "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
    }
    ended = passes(SERVICE, environ, tmp_path)
    assert ended.returncode == 0, ended.stderr


@needs_systemd
@needs_seccomp
@pytest.mark.parametrize(
    "refused",
    [
        "os.chown('.', 0, 0)",
        "os.nice(1)",
        "os.chroot('.')",
        "socket.socket(16)",
        "mmap.mmap(-1, 4096, prot=7)",
    ],
)
def test_the_filters_of_the_tests_above_do_refuse(tmp_path: Path, refused: str) -> None:
    ended = confined(SERVICE, {}, tmp_path, "-c", f"import mmap, os, socket; {refused}")
    assert ended.returncode == 1
    assert re.search(r"not permitted|not supported", ended.stderr)
