"""What all tests share: the real OpenSearch servers and fixed seeds."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.support import secured_node as secured
from tests.support.figures import figure, figures
from tests.support.in_memory import folder_in_memory
from tests.support.long import LONG, PACKAGES, QUICK
from tests.support.mounts import may_mount
from tests.support.opensearch_node import OpenSearchNode, start_node
from tests.support.servers import VERSIONS, fetch, servers_of
from tests.support.workers import MEASURES, Plan, Scheduling, is_narrowed, processors

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController


@dataclass
class LeftOut:
    """A test that a worker has left out."""

    nodeid: str


_PLAN = pytest.StashKey[Path]()
_SCHEDULING = pytest.StashKey[Scheduling]()
_DESELECTED = pytest.StashKey[list[str]]()

if os.environ.get("TEST_WITHOUT_WHEELS"):  # as on a platform that has no wheel of them
    sys.modules |= dict.fromkeys(("simdjson", "isal"), None)  # type: ignore[arg-type]  # importing them fails

os.umask(0o022)  # folders that a group may write to are refused

hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(scope="session")
def opensearch_2() -> Iterator[OpenSearchNode]:
    """OpenSearch 2.19.1, the version that Wazuh 4.8 and later ship; started when first asked for."""
    with start_node(VERSIONS["opensearch_2"]) as node:
        yield node


@pytest.fixture
def clean_node(opensearch_2: OpenSearchNode) -> Iterator[OpenSearchNode]:
    """For a test whose indices and templates are its own: no other is there, before and after."""
    opensearch_2.wipe()
    yield opensearch_2
    opensearch_2.wipe()


@pytest.fixture(scope="session")
def opensearch_3() -> Iterator[OpenSearchNode]:
    """OpenSearch 3.3.2; started when first asked for."""
    with start_node(VERSIONS["opensearch_3"]) as node:
        yield node


@pytest.fixture(scope="session")
def secured_node() -> Iterator[secured.SecuredNode]:
    """OpenSearch 2.19.1 with its security plugin, without a user but the administrator; started when first
    asked for."""
    with secured.start_secured_node() as node:
        yield node


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests talk to is on this machine, whatever proxies the machine has."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture(params=["simdjson", "msgspec"])
def lines_read_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test twice: with the library for a snapshot's lines, and as on a platform without its wheel."""
    if request.param == "msgspec":
        monkeypatch.setitem(sys.modules, "simdjson", None)  # importing it fails


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in figures():
        terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    """A shell's background job, as some CIs start one, ignores SIGINT and hands that on to every child. And
    `tmp_path` is in memory if it can be."""
    config.stash[_DESELECTED] = []
    if folder := folder_in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end, so the garbage collector need not look at it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what this run does not include or may not do; the last line says how much that is.

    Raises UsageError if all tests that `-k` and the like have chosen need a server, and TEST_QUICK is set.
    """
    included = {"long": LONG, "mounts": may_mount(), "packages": PACKAGES}
    excluded = [mark for mark, is_included in included.items() if not is_included]
    need_server = [item for item in items if QUICK and servers_of(item)]
    marked = [item for item in items if any(map(item.get_closest_marker, excluded))]
    if need_server and len(need_server) == len(items) and not hasattr(config, "workerinput"):
        raise pytest.UsageError(
            f"TEST_QUICK=1 leaves out tests that need a server, and all {len(items)} chosen tests do: "
            "run them without it (make test instead of make quick)"
        )
    if left_out := {*need_server, *marked}:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def pytest_deselected(items: Sequence[pytest.Item | LeftOut]) -> None:
    for item in items:
        if isinstance(item, pytest.Item):
            item.config.stash[_DESELECTED].append(item.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """The servers are here before the first test: who hands out the tests to workers fetches them."""
    worker: dict[str, Any] | None = getattr(session.config, "workerinput", None)
    if worker and worker["workerid"] == "gw0":
        Plan.of(session.items).save(Path(worker["plan"]))
    if not worker and not session.config.option.collectonly:
        fetch(name for item in session.items for name in servers_of(item))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Of `-n auto`: one more than the processors, since tests also wait for servers and for processes."""
    return 0 if is_narrowed(config) or processors() == 1 else processors() + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    folder = tempfile.TemporaryDirectory(prefix="ctisync-tests-")
    config.add_cleanup(folder.cleanup)
    config.stash[_PLAN] = Path(folder.name) / "plan.json"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    node.workerinput["plan"] = str(node.config.stash[_PLAN])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    if config.option.dist != "load":  # somebody has asked for another one
        return None
    config.stash[_SCHEDULING] = Scheduling(config, log, config.stash[_PLAN])
    return config.stash[_SCHEDULING]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands over what its last lines would have said."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output |= {"figures": figures(), "deselected": session.config.stash[_DESELECTED]}
    elif MEASURES and _SCHEDULING in session.config.stash:
        session.config.stash[_SCHEDULING].save()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    output: dict[str, Any] = getattr(node, "workeroutput", {})
    for line in output.get("figures", ()):
        figure(line)
    config = node.config
    if not config.stash[_DESELECTED]:  # all workers leave out the same
        config.stash[_DESELECTED] = output.get("deselected", [])
        config.hook.pytest_deselected(items=[*map(LeftOut, config.stash[_DESELECTED])])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: nothing may go untested unnoticed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report
