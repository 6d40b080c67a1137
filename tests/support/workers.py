"""Parallel tests: which worker runs which tests.

Two workers never share a server, since tests alter its cluster: its tests run on the worker that has started
it. The tests that take longest start first. `SECONDS` has their durations, and only affects the order:
`TEST_SECONDS=1 make test` measures them again.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.servers import OWN_SERVER, fetch, servers_of

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

SECONDS: Final = Path(__file__).parents[1] / "data" / "seconds.json"
MEASURES: Final = os.environ.get("TEST_SECONDS") == "1"

SERVERS_AT_ONCE: Final = 4
"""Each may have a heap of 1 GB."""

START_SECONDS: Final = 10.0
"""The time to start a server; tests that take less together are no reason to start another one."""

LONG_SECONDS: Final = 30.0
"""A file that takes longer is split if it can be."""

_SHARED: Final = ("module", "class", "package")

_ADDS_UP: Final = "tally"
"""A fixture that counts over all files of a folder: these stay together."""


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_narrowed(config: pytest.Config) -> bool:
    """Whether only a few tests were chosen, which workers would delay."""
    option = config.option
    return bool(
        option.keyword
        or option.markexpr
        or getattr(option, "lf", False)
        or any("::" in each or each.endswith(".py") for each in config.args)
    )


class Plan:
    """The unit of each test, and the servers that each unit needs. A unit runs on one worker."""

    def __init__(self, units: Mapping[str, str], servers: Mapping[str, list[str]]) -> None:
        self.units = units
        self.servers = {name: frozenset(each) for name, each in servers.items()}
        seconds = _measured_seconds()
        sizes = Counter(map(_room, units.values()))
        tests = Counter(units.values())
        self.seconds = {
            unit: seconds.get(_room(unit), 0.05 * count) * count / sizes[_room(unit)]
            for unit, count in tests.items()
        }

    @classmethod
    def of(cls, items: Iterable[pytest.Item]) -> Plan:
        """The tests of a file that need the same servers are a unit. A long file is split, unless a fixture
        is shared by its tests."""
        seconds = _measured_seconds()
        units: dict[str, str] = {}
        servers: dict[str, list[str]] = {}
        for item in items:
            path, _, test = item.nodeid.partition("::")
            needed = sorted(servers_of(item))
            if _ADDS_UP in getattr(item, "fixturenames", ()):
                path = path.rpartition("/")[0]
            unit = " ".join([path, *needed])
            if seconds.get(unit, 0.0) > LONG_SECONDS and not _shares(item):
                unit = f"{unit}::{test}"
            units[item.nodeid] = unit
            servers[unit] = needed
        return cls(units, servers)

    def save(self, path: Path) -> None:
        servers = {unit: sorted(each) for unit, each in self.servers.items()}
        path.write_text(json.dumps([self.units, servers]))

    @classmethod
    def load(cls, path: Path) -> Plan:
        return cls(*json.loads(path.read_text()))


def _measured_seconds() -> dict[str, float]:
    seconds: dict[str, float] = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}
    return seconds


def _room(unit: str) -> str:
    """The key in `SECONDS`: a file, and the servers of some of its tests."""
    return unit.partition("::")[0]


def _shares(item: pytest.Item) -> bool:
    """Whether this test shares a fixture of the file with another test."""
    if not isinstance(item, pytest.Function) or _ADDS_UP in item.fixturenames:
        return True
    definitions = item._fixtureinfo.name2fixturedefs.values()
    return any(each.scope in _SHARED and each.baseid for named in definitions for each in named)


class Scheduling(LoadScopeScheduling):
    """Distributes the units of the plan that a worker has saved at `path`."""

    def __init__(self, config: pytest.Config, log: Any, path: Path) -> None:
        super().__init__(config, log)
        self._path = path
        self._plan = Plan({}, {})
        self._started: dict[WorkerController, frozenset[str]] = {}
        self.measured: dict[str, float] = defaultdict(float)

    def schedule(self) -> None:
        if not self._plan.units:
            self.take(Plan.load(self._path))
            fetch(name for servers in self._plan.servers.values() for name in servers)
        super().schedule()

    def take(self, plan: Plan) -> None:
        self._plan = plan

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        nodeid = self.registered_collections[node][item_index]
        self.measured[_room(self._split_scope(nodeid))] += duration
        super().mark_test_complete(node, item_index, duration)

    def save(self) -> None:
        """Write the measured durations for later runs."""
        seconds = {room: round(each) for room, each in sorted(self.measured.items()) if each >= 1}
        SECONDS.write_text(json.dumps(seconds, indent=1) + "\n")

    def remove_node(self, node: WorkerController) -> str | None:
        self._started.pop(node, None)
        crashed: str | None = super().remove_node(node)
        return crashed

    def _split_scope(self, nodeid: str) -> str:
        return self._plan.units[nodeid]

    def _reschedule(self, node: WorkerController) -> None:
        if not node.shutting_down and self._pending_of(self.assigned_work[node]) <= 2:
            self._assign_work_unit(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        unit = self._next(node)
        if unit is None:
            node.shutdown()
            return
        self._started[node] = self._started.get(node, frozenset()) | self._plan.servers[unit]
        self.workqueue.move_to_end(unit, last=False)
        super()._assign_work_unit(node)

    def _next(self, node: WorkerController) -> str | None:
        """The next unit: first one for its own servers, then one for a server that is worth its start, then
        one that needs none; of several, the one that takes longest."""
        left: dict[frozenset[str], float] = defaultdict(float)
        longest: dict[frozenset[str], str] = {}
        for unit in self.workqueue:
            needed, seconds = self._plan.servers[unit], self._plan.seconds[unit]
            left[needed] += seconds
            if needed not in longest or seconds > self._plan.seconds[longest[needed]]:
                longest[needed] = unit
        own = self._started.get(node, frozenset())
        share = sum(left.values()) / len(self.nodes)
        for needed, seconds in sorted(left.items(), key=lambda each: (not each[0] & own, -each[1])):
            if needed and (needed <= own or self._is_worth_it(needed, own, seconds, share)):
                return longest[needed]
        return longest.get(frozenset())

    def _is_worth_it(self, needed: frozenset[str], own: frozenset[str], seconds: float, share: float) -> bool:
        """Whether no worker has all of these servers, or those that have would otherwise finish last."""
        holders = sum(needed <= started for started in self._started.values())
        if not holders:  # else all workers could be sent home before these tests
            return True
        running = sum(map(len, self._started.values()))
        room = SERVERS_AT_ONCE - running >= len(needed - own)
        return room and OWN_SERVER not in needed - own and seconds / holders > share + START_SECONDS
