"""docs/monitoring.md, walked by three users: root opens the folder of the passes to a group, and a member of
the group reads in it, whatever the passes do."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cli.test_other_readers import READS, Ended
from tests.docs import page
from tests.docs.shell import ROOT
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator

PASSES: Final = 4711
MONITOR: Final = 4712
MONITORING: Final = 4713
"""The group of the page, of which MONITOR is a member."""

PAGE: Final = (ROOT / "docs" / "monitoring.md").read_text()
TYPED: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "sh") if block.names}
COMMANDS: Final = {
    **{name: words for name, words in READS.items() if name not in ("show", "dry-run")},
    "show": ["show", "CVE-2000-10000"],
    "page": shlex.split(TYPED["reader"])[2:],
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")


class Host:
    """`folder`: the page's /var/lib/ctisync, as `useradd` makes it."""

    def __init__(self, root: Path, feed: FeedSimulator) -> None:
        self.root, self.feed = root, feed
        self.folder = root / "ctisync"
        self.folder.mkdir(0o750)
        os.chown(self.folder, PASSES, PASSES)
        self.environ = {"STATE_DIRECTORY": str(self.folder), "CTISYNC_CTI__URL": feed.url}

    def beside(self) -> list[Path]:
        return [self.folder / f"ctisync.db{end}" for end in ("-wal", "-shm")]

    def types(self, script: str) -> None:
        """As root. The group has a number here instead of a name."""
        for name, here in (("/var/lib/ctisync", self.folder), ("monitoring", MONITORING), ("sudo ", "")):
            script = script.replace(name, str(here))
        subprocess.run(["/bin/sh", "-ec", script], check=True)

    def starts(self, user: int, calls: list[list[str]]) -> "subprocess.Popen[str]":
        """A process that runs each call as that user, all at once."""
        jobs = [
            {
                "arguments": call,
                "environ": self.environ,
                "folder": "/",
                "user": user,
                "groups": [MONITORING] if user == MONITOR else [],
                "streams": [
                    "/dev/null",
                    *(str(self.root / f"{user}-{at}-{name}") for name in ("out", "err")),
                ],
            }
            for at, call in enumerate(calls)
        ]
        for left in self.root.glob(f"{user}-*"):
            left.unlink()
        started = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        assert started.stdin is not None
        started.stdin.write(json.dumps(jobs))
        started.stdin.close()
        started.stdin = None  # `communicate` would flush it
        return started

    def runs(self, user: int, *calls: list[str]) -> list[Ended]:
        codes = json.loads(self.starts(user, list(calls)).communicate(timeout=120)[0])
        texts = [
            [(self.root / f"{user}-{at}-{name}").read_text() for name in ("out", "err")]
            for at in range(len(calls))
        ]
        return [Ended(code, *text) for code, text in zip(codes, texts, strict=True)]

    def passes(self, *arguments: str) -> None:
        (ended,) = self.runs(PASSES, [*(arguments or ("sync",)), "-q"])
        assert ended.code == 0, ended.err

    def assert_read(self) -> None:
        """The monitoring user reads everything."""
        for name, ended in zip(COMMANDS, self.runs(MONITOR, *COMMANDS.values()), strict=True):
            assert (ended.code, ended.err) == (0, ""), name

    def is_at_work(self) -> "subprocess.Popen[str]":
        """A pass that has written its lease, and waits for changes."""
        churn(self.feed.history, 30)
        self.feed.fail("changes", failures.stall(120))
        started = self.starts(PASSES, [["sync", "-q"]])
        wait(lambda: all(each.exists() and each.stat().st_size for each in self.beside()))
        return started


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def kill(running: "subprocess.Popen[str]") -> None:
    """It and the pass that it runs."""
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()


@pytest.fixture
def host() -> Iterator[Host]:
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    with FeedSimulator() as feed:
        populate(feed.history, 20)
        feed.publish_snapshot()
        made = Host(root, feed)
        made.passes()
        yield made
    shutil.rmtree(root)


def test_a_member_of_the_group_reads_after_passes_during_passes_and_after_a_kill(host: Host) -> None:
    """SQLite's files of a pass have the group of its user, as the pass is no member of another one."""
    host.types(TYPED["readers"])
    host.assert_read()

    running = host.is_at_work()
    assert {each.stat().st_gid for each in host.beside()} == {MONITORING}
    host.assert_read()
    assert running.poll() is None
    kill(running)

    assert host.beside()[0].stat().st_size > 0
    host.assert_read()
    host.feed.heal()
    for arguments in (["sync"], ["init-snapshot"], ["sync"]):
        host.passes(*arguments)
        host.assert_read()


def test_where_the_folder_does_not_pass_on_its_group_the_remedy_lasts(host: Host) -> None:
    host.types(TYPED["readers"])
    host.folder.chmod(0o750)  # as this page once said
    running = host.is_at_work()
    (ended,) = host.runs(MONITOR, ["status"])
    assert ended.code == 3
    host.types(ended.err.partition("try: as root: ")[2])
    host.assert_read()
    kill(running)
    host.feed.heal()
    host.passes()
    running = host.is_at_work()
    host.assert_read()
    kill(running)
