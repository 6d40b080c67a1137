"""A real OpenSearch on this machine, within a `with` block; it needs no Docker and no installed Java."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx

from tests.support import opensearch_process as process
from tests.support.opensearch_download import OpenSearchUnavailableError, class_path

# Part of the disk being full is this machine's business, not that of the tests.
CLUSTER_SETTINGS = {"cluster.routing.allocation.disk.threshold_enabled": False}


@dataclass(frozen=True, slots=True)
class OpenSearchNode:
    """A running OpenSearch: its URL and its version."""

    url: str
    version: str
    urls: tuple[str, ...]
    client: httpx.Client

    wiped: ClassVar[str] = "*"
    """The indices that `wipe` removes."""

    def request(self, method: str, path: str, json: object = None) -> Any:
        """Send one request, without the code under test; returns the decoded reply. Raises
        httpx.HTTPStatusError."""
        reply = self.client.request(method, path, json=json)
        try:
            return reply.raise_for_status().json()
        except httpx.HTTPStatusError as error:
            error.add_note(reply.text[:2000])
            raise

    def wipe(self) -> None:
        """Remove all indices, aliases, templates, points in time and settings that tests have made.

        Not a block of the cluster: a test that sets one removes it.
        """
        settings = {"persistent": {"*": None, **CLUSTER_SETTINGS}, "transient": {"*": None}}
        self.request("PUT", "/_cluster/settings", settings)
        self.request("DELETE", "/_search/point_in_time/_all")
        self.request("DELETE", f"/{self.wiped}?expand_wildcards=all")
        self.request("DELETE", "/_index_template/*")
        self.request("DELETE", "/_template/*")


@contextmanager
def start_node(version: str, nodes: int = 1, *, measured: bool = False) -> Iterator[OpenSearchNode]:
    """Start OpenSearch `version`, one of DISTRIBUTIONS; after the block, stop it and remove its data.
    `measured`: see `process.command`.

    Raises OpenSearchUnavailableError if there is no artifact, Java or free port, or it starts too slowly.
    """
    jars = class_path(version)
    with ExitStack() as ends:
        folder = process.new_folder()
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        for number in range(1, nodes + 1):
            file = folder / f"node_{number}" / "config" / "opensearch.yml"
            file.parent.mkdir(parents=True)
            file.write_text(f"path.repo: [{folder / 'snapshots'}]\n")
        cluster = f"ctisync-{uuid.uuid4().hex[:12]}"
        ports = ends.enter_context(process.reserved_ports(nodes))
        command = process.command(version, jars, folder, cluster, ports, measured=measured)
        ends.callback(process.stop, process.launch(command, folder))
        urls = tuple(f"http://127.0.0.1:{port}" for port in ports)
        client = ends.enter_context(httpx.Client(base_url=urls[0], trust_env=False, timeout=60))
        node = OpenSearchNode(urls[0], version, urls, client)
        _await_start(node, cluster, folder)
        node.request("PUT", "/_cluster/settings", {"persistent": CLUSTER_SETTINGS})
        yield node


class RestartableNode:
    """One node of OpenSearch that can be stopped and started again, with the same data and port."""

    def __init__(
        self, version: str, data: Path, client: httpx.Client, port: int, cluster: str, *, measured: bool
    ) -> None:
        self.node = OpenSearchNode(f"http://127.0.0.1:{port}", version, (f"http://127.0.0.1:{port}",), client)
        jars = class_path(version)
        self._command = process.command(version, jars, data, cluster, [port], measured=measured)
        self._cluster = cluster
        self._runs = data.parent
        self._keeper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it again; returns when it answers and has loaded its data."""
        folder = Path(tempfile.mkdtemp(dir=self._runs))
        self._keeper = process.launch(self._command, folder)
        _await_start(self.node, self._cluster, folder)
        self.node.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=60s")

    def stop(self) -> None:
        """Stop it as an administrator does."""
        if self._keeper is not None:
            process.stop(self._keeper)
        self._keeper = None

    def kill(self) -> None:
        """Kill it, like a crash of the machine."""
        self._signal(signal.SIGKILL)
        self.stop()

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It accepts connections and never answers, while the block runs."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._keeper is not None
        children = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children").read_text()
        os.kill(int(children), number)


@contextmanager
def restartable_nodes(
    version: str, count: int = 1, *, measured: bool = False
) -> Iterator[list[RestartableNode]]:
    """Start so many nodes of one cluster, each in its own process. `measured`, and what it raises: as for
    `start_node`.

    They find each other by the default ports, as nodes on one machine do.
    """
    with ExitStack() as ends:
        folder = process.new_folder()
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        cluster = f"ctisync-{uuid.uuid4().hex[:12]}"
        nodes = []
        for port in ends.enter_context(process.reserved_ports(count)):
            data = folder / str(port)
            data.mkdir()
            url = f"http://127.0.0.1:{port}"
            client = ends.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=60))
            node = RestartableNode(version, data, client, port, cluster, measured=measured)
            ends.callback(node.stop)
            node.start()
            nodes.append(node)
        nodes[0].node.request("GET", f"/_cluster/health?wait_for_nodes={count}&timeout=60s")
        nodes[0].node.request("PUT", "/_cluster/settings", {"persistent": CLUSTER_SETTINGS})
        yield nodes


def _await_start(node: OpenSearchNode, cluster: str, folder: Path) -> None:
    process.await_start(lambda: answers(node, cluster), f"OpenSearch {node.version} at {node.url}", folder)


def answers(node: OpenSearchNode, cluster: str) -> bool:
    """Whether all nodes have joined; raises OpenSearchUnavailableError if it is another cluster."""
    try:
        name = node.request("GET", "/")["cluster_name"]
        health = node.request("GET", f"/_cluster/health?wait_for_nodes=ge({len(node.urls)})&timeout=1s")
    except (httpx.HTTPError, ValueError):
        return False
    if name != cluster:
        raise OpenSearchUnavailableError(f"Another OpenSearch, {name}, answers at {node.url}.")
    return not health["timed_out"]
