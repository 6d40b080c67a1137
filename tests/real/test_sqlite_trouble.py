"""A real SQLite file that cannot grow, or that another program holds: 7, and the content stays."""

import resource
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.real.followed import Followed
from tests.support.feed_history import churn, populate
from tests.support.figures import figure
from tests.support.mounts import resize, small_disk


def test_a_file_that_cannot_grow_is_7_and_the_content_stays(followed: Followed) -> None:
    """A limit on the size of files, which shows as an I/O error."""
    followed.ctisync.environ["CTISYNC_STORE__COMPRESSION"] = "none"  # then the sizes are known
    assert followed.run().returncode == 0
    reached = followed.feed.history.last_offset
    populate(followed.feed.history, 1000, first=5000)
    followed.feed.publish_snapshot()
    limit = followed.ctisync.database.stat().st_size + 300_000

    for command in ("init-snapshot", "update"):
        full = subprocess.run(
            followed.ctisync.command(command, "-q"),
            env=followed.ctisync.environ,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        assert full.returncode == 7, full.stderr
        assert str(followed.ctisync.database) in full.stderr
        assert followed.offset == reached
        followed.assert_holds(reached)
    followed.assert_in_step()


@pytest.mark.mounts
def test_a_full_disk_is_7_and_the_content_stays(followed: Followed, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 3) as disk:
        followed.ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{disk}/ctisync.db"
        followed.ctisync.environ["CTISYNC_STORE__COMPRESSION"] = "none"  # then the sizes are known
        assert followed.run().returncode == 0
        reached = followed.feed.history.last_offset
        populate(followed.feed.history, 1500, first=5000)
        followed.feed.publish_snapshot()

        for command in ("init-snapshot", "update"):
            full = followed.run(command, "-q")
            assert full.returncode == 7, full.stderr
            assert "df -h" in full.stderr
            if command == "init-snapshot":
                assert followed.offset == reached
            followed.assert_holds(followed.offset)
        assert followed.offset < followed.feed.history.last_offset

        resize(disk, 60)
        followed.assert_in_step()


@pytest.mark.long
def test_a_database_that_another_program_locks_is_7_when_the_patience_has_run_out(
    followed: Followed,
) -> None:
    assert followed.run().returncode == 0
    churn(followed.feed.history, 100)
    with closing(sqlite3.connect(followed.ctisync.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        locked = followed.run()
        seconds = time.monotonic() - began

    assert locked.returncode == 7
    assert "is locked by another program" in locked.stderr
    assert 28 < seconds < 45
    figure(f"a locked database: exit 7 after {seconds:.0f} s")
    followed.assert_in_step()
