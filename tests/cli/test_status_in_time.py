"""`status` ends in time, whatever the store or the feed does: else monitoring waits for ever."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode
from tests.support.tcp_proxy import TcpProxy, port_of

TIMEOUT = 3
"""Seconds; the start of a process is in it."""


@contextmanager
def dripping() -> Iterator[str]:
    """A server that sends a byte of its answer now and then, and never all of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as opened:

        def drip() -> None:
            while True:
                try:
                    one = opened.enter_context(listener.accept()[0])
                    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                    while True:
                        one.sendall(b" ")
                        time.sleep(0.1)
                except OSError:
                    if listener.fileno() < 0:
                        return

        Thread(target=drip, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def silent() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def checked(ctisync: Ctisync, *options: str) -> "subprocess.CompletedProcess[str]":
    """The answer of `status --check`, which came in time."""
    began = time.monotonic()
    answer = ctisync.run("status", "--check", "--timeout", str(TIMEOUT), *options)
    assert time.monotonic() - began < TIMEOUT + 1, answer
    return answer


@pytest.mark.parametrize("server", [silent, dripping])
def test_a_store_that_never_answers_is_unknown_in_time(ctisync: Ctisync, server: type) -> None:
    with server() as url:
        ctisync.environ["CTISYNC_STORE__URL"] = url
        answer = checked(ctisync)
        assert (answer.returncode, answer.stderr) == (3, "")
        assert answer.stdout.startswith("CTISYNC UNKNOWN - ")
        assert url in answer.stdout

        plain = ctisync.run("status", "--timeout", str(TIMEOUT))
        assert plain.returncode == 7, plain
        assert url in plain.stderr


@pytest.mark.parametrize("server", [silent, dripping])
@pytest.mark.usefixtures("feed")
def test_a_feed_that_never_answers_is_unknown_in_time(ctisync: Ctisync, server: type) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    with server() as url:
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
    with silent() as url:
        ctisync.environ["CTISYNC_STORE__URL"] = url
        waiting = subprocess.Popen(
            ctisync.command("status", "--timeout", "60"), env=ctisync.environ, stderr=subprocess.PIPE
        )
        port = int(url.rpartition(":")[2])
        while not any(f":{port:04X} 01" in line for line in _connections()):
            time.sleep(0.02)
        os.kill(waiting.pid, signal.SIGTERM)
        _, printed = waiting.communicate(timeout=5)
    assert (waiting.returncode, printed) == (143, b"ctisync: stopped by signal 15\n")


def _connections() -> list[str]:
    return Path("/proc/net/tcp").read_text("ascii").splitlines()


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "86401", "soon"])
def test_a_time_that_is_none_is_a_usage_error(ctisync: Ctisync, seconds: str) -> None:
    answer = ctisync.run("status", "--check", "--timeout", seconds)
    assert (answer.returncode, answer.stdout) == (2, ""), answer
    assert "'--timeout'" in answer.stderr
