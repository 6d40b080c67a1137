"""What all tests share: the real OpenSearch servers and fixed seeds."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from tests.support import secured_node as secured
from tests.support.figures import told
from tests.support.long import LONG
from tests.support.mounts import may_mount
from tests.support.opensearch_download import OpenSearchUnavailableError, class_path, security_plugin
from tests.support.opensearch_node import OpenSearchNode, start_node
from tests.support.stores import OPENSEARCH, SECURED

OPENSEARCH_FIXTURES = {"opensearch_2": "2.19.1", "opensearch_3": "3.3.2", "secured_node": secured.VERSION}

os.umask(0o022)  # folders that a group may write to are refused

hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("fixed")


@pytest.fixture(scope="session")
def opensearch_2() -> Iterator[OpenSearchNode]:
    """OpenSearch 2.19.1, the version that Wazuh 4.8 and later ship; started when first asked for."""
    with start_node(OPENSEARCH_FIXTURES["opensearch_2"]) as node:
        yield node


@pytest.fixture(scope="session")
def opensearch_3() -> Iterator[OpenSearchNode]:
    """OpenSearch 3.3.2; started when first asked for."""
    with start_node(OPENSEARCH_FIXTURES["opensearch_3"]) as node:
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in told():
        terminalreporter.write_line(line)


def pytest_configure() -> None:
    """A shell's background job, as some CIs start one, ignores SIGINT and hands that on to every child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what this run does not ask for or may not do; how much that is, the last line says."""
    unwanted = [*(() if LONG else ("long",)), *(() if may_mount() else ("mounts",))]
    left_out = [item for item in items if any(map(item.get_closest_marker, unwanted))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetches the servers that the chosen tests need before the first one runs, or ends the run at once."""
    if session.config.option.collectonly:
        return
    asked = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    servers = OPENSEARCH | SECURED
    for item in session.items:  # a store's fixture asks for its server only when the test runs
        chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
        asked.update(servers[kind] for kind in chosen if isinstance(kind, str) and kind in servers)
    try:
        for name in sorted(asked & OPENSEARCH_FIXTURES.keys()):
            class_path(OPENSEARCH_FIXTURES[name])
        if "secured_node" in asked:
            security_plugin(secured.VERSION)
    except OpenSearchUnavailableError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: nothing may go untested unnoticed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report
