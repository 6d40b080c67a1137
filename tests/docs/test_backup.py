"""docs/backup.md: a copy made while passes write is whole, and a pass goes on from it."""

import re
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.docs import page
from tests.docs.reader import Reader
from tests.docs.recipes import assert_in_step
from tests.docs.shell import ROOT
from tests.docs.stage import LAST_OFFSET, Stage
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable

PAGE: Final = (ROOT / "docs" / "backup.md").read_text()
TYPED: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "sh")}

# Of a host with the timer: `systemctl start ctisync.service` runs a pass.
SYSTEMCTL: Final = """#!/bin/sh
test "$*" = "start ctisync.service" || exit 0
STATE_DIRECTORY={state} exec ctisync sync -q
"""
SYNC: Final = "STATE_DIRECTORY=/var/lib/ctisync exec ctisync sync -q"


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        populate(simulator.history, 40)
        simulator.publish_snapshot()
        yield simulator


def host(folder: Path, feed: FeedSimulator) -> Reader:
    made = Reader(folder, feed)
    (made.bin / "systemctl").write_text(SYSTEMCTL.format(state=made.place("/var/lib/ctisync")))
    return made


def state(reader: Reader, end: str = "") -> Path:
    return reader.place("/var/lib/ctisync") / f"ctisync.db{end}"


def backup(reader: Reader) -> Path:
    return reader.place("/var/backups/ctisync") / "ctisync.db"


def assert_follows(reader: Reader, feed: FeedSimulator) -> None:
    exported = reader.types("STATE_DIRECTORY=/var/lib/ctisync ctisync export -q").encode().splitlines()
    assert [comparable(line) for line in exported] == [comparable(line) for line in feed.expected_lines()]
    assert len(feed.requests_for("snapshot")) == 1, "the pass has not gone on from the backup"


def start(reader: Reader, script: str) -> "subprocess.Popen[bytes]":
    script = script.replace("/var/lib/ctisync", str(state(reader).parent))
    return subprocess.Popen(["/bin/sh", "-c", script], env=reader.environ, cwd=reader.home)


def damage(reader: Reader) -> None:
    """And what lies beside the file after a crash; next to another file it would be written into that."""
    with closing(sqlite3.connect(state(reader))) as other, other:
        other.execute("DELETE FROM records")
        other.commit()
        left = state(reader, "-wal").read_bytes()
    state(reader, "-wal").write_bytes(left)
    with state(reader).open("r+b") as file:
        file.write(b"\xff" * 50_000)


def test_a_copy_made_while_passes_write_is_whole_and_a_pass_goes_on_from_it(
    tmp_path: Path, feed: FeedSimulator
) -> None:
    reader = host(tmp_path, feed)
    reader.types(SYNC)
    churn(feed.history, 3500)
    goes_on = threading.Event()
    # The third range waits, so the second one may be in the log already.
    feed.fail(
        lambda request: request.kind == "changes" and len(feed.requests_for("changes")) > 2,
        failures.paused(goes_on, 0),
    )
    with start(reader, SYNC) as running:
        while not (state(reader, "-wal").exists() and state(reader, "-wal").stat().st_size):
            assert running.poll() is None
        reader.types(TYPED["backup"])
        assert running.poll() is None
        goes_on.set()
        while running.poll() is None:
            reader.types(TYPED["backup"])
    assert running.returncode == 0

    churn(feed.history, 100, seed=2)
    reader.types(SYNC)
    churn(feed.history, 100, seed=3)
    damage(reader)
    reader.types(TYPED["restore"])
    assert_follows(reader, feed)


def test_a_backup_that_is_killed_leaves_the_older_one(tmp_path: Path, feed: FeedSimulator) -> None:
    reader = host(tmp_path, feed)
    reader.types(SYNC)
    reader.types(TYPED["backup"])
    churn(feed.history, 3000)
    reader.types(SYNC)
    code = """
import os, sqlite3, sys
source, copy = (sqlite3.connect(path) for path in sys.argv[1:])
source.backup(copy, pages=1, progress=lambda _, left, total: left < total / 2 and os._exit(9))
"""
    killed = subprocess.run(["python3", "-c", code, state(reader), backup(reader)], check=False)  # noqa: S607
    assert killed.returncode == 9

    reader.types(TYPED["restore"])
    assert_follows(reader, feed)


