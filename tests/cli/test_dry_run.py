"""`--dry-run`: says what the pass would do, and leaves everything as it was, here and elsewhere."""

import os
from pathlib import Path
from typing import Final

import pytest

from ctisync.core.model import Consumer
from ctisync.system.clock import SystemClock
from ctisync.system.locks import host_lock, lock_beside
from tests.cli.conftest import Ctisync
from tests.support import feed_failures as failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator, unused_port
from tests.support.printed_error import assert_two_lines

MODES: Final = ["sync", "update", "init-snapshot"]


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Each file below, with when it was written and what is in it, but for what SQLite's readers share."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


def plan(ctisync: Ctisync, *words: str, **environ: str) -> str:
    """Of a dry run, which has left no trace."""
    before = tree(ctisync.home)
    ended = ctisync.run(*words, "--dry-run", **environ)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert tree(ctisync.home) == before
    return ended.stdout


def follow(ctisync: Ctisync) -> None:
    assert ctisync.run("sync", "-q").returncode == 0


def test_before_the_first_pass_it_prints_the_snapshots_offset_and_size(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    churn(feed.history, 7)
    [file] = feed.files.values()
    assert plan(ctisync, "sync", "-q").splitlines() == [
        "vd_1.0.0/vd_4.8.0: the content is at offset 0; a pass would now",
        "  ask the feed, which is at offset 1,027",
        f"  load the snapshot of offset 1,020, of {len(file.body):,} B: nothing is stored yet",
        "  apply the changes of 7 offsets, 1,021 to 1,027",
        "  end with exit code 0: the content is at the feed's last offset 1027",
    ]
    assert not ctisync.database.parent.exists()


def test_an_update_prints_how_many_offsets(ctisync: Ctisync, feed: FeedSimulator) -> None:
    follow(ctisync)
    churn(feed.history, 1500)
    requests, last = len(feed.requests_for("changes")), feed.history.last_offset
    for mode in ("sync", "update"):
        assert f"  apply the changes of {last - 1020:,} offsets, 1,021 to {last:,}\n" in plan(ctisync, mode)
    assert len(feed.requests_for("changes")) == requests, "nor is what it does not need asked for"


@pytest.mark.parametrize("mode", MODES)
def test_a_dry_run_notifies_nobody_and_stores_nothing(
    ctisync: Ctisync, feed: FeedSimulator, mode: str
) -> None:
    follow(ctisync)
    churn(feed.history, 7)
    history = ctisync.run("history", "--json").stdout
    hook = f'["touch", "{ctisync.home}/called"]'
    with CommandManagerStandIn() as manager:
        printed = plan(
            ctisync,
            mode,
            CTISYNC_COMMAND_MANAGER__URL=manager.url,
            CTISYNC_HOOKS__ON_UPDATE=hook,
            CTISYNC_HOOKS__ON_ERROR=hook,
            CTISYNC_PING_URL=f"{feed.origin}/ping",
        )
        assert manager.commands == []
        assert "  send the update command for offset " in printed
    assert ctisync.run("history", "--json").stdout == history
    assert not any("ping" in each.path for each in feed.requests)


def test_a_bad_end_is_printed_with_its_code_and_what_to_type(ctisync: Ctisync, feed: FeedSimulator) -> None:
    assert plan(ctisync, "update").splitlines()[1:] == [
        "  end with exit code 10: there is no content to update from: the stored offset is 0",
        "    try: ctisync sync",
    ]
    follow(ctisync)
    printed = plan(ctisync, "sync", CTISYNC_CONSUMERS='[{"resources": ["CVE-*"]}]')
    assert "  end with exit code 3: resources is ['CVE-*']" in printed


def test_a_blocked_content_is_not_printed_as_one_that_will_be_in_step(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    """Whether the change can be applied now shows only when a pass reads it."""
    follow(ctisync)
    name = feed.history.names()[3]
    poison = feed.history.poison(name)
    churn(feed.history, 7)
    assert ctisync.run("sync", "-q").returncode == 6
    assert (
        f"    change {poison} of {name} could not be applied before; if the feed still has the same one, the "
        "pass ends before it, with exit code 6\n"
    ) in plan(ctisync, "sync")


def test_a_snapshot_whose_server_does_not_send_its_size(ctisync: Ctisync, feed: FeedSimulator) -> None:
    feed.fail("snapshot", failures.status(503), times=None)
    assert "load the snapshot of offset 1,020, of unknown size" in plan(ctisync, "sync")


def test_what_the_feed_refuses_is_the_pass_es_failure_and_is_not_remembered(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    follow(ctisync)
    before = tree(ctisync.home)
    away = f"http://127.0.0.1:{unused_port()}"
    ended = ctisync.run("sync", "--dry-run", "-q", CTISYNC_CTI__URL=away, CTISYNC_CTI__COOLDOWN="3600")
    assert ended.returncode == 5
    assert tree(ctisync.home) == before
    assert ctisync.run("sync", "-q").returncode == 0, "no cool-down has begun"


def test_a_pass_at_work_is_named_and_not_waited_for(ctisync: Ctisync, feed: FeedSimulator) -> None:
    follow(ctisync)
    with host_lock(lock_beside(ctisync.database, Consumer()), SystemClock(), "ctisync sync"):
        printed = plan(ctisync, "sync")
    assert (
        f"end at once with exit code 4 while this pass is running: ctisync sync, process {os.getpid()}"
        in printed
    )


def test_a_file_that_is_here_is_read(ctisync: Ctisync, feed: FeedSimulator) -> None:
    [file] = feed.files.values()
    path = ctisync.home / "20_1746459961.zip"
    path.write_bytes(file.body)
    ended = ctisync.run("init-snapshot", "--from", str(path), "--dry-run", "-q")
    assert ended.returncode == 0
    assert (
        f"load the snapshot of offset 20, of {len(file.body):,} B: requested with init-snapshot"
        in ended.stdout
    )
    assert path.exists()
    assert not ctisync.database.parent.exists()
    assert feed.requests == []


def test_nothing_is_downloaded_for_it(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ended = ctisync.run("init-snapshot", "--from", f"{feed.origin}/20_1.zip", "--dry-run")
    assert ended.returncode == 2
    assert_two_lines(ended.stderr, "downloads nothing", "ctisync init-snapshot --from FILE --dry-run")
    assert feed.requests == []


def test_metrics_are_no_part_of_it(ctisync: Ctisync) -> None:
    ended = ctisync.run("sync", "--dry-run", "--metrics", "figures.prom")
    assert ended.returncode == 2
    assert_two_lines(ended.stderr, "--dry-run and --metrics cannot be combined", "ctisync sync --dry-run")
    assert not (ctisync.home / "figures.prom").exists()


def test_metrics_are_refused_before_a_snapshot_is_looked_at(ctisync: Ctisync) -> None:
    """Exit code 2, not that of a package which the call would not load anyway."""
    (ctisync.home / "manifest.json").write_text("no manifest")
    load = ("init-snapshot", "--from", str(ctisync.home))
    assert ctisync.run(*load, "--dry-run").returncode == 6
    ended = ctisync.run(*load, "--dry-run", "--metrics", "figures.prom")
    assert (ended.returncode, "--metrics cannot be combined" in ended.stderr) == (2, True)


def test_several_consumers_are_planned_one_after_the_other(ctisync: Ctisync, feed: FeedSimulator) -> None:
    both = '[{"consumer": "unknown", "index": "a"}, {"consumer": "vd_4.8.0"}]'
    ended = ctisync.run("sync", "--dry-run", "-q", CTISYNC_CONSUMERS=both)
    assert ended.returncode == 3
    assert ended.stderr.startswith("ctisync: vd_1.0.0/unknown: ")
    assert "vd_1.0.0/vd_4.8.0: the content is at offset 0" in ended.stdout
