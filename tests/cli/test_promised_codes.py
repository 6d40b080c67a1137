"""Each exit code that a command's help names is one that it gives: here is when.

The codes of every command are tested elsewhere: 0 by the examples of its help, which are run
(tests/docs/test_examples_in_help.py), 1 and the signals where all commands are alike (test_exit_codes.py).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from ctisync.cli.help import HELP_TEXTS
from ctisync.core.model import Consumer
from ctisync.system.clock import SystemClock
from ctisync.system.locks import host_lock, lock_beside
from tests.cli.conftest import Ctisync
from tests.cli.test_verify import plant
from tests.docs.shell import ROOT
from tests.docs.stage import Hurried
from tests.support import feed_failures as failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator, unused_port
from tests.support.scanner_tables import PAYLOADS

Play = Callable[[Ctisync, FeedSimulator, list[str]], int]

EVERYWHERE: Final = frozenset((0, 1, 130, 143))

ARGUMENTS: Final = {
    "show": ["CVE-1"],
    "diff": ["old.ndjson", "new.ndjson"],
    "completion": ["bash"],
    "config get": ["cti.url"],
    "forget": ["--consumer", "vd_4.8.0"],
    "match": ["packages.txt", "--os", "debian:12"],
    "watch test": ["our edge"],
    "mirror": ["folder"],
    "bundle": ["folder", "--since", "none", "--output", "made.tar"],
    "import": ["bundle.tar"],
    "serve": ["folder"],
}
"""Without which the command makes no sense."""

PROMISED: Final = [
    (path, code)
    for path, help_text in HELP_TEXTS.items()
    if path not in ("", "config", "watch")  # groups: they end as what is in them does
    for code in sorted(help_text.codes - EVERYWHERE)
]


@pytest.fixture
def ctisync(tmp_path: Path) -> Ctisync:
    """Nobody waits for a store that is not there."""
    hurried = Hurried(tmp_path)
    hurried.environ["PYTHONPATH"] = str(ROOT)
    hurried.environ["CTISYNC_WATCH"] = '[{"name": "our edge", "product": ["openssl"]}]'
    (tmp_path / "packages.txt").write_text("openssl\t3.0.2-1\tDebian OpenSSL Team\tii \n")
    return hurried


def follow(ctisync: Ctisync, feed: FeedSimulator, changes: int = 0) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    churn(feed.history, changes)


def usage(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    return ctisync.run(*words, "--no-such-option").returncode


def settings(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    return ctisync.run(*words, CTISYNC_STORE__URL="mysql://h").returncode


def another_pass(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed)
    with host_lock(lock_beside(ctisync.database, Consumer()), SystemClock(), "ctisync sync"):
        return ctisync.run(*words).returncode


def another_demo(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    folder = ctisync.home / "kept"
    folder.mkdir()
    with host_lock(lock_beside(folder / "ctisync.db", Consumer()), SystemClock(), "ctisync sync"):
        return ctisync.run(*words, "--keep", "kept").returncode


def another_download(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed)
    lock = lock_beside(ctisync.database, Consumer(name=f"{Consumer().name} verify"))
    with host_lock(lock, SystemClock(), "ctisync verify --against"):
        return ctisync.run(*words, "--against", f"{feed.origin}/1_1746459961.zip").returncode


def another_publisher(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    assert ctisync.run(*words).returncode == 0
    lock = ctisync.home / "folder" / ".ctisync" / "vd_1.0.0.vd_4.8.0.lock"
    with host_lock(lock, SystemClock(), "ctisync mirror"):
        return ctisync.run(*words).returncode


def folder_is_a_file(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    (ctisync.home / "folder").touch()
    return ctisync.run(*words).returncode


def mirror_damaged(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    assert ctisync.run("mirror", "folder").returncode == 0
    for snapshot in (ctisync.home / "folder").rglob("s-*"):
        snapshot.write_bytes(b"")
    return ctisync.run(*words).returncode


def with_bundle(play: Play) -> Play:
    """A bundle is there, and the content is empty."""

    def played(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
        assert ctisync.run("mirror", "folder").returncode == 0
        made = ctisync.run("bundle", "folder", "--since", "none", "--output", "bundle.tar")
        assert made.returncode == 0
        return play(ctisync, feed, words)

    return played


def bundle_damaged(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    (ctisync.home / "bundle.tar").write_bytes(b"")
    return ctisync.run(*words).returncode


def first_command_refused(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    with CommandManagerStandIn() as manager:
        manager.fail(500, times=9)
        return ctisync.run(*words, CTISYNC_COMMAND_MANAGER__URL=manager.url).returncode


def first_hook_failed(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    return ctisync.run(*words, CTISYNC_HOOKS__ON_UPDATE='["false"]').returncode


def state_is_read_only(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    (ctisync.home / "folder").mkdir()
    return ctisync.run(*words, "--listen", "127.0.0.1:0", CTISYNC_STATE_DIR="/proc/ctisync").returncode


def feed_away(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed)
    return ctisync.run(*words, CTISYNC_CTI__URL=f"http://127.0.0.1:{unused_port()}").returncode


def snapshot_away(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed)
    return ctisync.run(*words, "--against", f"http://127.0.0.1:{unused_port()}/1_1746459961.zip").returncode


def feed_refused(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed)
    feed.fail("info", failures.without_data(), times=None)
    return ctisync.run(*words).returncode


def plans_refused(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    feed.fail("other", failures.html(), times=None)
    return ctisync.run(*words).returncode


def snapshot_refused(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed)
    (ctisync.home / "1_1746459961.zip").write_text("<html>Sorry</html>")
    return ctisync.run(*words, "--against", "1_1746459961.zip").returncode


def store_away(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    return ctisync.run(*words, CTISYNC_STORE__URL=f"http://127.0.0.1:{unused_port()}").returncode


def store_read_only(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    return ctisync.run(*words, "--keep", "/proc").returncode


def command_refused(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed, changes=10)
    with CommandManagerStandIn() as manager:
        manager.fail(500, times=9)
        return ctisync.run(*words, CTISYNC_COMMAND_MANAGER__URL=manager.url).returncode


def damaged(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed)
    plant(ctisync, "UPDATE records SET offset = 100000 WHERE id = 3")
    return ctisync.run(*words).returncode


def different(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed)
    assert ctisync.run("export", "--output", "new.ndjson").returncode == 0
    (ctisync.home / "old.ndjson").write_text("")
    return ctisync.run(*words, "--exit-code").returncode


def empty(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    return ctisync.run(*words).returncode


def records_match(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    entry = {"vendor": "debian", "product": "openssl", "defaultStatus": "affected"}
    containers = {"adp": [{"providerMetadata": {"x_subShortName": "debian"}, "affected": [entry]}]}
    feed.history.create("CVE-2024-1", {"containers": containers})
    for name, payload in PAYLOADS.items():
        feed.history.create(name, payload)
    follow(ctisync, feed)
    return ctisync.run(*words, "--exit-code").returncode


def hook_failed(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    follow(ctisync, feed, changes=10)
    return ctisync.run(*words, CTISYNC_HOOKS__ON_UPDATE='["false"]').returncode


def critical(ctisync: Ctisync, feed: FeedSimulator, words: list[str]) -> int:
    return ctisync.run(*words, CTISYNC_CTI__URL=f"http://127.0.0.1:{unused_port()}").returncode


WHEN: Final[dict[int, Play]] = {
    2: usage,
    3: settings,
    4: another_pass,
    5: feed_away,
    6: feed_refused,
    7: store_away,
    8: command_refused,
    9: damaged,
    10: empty,
    11: hook_failed,
}

OTHERWISE: Final[dict[tuple[str, int], Play]] = {
    ("verify", 4): another_download,
    ("verify", 5): snapshot_away,
    ("verify", 6): snapshot_refused,
    ("doctor", 2): critical,
    ("plans", 6): plans_refused,
    ("diff", 9): different,
    ("demo", 4): another_demo,
    ("mirror", 4): another_publisher,
    ("mirror", 7): folder_is_a_file,
    ("bundle", 6): mirror_damaged,
    ("import", 4): with_bundle(another_pass),
    ("import", 6): bundle_damaged,
    ("import", 7): with_bundle(store_away),
    ("import", 8): with_bundle(first_command_refused),
    ("import", 11): with_bundle(first_hook_failed),
    ("demo", 7): store_read_only,
    ("serve", 7): state_is_read_only,
    ("search", 12): records_match,
    ("match", 12): records_match,
}

OPTIONS: Final = {("status", 5): ["--remote"], ("status", 6): ["--remote"]}


@pytest.mark.parametrize(("path", "code"), PROMISED)
def test_each_code_that_the_help_names_is_one_of_its_command(
    ctisync: Ctisync, feed: FeedSimulator, path: str, code: int
) -> None:
    words = [*path.split(), *ARGUMENTS.get(path, []), *OPTIONS.get((path, code), [])]
    play = OTHERWISE.get((path, code)) or WHEN[code]
    assert play(ctisync, feed, words) == code


@pytest.mark.parametrize(("code", "words"), [(0, []), (1, ["--warn-age", "0s"]), (2, ["--crit-age", "0s"])])
def test_so_are_those_of_a_check(ctisync: Ctisync, feed: FeedSimulator, code: int, words: list[str]) -> None:
    follow(ctisync, feed)
    ctisync.run("sync", "-q")
    assert ctisync.run("status", "--check", *words).returncode == code


def test_a_check_that_cannot_look_is_3(ctisync: Ctisync, feed: FeedSimulator) -> None:
    assert store_away(ctisync, feed, ["status", "--check"]) == 3


def test_a_doctor_who_warns_is_1(ctisync: Ctisync, feed: FeedSimulator) -> None:
    assert empty(ctisync, feed, ["doctor"]) == 1
