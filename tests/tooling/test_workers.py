"""Tests on several workers: nothing that they say or start is lost, and no server is shared."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.servers import OWN_SERVER
from tests.support.workers import SECONDS, SERVERS_AT_ONCE, Plan, Scheduling

ROOT = Path(__file__).parents[2]

ONE = """
import pytest
from tests.support.figures import figure

@pytest.fixture(scope="session", autouse=True)
def server():
    yield
    figure("{name} has ended")

def test_good():
    figure("{name} has counted")

@pytest.mark.long
def test_long():
    pass
"""

SKIPPED = """
import pytest

@pytest.mark.skip(reason="no such program")
def test_skipped():
    pass
"""

ENDLESS = """
import time
from pathlib import Path
import pytest

@pytest.fixture(scope="session")
def server():
    Path("{folder}/{name}.begun").touch()
    yield
    Path("{folder}/{name}.ended").touch()

def test_endless(server):
    time.sleep(250)
"""


def started(folder: Path, **environ: str) -> "subprocess.Popen[str]":
    """Two workers on the tests of the folder, which know what all tests share."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = long\n")
    options = ["-p", "tests.conftest", "-n", "2", f"--basetemp={folder / 'base'}", "--import-mode=importlib"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, str(folder)],
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        | {"PYTHONPATH": str(ROOT), **environ},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_what_workers_count_leave_out_and_skip_is_printed_at_the_end(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(ONE.format(name=name))
    (tmp_path / "test_skipped.py").write_text(SKIPPED)
    running = started(tmp_path, CI="true")
    output, _ = running.communicate(timeout=240)
    assert running.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_skipped was skipped, which CI does not allow" in output
    assert {"one has counted", "two has counted", "one has ended", "two has ended"} <= set(
        output.splitlines()
    )
    assert "2 passed, 2 deselected, 1 error" in output


@pytest.mark.parametrize("everyone", [True, False], ids=["in a terminal", "by kill -INT"])
def test_an_interrupt_ends_what_the_tests_of_every_worker_have_started(
    tmp_path: Path, everyone: bool
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"test_{name}.py").write_text(ENDLESS.format(name=name, folder=tmp_path))
    running = started(tmp_path)
    while len(list(tmp_path.glob("*.begun"))) < 2:
        assert running.poll() is None
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT) if everyone else running.send_signal(signal.SIGINT)
    running.communicate(timeout=120)
    assert running.returncode == pytest.ExitCode.INTERRUPTED
    if everyone:
        assert {path.name for path in tmp_path.glob("*.ended")} == {"one.ended", "two.ended"}
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


class Node:
    """A worker that does what it is sent."""

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.done: list[int] = []
        self.shutting_down = False
        self.gateway = SimpleNamespace(id="gw")

    def send_runtest_some(self, indices: list[int]) -> None:
        self.waiting += indices

    def shutdown(self) -> None:
        self.shutting_down = True


Units = dict[str, tuple[float, list[str]]]


def played(path: Path, units: Units, count: int) -> list[list[str]]:
    """What each of `count` workers has done, when each unit is one test that takes so many seconds."""
    path.write_text(json.dumps([{name: name for name in units}, {n: s for n, (_, s) in units.items()}]))
    option = SimpleNamespace(loadscopereorder=False)
    config: Any = SimpleNamespace(getvalue=lambda _: ["popen"] * count, option=option)
    scheduling = Scheduling(config, None, path)
    plan = Plan.load(path)
    plan.seconds = {name: seconds for name, (seconds, _) in units.items()}
    scheduling.take(plan)
    nodes: list[Any] = [Node() for _ in range(count)]
    for node in nodes:
        scheduling.add_node(node)
        scheduling.add_node_collection(node, list(units))
    scheduling.schedule()
    clock = dict.fromkeys(nodes, 0.0)
    names = list(units)
    while busy := [node for node in nodes if node.waiting]:
        node = min(busy, key=clock.__getitem__)
        at = node.waiting.pop(0)
        clock[node] += units[names[at]][0]
        node.done.append(at)
        scheduling.mark_test_complete(node, at, units[names[at]][0])
    return [[names[at] for at in node.done] for node in nodes]


def test_a_server_is_started_by_one_worker_alone_unless_all_others_would_wait_for_it(tmp_path: Path) -> None:
    plain: Units = {f"plain {number}": (10.0, []) for number in range(30)}
    two = {f"two {number}": (10.0, ["opensearch_2"]) for number in range(20)}
    three = {f"three {number}": (10.0, ["opensearch_3"]) for number in range(10)}
    done = played(tmp_path / "plan", plain | two | three, 2)
    kinds = [{name.split()[0] for name in each} for each in done]
    assert sum("two" in each for each in kinds) == sum("three" in each for each in kinds) == 1
    assert abs(len(done[0]) - len(done[1])) <= 2
    assert Counter(name for each in done for name in each) == Counter([*plain, *two, *three])

    alone = played(tmp_path / "plan", two, 2)
    assert abs(len(alone[0]) - len(alone[1])) <= 2


def test_however_many_workers_there_are_the_servers_have_room(tmp_path: Path) -> None:
    servers = ["opensearch_2", "opensearch_3", "secured_node", OWN_SERVER]
    units = {f"{name} {number}": (100.0, [name]) for name in servers for number in range(50)}
    done = played(tmp_path / "plan", units, 16)
    assert sum(len({name.split()[0] for name in each}) for each in done) <= SERVERS_AT_ONCE


@pytest.mark.parametrize("count", [2, 3, 16])
def test_no_test_is_left_when_it_needs_servers_that_no_worker_has_together(
    tmp_path: Path, count: int
) -> None:
    """All workers would be sent home before it, and the run end with an error of its own."""
    servers = ["opensearch_2", "opensearch_3", "secured_node"]
    units: Units = {f"{name} {number}": (20.0, [name]) for name in servers for number in range(9)}
    units |= {"both": (3.0, servers[:2]), "all": (1.0, servers), "plain": (1.0, [])}
    done = played(tmp_path / "plan", units, count)
    assert Counter(name for each in done for name in each) == Counter(units.keys())


def test_what_takes_longest_begins_first(tmp_path: Path) -> None:
    units: Units = {f"{seconds} s": (float(seconds), []) for seconds in (1, 5, 3, 90, 2, 4, 60)}
    done = played(tmp_path / "plan", units, 2)
    assert sorted(each[0] for each in done) == ["60 s", "90 s"]


def test_the_files_with_measured_seconds_are_there() -> None:
    """Else nothing says that one that was renamed begins last."""
    files = {unit.split()[0] for unit in json.loads(SECONDS.read_text())}
    assert [file for file in files if not (ROOT / file).exists()] == []
