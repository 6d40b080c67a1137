"""Several processes on one SQLite file: one at a time by the host's lock, and no harm without it.

`SCHEDULES=1000` runs so many schedules without the lock instead of a few.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ctisync.core.model import Consumer
from ctisync.errors import AnotherPass
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.figures import figure
from tests.two_writers.processes import DONE, Pass, Place, run_here
from tests.two_writers.schedules import assert_made_good, chain

SCHEDULES = int(os.environ.get("SCHEDULES", "40"))


def sync(folder: Path, feed: FeedSimulator) -> subprocess.Popen[str]:
    environ = {
        **os.environ,
        "HOME": str(folder),
        "CTISYNC_CTI__URL": feed.url,
        "CTISYNC_STORE__URL": f"sqlite:///{folder}/ctisync.db",
        "CTISYNC_STATE_DIR": str(folder),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ctisync", "sync"], env=environ, stderr=subprocess.PIPE, text=True
    )


def test_while_one_pass_runs_seven_others_end_at_once_with_4_and_say_who_it_is(tmp_path: Path) -> None:
    with FeedSimulator() as feed:
        populate(feed.history, 20)
        feed.publish_snapshot()
        churn(feed.history, 30)
        feed.fail("info", failures.stall(600))
        first = sync(tmp_path, feed)
        while not feed.requests_for("info"):
            assert first.poll() is None
        others = [sync(tmp_path, feed) for _ in range(7)]
        for other in others:
            _, stderr = other.communicate(timeout=120)
            assert other.returncode == AnotherPass.exit_code
            assert f"process {first.pid}" in stderr
        assert first.poll() is None, "nobody waited for it"
        assert len(feed.requests_for("info")) == 1
        first.kill()
        first.communicate()
        last = sync(tmp_path, feed)
        last.communicate(timeout=120)
        assert last.returncode == 0


def test_without_the_lock_whoever_was_stopped_and_overtaken_writes_nothing_more(tmp_path: Path) -> None:
    processes = 0
    for seed in range(SCHEDULES):
        folder = tmp_path / str(seed)
        folder.mkdir()
        processes += chain(Place(str(folder / "ctisync.db"), Consumer()), seed, folder).processes
    figure(
        f"T5 on SQLite without the lock: {processes} processes in {SCHEDULES} schedules: equal digests in all"
    )


def test_eight_at_once_without_the_lock_end_with_one_content(tmp_path: Path) -> None:
    place, commands = Place(str(tmp_path / "ctisync.db"), Consumer()), tmp_path / "told"
    codes = [ended.ended().code for ended in [Pass(place, 7, commands) for _ in range(8)]]
    assert set(codes) <= {0, AnotherPass.exit_code}
    assert run_here(place, 7, commands) == DONE
    assert_made_good(place, 7, commands)