def test_a_host_without_ctisyncs_folder_goes_on_where_the_old_one_ended(
    tmp_path: Path, feed: FeedSimulator
) -> None:
    old, new = host(tmp_path / "old", feed), host(tmp_path / "new", feed)
    old.types(SYNC)
    churn(feed.history, 100)
    old.types(TYPED["move"])
    old.types(TYPED["backup"])
    shutil.copytree(backup(old).parent, backup(new).parent)
    shutil.rmtree(state(new).parent)
    new.types(TYPED["restore"])
    assert_follows(new, feed)


def type_as_administrator(indexer: Stage, name: str) -> None:
    """The repository's folder is where the node allows it."""
    (repositories,) = {
        path
        for node in indexer.node.request("GET", "/_nodes/settings")["nodes"].values()
        for path in node["settings"]["path"]["repo"]
    }
    script = re.sub(r"(?m)^day=.*$", "day=today", TYPED[name])
    indexer.type(script.replace("/mnt/snapshots", repositories))
    assert "FAILED" not in indexer.typed
    assert "PARTIAL" not in indexer.typed


def change(indexer: Stage, seed: int) -> None:
    churn(indexer.feed.history, 60, seed=seed)
    assert indexer.passes() == 0


def test_snapshots_of_opensearch_bring_back_a_content_that_a_pass_goes_on_from(indexer: Stage) -> None:
    """Changes come between the two snapshots, as while passes run, and deletes, which leave no record."""
    indexer.follow(30)
    change(indexer, 2)
    type_as_administrator(indexer, "repository")
    try:
        state_first, content = TYPED["snapshot"].splitlines()[1:]
        assert ("ctisync-state" in state_first, "ctisync-content" in content) == (True, True)
        indexer.type(f"day=today\n{state_first}")
        change(indexer, 3)
        indexer.type(f"day=today\n{content}")
        change(indexer, 4)
        records = indexer.run("export").text
        indexer.node.request("DELETE", "/ctisync-*")

        type_as_administrator(indexer, "restore-snapshot")
        assert indexer.run("export").text != records
        assert indexer.passes() == 0
        assert_in_step(indexer)
        assert indexer.run("export").text == records
        assert indexer.run("verify").code == 0
        assert indexer.run("history").text.count("sync") > 1
    finally:
        forget_snapshots(indexer)


def test_a_backup_made_in_the_middle_of_a_pass_is_one_that_a_pass_goes_on_from(indexer: Stage) -> None:
    """Its lease, its own alias and a range that it has announced are in it."""
    indexer.follow(2500)
    indexer.feed.fail(
        lambda request: request.kind == "changes" and request.range[0] > LAST_OFFSET + 1500,
        failures.stall(120),
    )
    type_as_administrator(indexer, "repository")
    running = indexer.ctisync.start("sync", "-q")
    try:
        while not has_lease(indexer):
            assert running.poll() is None
        type_as_administrator(indexer, "snapshot")
        assert running.poll() is None
    finally:
        running.kill()
        running.communicate()
    try:
        indexer.feed.heal()

        type_as_administrator(indexer, "restore-snapshot")
        assert indexer.passes() == 0
        assert_in_step(indexer)
        assert indexer.run("verify").code == 0
    finally:
        forget_snapshots(indexer)


def forget_snapshots(indexer: Stage) -> None:
    """The node is shared by tests, and a repository that is removed keeps its snapshots."""
    indexer.node.request("DELETE", "/_snapshot/backups/ctisync-*")
    indexer.node.request("DELETE", "/_snapshot/backups")


def has_lease(indexer: Stage) -> bool:
    document = indexer.node.request("GET", "/wazuh-context/_doc/vd_1.0.0")["_source"]
    return document["vd_4.8.0"]["ctisync"]["lease"] is not None


def test_each_block_is_typed() -> None:
    assert list(TYPED) == ["backup", "restore", "repository", "snapshot", "restore-snapshot", "move"]
