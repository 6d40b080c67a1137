"""A kind of store that is only registered: each command works with it, without another change."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = """
import sys
from ctisync import backends, cli
from tests.support import folder_store
backends.KINDS[folder_store.BEGINNING] = folder_store.KIND
sys.exit(cli.main())
"""


class WithFolders(Ctisync):
    main_module = None

    def command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-c", PROGRAM, *arguments]

    def done(self, *arguments: str) -> str:
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
def ctisync(tmp_path: Path) -> WithFolders:
    host = WithFolders(tmp_path)
    (tmp_path / "copies").mkdir(mode=0o700)
    host.environ |= {"CTISYNC_STORE__URL": f"jsonl:///{tmp_path}/copies/cve", "PYTHONPATH": str(ROOT)}
    return host


def test_passes_and_readers_work_with_it(ctisync: WithFolders, feed: FeedSimulator) -> None:
    ctisync.done("sync", "-q")
    churn(feed.history, 30)
    ctisync.done("update", "-q")

    exported = [comparable(line) for line in ctisync.done("export").encode().splitlines()]
    assert exported == [comparable(line) for line in feed.expected_lines()]
    status = json.loads(ctisync.done("status", "--json"))
    assert status["store"] == f"jsonl:///{ctisync.home}/copies/cve"
    (one,) = status["consumers"]
    assert (one["behind"], one["records"]) == (0, len(exported))
    assert len(ctisync.done("history").splitlines()) >= 2
    ctisync.done("verify", "--deep")
    assert "copies" in ctisync.run("doctor").stdout


def test_locks_and_downloads_are_beside_it(ctisync: WithFolders, feed: FeedSimulator) -> None:
    ctisync.done("sync", "-q")
    assert sorted(path.name for path in (ctisync.home / "copies").iterdir()) == [
        "cve",
        f"cve.{feed.context}.{feed.consumer}.lock",
    ]
    ctisync.done("forget", "--yes", "--consumer", f"{feed.context}/{feed.consumer}")
    assert list((ctisync.home / "copies" / "cve").glob("* *.jsonl")) == []


def test_its_settings_are_checked_as_those_of_any_store(ctisync: WithFolders) -> None:
    ended = ctisync.run("config", "check", CTISYNC_COMMAND_MANAGER__ENABLED="true")
    assert ended.returncode == 3
    assert "with a folder store, command_manager.url is required" in ended.stderr
    ended = ctisync.run("config", "check", CTISYNC_STORE__URL="json://x")
    assert "http(s)://host:9200[,host2:9200] or jsonl:///folder" in ended.stderr
