"""Two stores on one host that follow one feed at the same time: neither takes anything of the other's."""

import threading
from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync
from tests.support import feed_failures as failures
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator


@pytest.mark.parametrize("while_downloading", ["true", "false"])
def test_two_databases_in_one_folder_initialise_side_by_side_and_both_hold_the_whole_content(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path, while_downloading: str
) -> None:
    ctisync.environ["CTISYNC_CTI__LOAD_WHILE_DOWNLOADING"] = while_downloading
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    go_on = threading.Event()
    feed.fail("snapshot", failures.paused(go_on, after=0.5))

    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{one}"
    first = ctisync.start("sync", "-q")
    while not any(path.stat().st_size for path in tmp_path.glob("[!.]*.part")):
        assert first.poll() is None
    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{other}"
    second = ctisync.run("sync", "-q")
    go_on.set()
    _, stderr = first.communicate(timeout=120)

    assert (first.returncode, second.returncode) == (0, 0), stderr.decode() + second.stderr
    for database in (one, other):
        exported = ctisync.run("export", CTISYNC_STORE__URL=f"sqlite:///{database}").stdout
        assert exported.encode().splitlines() == feed.expected_lines()
    assert len(feed.requests_for("snapshot")) == 2, "each has downloaded its own"
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in (".part", ".json")) == []


def test_a_pass_that_tidies_up_leaves_the_download_of_the_database_beside_it(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path
) -> None:
    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{tmp_path}/one.db"
    assert ctisync.run("sync", "-q").returncode == 0
    go_on = threading.Event()
    feed.fail("snapshot", failures.paused(go_on, after=0.5))
    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{tmp_path}/other.db"
    initialising = ctisync.start("sync", "-q")
    while not (parts := list(tmp_path.glob("[!.]*.part"))):
        assert initialising.poll() is None

    churn(feed.history, 30)
    updated = ctisync.run("sync", "-q", CTISYNC_STORE__URL=f"sqlite:///{tmp_path}/one.db")
    there = [path.exists() for path in parts]
    go_on.set()
    _, stderr = initialising.communicate(timeout=120)

    assert updated.returncode == 0, updated.stderr
    assert there == [True]
    assert initialising.returncode == 0, stderr.decode()
