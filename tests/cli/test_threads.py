"""Threads of a pass: they load no module of ctisync, whose decoders would be built beside others, and where
the system allows none, a pass does without."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.cli.conftest import Ctisync
from tests.support import feed_failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.delay import seconds_to_the_end
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import comparable

WATCHED: Final = """
import json, sys, threading

loads, started = [], []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("ctisync"):
            loads.append((threading.current_thread() is threading.main_thread(), name))

begin = threading.Thread.start

def start(thread):
    target = getattr(thread, "_target", None)  # a subclass may have none
    started.append(f"{type(thread).__name__} {thread.name} {getattr(target, '__qualname__', '')}")
    begin(thread)

threading.Thread.start = start
sys.meta_path.insert(0, Watch())
sys.stderr.isatty = lambda: True  # so that there are bars
from ctisync.cli import main
code = main(sys.argv[2:])
with open(sys.argv[1], "w") as told:
    json.dump({"loads": loads, "started": started}, told)
sys.exit(code)
"""


ALONE: Final = """
import ctypes, os, resource, sys

KEEP_CAPABILITIES, DAC_OVERRIDE = 8, 2  # of prctl(2); of capabilities(7), which lets all files be read

libc = ctypes.CDLL(None)
if os.getuid() == 0:  # whom no limit of processes holds
    libc.prctl(KEEP_CAPABILITIES, 1, 0, 0, 0)
    os.setresuid(54321, 54321, 54321)
    version, kept = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(DAC_OVERRIDE, DAC_OVERRIDE)
    assert libc.capset(version, kept) == 0
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
sys.stderr.isatty = lambda: True
from ctisync.cli import main
sys.exit(main())
"""
"""A `ctisync` whose user may have no further thread or process."""


def loaded_by_threads(ctisync: Ctisync, *threads: str) -> list[str]:
    """What a `sync` loads in another thread than the main one; all of these threads are to be at work."""
    file = ctisync.home / "told.json"
    subprocess.run(
        [sys.executable, "-c", WATCHED, file, "sync"],
        env=ctisync.environ | {"TERM": "xterm"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    watched = json.loads(file.read_text())
    assert [True, "ctisync.sync.run_pass"] in watched["loads"]
    assert [each for each in threads if not any(each in name for name in watched["started"])] == []
    return [name for is_main, name in watched["loads"] if not is_main]


@pytest.fixture(params=["sqlite", "opensearch"])
def sender(request: pytest.FixtureRequest, ctisync: Ctisync) -> Iterator[str]:
    """The name of the thread that does a part of the store's work, on either store."""
    if request.param == "sqlite":
        yield "packing"
        return
    node: OpenSearchNode = request.getfixturevalue("opensearch_2")
    node.wipe()
    ctisync.environ |= {"CTISYNC_STORE__URL": node.url, "CTISYNC_COMMAND_MANAGER__ENABLED": "false"}
    yield "sender"
    node.wipe()


def test_no_thread_of_a_pass_loads_a_module_and_with_it_builds_decoders_beside_others(
    ctisync: Ctisync, feed: FeedSimulator, sender: str
) -> None:
    first = loaded_by_threads(ctisync, "signals", sender)
    churn(feed.history, 2500)
    update = loaded_by_threads(ctisync, "signals", "asking-ahead")

    assert (first, update) == ([], [])


def alone(ctisync: Ctisync, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", ALONE, *arguments],
        env=ctisync.environ | {"TERM": "xterm"} | environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.usefixtures("sender")
def test_where_no_thread_can_be_had_a_pass_does_all_of_its_work_all_the_same(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    with CommandManagerStandIn() as manager:
        ctisync.environ |= {
            "CTISYNC_COMMAND_MANAGER__ENABLED": "true",
            "CTISYNC_COMMAND_MANAGER__URL": manager.url,
        }
        first = alone(ctisync, "sync")
        churn(feed.history, 2500)
        update = alone(ctisync, "sync")

    assert (first.returncode, update.returncode) == (0, 0), first.stderr + update.stderr
    assert manager.commands[-1].offset == str(feed.history.last_offset)
    exported = ctisync.run("export").stdout.encode().splitlines()
    assert [*map(comparable, exported)] == [*map(comparable, feed.expected_lines())]


@pytest.mark.usefixtures("feed")
def test_where_no_process_can_be_had_a_hook_has_failed_and_the_pass_has_not(ctisync: Ctisync) -> None:
    ended = alone(ctisync, "sync", CTISYNC_HOOKS__ON_UPDATE='["true"]')

    assert ended.returncode == 11
    assert "true cannot be started: Resource temporarily unavailable" in ended.stderr


def test_where_no_thread_can_be_had_the_demo_says_why_it_does_nothing(ctisync: Ctisync) -> None:
    ended = alone(ctisync, "demo")

    assert ended.returncode == 2
    assert "the demo needs a thread for its feed, but the system allows no more" in ended.stderr


def test_where_no_thread_can_be_had_a_signal_ends_a_pass_as_ever(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    feed.fail("info", feed_failures.stall(3600))
    waiting = subprocess.Popen(
        [sys.executable, "-c", ALONE, "sync"], env=ctisync.environ, stderr=subprocess.PIPE, text=True
    )
    while not feed.requests_for("info"):
        assert waiting.poll() is None

    waiting.terminate()
    assert seconds_to_the_end(waiting, time.monotonic()) < 10
    _, printed = waiting.communicate()

    assert (waiting.returncode, "stopped by signal 15" in printed) == (143, True)
