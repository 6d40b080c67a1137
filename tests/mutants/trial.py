"""One mutant before the tests: in a forked process that has imported nothing of ours yet.

So the module is altered from its first import on, constants and defaults too, and no mutant can leave
anything behind. What of other people's the tests import is imported before the fork, to save the time.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, Final, Literal, NamedTuple

import pytest

from tests.support.opensearch_node import OpenSearchNode

Outcome = Literal["killed", "timed out", "survived"]

_OPTIONS: Final = (
    "-x", "-q", "--tb=no", "--timeout=20", "-p", "no:cacheprovider", "-p", "no:cov",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip
_IMPORTED_BEFORE: Final = (
    "hypothesis.stateful", "hypothesis.strategies", "httpx", "ijson", "msgspec",
    "opensearchpy", "rich.progress", "trustme", "typer",
)  # fmt: skip
_MEMORY: Final = 2 << 30
_SERVERS: Final = frozenset({"opensearch_2", "opensearch_3"})


class TrialResult(NamedTuple):
    """`by`: the test that noticed."""

    outcome: Outcome
    by: str


class Planted(SourceFileLoader):
    """Imports one module from other code than what stands in its file."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        super().__init__(name, str(path))
        self._code = code

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return (
            importlib.util.spec_from_file_location(name, self.path, loader=self)
            if name == self.name
            else None
        )

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Watcher:
    """Leaves out the tests on slow stores, lends the running server, and remembers what failed first."""

    def __init__(self, node: OpenSearchNode | None) -> None:
        self._node = node
        self.failed = ""
        self.timed_out = False

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not self._is_slow(item)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: pytest.FixtureRequest) -> OpenSearchNode | None:
        if self._node is None or fixturedef.argname != "opensearch_2":
            return None
        fixturedef.cached_result = (self._node, fixturedef.cache_key(request), None)
        return self._node

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._saw(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._saw(report)

    def _saw(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid
            self.timed_out = "from pytest-timeout" in report.longreprtext

    def _is_slow(self, item: pytest.Item) -> bool:
        lent = {"opensearch_2"} if self._node else set()
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return bool(_SERVERS.intersection(getattr(item, "fixturenames", ())) - lent) or any(
            isinstance(kind, str) and kind.startswith(("sqlite", "opensearch")) for kind in params
        )


def prepare() -> None:
    for name in _IMPORTED_BEFORE:
        importlib.import_module(name)


class Trial:
    """The tests of one stage after the other, until one fails. Without `planted`: on the code as it is.

    It begins at once. It is over when it can be read, or at its `deadline` (of `time.monotonic`).
    """

    def __init__(
        self,
        planted: Planted | None,
        stages: Sequence[Sequence[str]],
        scratch: Path,
        node: OpenSearchNode | None,
        most_seconds: float,
    ) -> None:
        self.deadline = time.monotonic() + most_seconds
        self._scratch = scratch
        reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.setpgid(0, 0)
            os.close(reading)
            _in_child(planted, stages, scratch, node, writing)
        os.close(writing)
        with contextlib.suppress(OSError):  # whoever of the two is first
            os.setpgid(self._pid, self._pid)
        self._pipe = os.fdopen(reading, "rb")

    def fileno(self) -> int:
        return self._pipe.fileno()

    def end(self) -> TrialResult:
        with self._pipe:
            is_over = bool(select.select([self._pipe], [], [], 0)[0])
            text = self._pipe.readline() if is_over else b""
        os.killpg(self._pid, signal.SIGKILL)  # with all that its tests have started
        os.waitpid(self._pid, 0)
        shutil.rmtree(self._scratch, ignore_errors=True)
        if not is_over:
            return TrialResult("timed out", "")
        by, timed_out, code = json.loads(text) if text else ("no test: the process died", False, 1)
        if code == pytest.ExitCode.OK:
            return TrialResult("survived", "")
        by = by or f"no test: pytest ended with {code}"
        return TrialResult("timed out" if timed_out else "killed", by)


def ended(trials: Sequence[Trial]) -> list[Trial]:
    """Those that are over; waits for the first of them."""
    while True:
        now = time.monotonic()
        readable = select.select(trials, [], [], max(0.0, min(each.deadline for each in trials) - now))[0]
        over = [each for each in trials if each in readable or each.deadline <= now]
        if over:
            return over


def _in_child(
    planted: Planted | None,
    stages: Sequence[Sequence[str]],
    scratch: Path,
    node: OpenSearchNode | None,
    writing: int,
) -> None:
    answer: tuple[str, bool, int] = ("no test: the process was torn down", False, 1)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        silent = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silent, descriptor)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("ctisync", "tests")]:
            del sys.modules[name]
        if planted is not None:
            sys.meta_path.insert(0, planted)
        scratch.mkdir(parents=True)
        answer = _tests(stages, scratch, _Watcher(node))
    finally:
        os.write(writing, json.dumps(answer).encode() + b"\n")
        os._exit(0)


def _tests(stages: Sequence[Sequence[str]], scratch: Path, watcher: _Watcher) -> tuple[str, bool, int]:
    for number, stage in enumerate(stages):
        code = int(pytest.main([*_OPTIONS, f"--basetemp={scratch / str(number)}", *stage], plugins=[watcher]))
        if code:
            return watcher.failed, watcher.timed_out, code
    return "", False, 0
