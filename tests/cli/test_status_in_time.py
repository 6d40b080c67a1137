"""`status` ends in time, whatever the store or the feed does: else monitoring waits for ever."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import ExitStack, closing
from typing import Final

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode
from tests.support.raw_server import FixedScript, RawServer, silence, then_for_ever
from tests.support.tcp_proxy import TcpProxy, port_of

TIMEOUT = 3
"""Seconds; the start of a process is in it."""


DRIPPING: Final = then_for_ever(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" ", 0.1)
"""A server that sends a byte of its answer now and then, and never all of it."""


def checked(ctisync: Ctisync, *options: str) -> "subprocess.CompletedProcess[str]":
    """The answer of `status --check`, which came in time."""
    began = time.monotonic()
    answer = ctisync.run("status", "--check", "--timeout", str(TIMEOUT), *options)
    assert time.monotonic() - began < TIMEOUT + 1, answer
    return answer


@pytest.mark.parametrize("script", [silence, DRIPPING], ids=["silent", "dripping"])
def test_a_store_that_never_answers_is_unknown_in_time(ctisync: Ctisync, script: FixedScript) -> None:
    with RawServer(script) as server:
        url = ctisync.environ["CTISYNC_STORE__URL"] = server.origin
        answer = checked(ctisync)
        assert (answer.returncode, answer.stderr) == (3, "")
        assert answer.stdout.startswith("CTISYNC UNKNOWN - ")
        assert url in answer.stdout

        plain = ctisync.run("status", "--timeout", str(TIMEOUT))
        assert plain.returncode == 7, plain
        assert url in plain.stderr


@pytest.mark.parametrize("script", [silence, DRIPPING], ids=["silent", "dripping"])
@pytest.mark.usefixtures("feed")
def test_a_feed_that_never_answers_is_unknown_in_time(ctisync: Ctisync, script: FixedScript) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    with RawServer(script) as server:
        url = server.origin
        ctisync.environ |= {"CTISYNC_CTI__URL": url, "CTISYNC_CTI__RETRY_BUDGET": "300"}
        answer = checked(ctisync, "--remote")
        assert (answer.returncode, url in answer.stdout) == (3, True), answer


@pytest.mark.usefixtures("feed")
def test_a_locked_file_is_unknown_in_time_for_each_of_several_consumers(ctisync: Ctisync) -> None:
    ctisync.environ["CTISYNC_CONSUMERS"] = json.dumps([{}, {"consumer": "other", "index": "other"}])
    ctisync.run("sync", "-q")
    with closing(sqlite3.connect(ctisync.database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        answer = checked(ctisync)
    assert (answer.returncode, "is locked by another program" in answer.stdout) == (3, True), answer


def test_one_of_three_nodes_that_hangs_hides_nothing(
    ctisync: Ctisync, feed: FeedSimulator, opensearch_2: OpenSearchNode
) -> None:
    opensearch_2.wipe()
    with ExitStack() as parts:
        ways = [parts.enter_context(TcpProxy(port_of(opensearch_2.url))) for _ in range(3)]
        ctisync.environ |= {
            "CTISYNC_STORE__URL": "http://" + ",".join(f"127.0.0.1:{way.port}" for way in ways),
            "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
        }
        assert ctisync.run("sync", "-q").returncode == 0
        ways[0].hang()
        began = time.monotonic()
        answer = ctisync.run("status", "--check")
        assert (answer.returncode, time.monotonic() - began < 10) == (0, True), answer
        for way in ways:
            way.hang()
        answer = checked(ctisync)
        assert (answer.returncode, ways[0].url in answer.stdout) == (3, True), answer
    opensearch_2.wipe()


def test_a_signal_ends_a_status_that_waits(ctisync: Ctisync) -> None:
    with RawServer(silence) as silent:
        ctisync.environ["CTISYNC_STORE__URL"] = silent.origin
        waiting = subprocess.Popen(
            ctisync.command("status", "--timeout", "60"), env=ctisync.environ, stderr=subprocess.PIPE
        )
        while not silent.connections:
            time.sleep(0.02)
        os.kill(waiting.pid, signal.SIGTERM)
        _, printed = waiting.communicate(timeout=5)
    assert (waiting.returncode, printed) == (143, b"ctisync: stopped by signal 15\n")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "86401", "soon"])
def test_a_time_that_is_none_is_a_usage_error(ctisync: Ctisync, seconds: str) -> None:
    answer = ctisync.run("status", "--check", "--timeout", seconds)
    assert (answer.returncode, answer.stdout) == (2, ""), answer
    assert "'--timeout'" in answer.stderr
