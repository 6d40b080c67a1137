"""Each exit code of the contract, as the shell sees it, with its one or two lines for the operator."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from ctisync import errors
from ctisync.core.model import Consumer
from ctisync.system.clock import SystemClock
from ctisync.system.locks import host_lock, lock_beside
from tests.cli.conftest import Ctisync
from tests.support import feed_failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator, unused_port
from tests.support.printed_error import assert_two_lines

PAGES: Final = [
    path
    for name in ("docs/exit-codes.md", "docs/architecture.md", "docs/operations.md")
    if (path := Path(__file__).resolve().parents[2] / name).exists()
]


def test_a_pass_that_did_its_work_is_0_and_so_is_one_with_nothing_to_do(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    assert ctisync.run("sync", "-q").returncode == 0
    assert len(feed.requests_for("snapshot")) == 1


def test_a_bug_is_1_and_asks_for_a_report(ctisync: Ctisync) -> None:
    program = (
        "import sys; from ctisync import cli; cli.app.command('bug')(lambda: 1 / 0); sys.exit(cli.main())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "bug"],
        env=ctisync.environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert_two_lines(ended.stderr, "a bug in ctisync", "report its output")
    assert "ZeroDivisionError" in ended.stderr


BUGS: Final = {
    "in an import": "sys.modules['ctisync.commands.status.read'] = None",
    "in the settings": "from ctisync import settings; settings.check_settings = lambda *_: 1 / 0",
    "in the store": "from ctisync.stores.sqlite.store import SqliteStore; SqliteStore.summary = 1 / 2",
    "in the line": "from ctisync.commands.status import judge; judge.check = lambda *_: 1 / 0",
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_unknown_for_monitoring_and_no_warning(
    ctisync: Ctisync, feed: FeedSimulator, bug: str
) -> None:
    (ctisync.home / "config" / "ctisync").mkdir(parents=True)
    (ctisync.home / "config" / "ctisync" / "config.toml").write_text("history = 100\n")
    assert ctisync.run("sync", "-q").returncode == 0
    program = f"import sys\nfrom ctisync import cli\n{BUGS[bug]}\nsys.exit(cli.main())"

    def status(*options: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", program, "status", *options],
            env=ctisync.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    checked = status("--check")
    assert (checked.returncode, checked.stdout[:17]) == (3, "CTISYNC UNKNOWN -"), checked
    assert checked.stdout.count("\n") == 1
    assert "a bug in ctisync" in checked.stderr
    if bug != "in the line":
        assert status().returncode == 1


def test_an_installation_that_lacks_a_library_is_unknown_for_monitoring(ctisync: Ctisync) -> None:
    (ctisync.home / "typer.py").write_text("raise ImportError('gone')")
    ctisync.environ["PYTHONPATH"] = str(ctisync.home)
    checked = ctisync.run("status", "--check")
    assert (checked.returncode, "cannot start: ImportError('gone')" in checked.stdout) == (3, True), checked
    assert ctisync.run("status").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["synk"], "No such command 'synk'", "ctisync --help"),
        (["help", "synk"], "unknown command synk", "ctisync help sync"),
        (["sync", "--foo"], "No such option: --foo", "ctisync sync --help"),
        (["sync", "-v", "-q"], "-v and -q cannot be combined", "ctisync sync -v"),
        (["sync", "--log-format", "xml"], "--log-format", "ctisync sync --help"),
        (["sync", "--consumer", "vd_4.14.4"], "consumer vd_4.14.4 is not", "--consumer vd_1.0.0/vd_4.8.0"),
        (["init-snapshot", "--offset", "3"], "--offset needs --from", "--from FILE --offset N"),
        (["init-snapshot", "--from", "x", "--offset", "0"], "--offset", "ctisync init-snapshot --help"),
        (["init-snapshot", "--from", "/no/such/file"], "/no/such/file", "--from"),
        (["status", "--check", "--json"], "cannot be combined", "ctisync status --json"),
    ],
)  # fmt: skip
def test_a_command_line_that_makes_no_sense_is_2(
    ctisync: Ctisync, arguments: list[str], message: str, hint: str
) -> None:
    ended = ctisync.run(*arguments)

    assert ended.returncode == 2
    assert_two_lines(ended.stderr, message, hint)
    assert ended.stdout == ""


TWO_CONSUMERS: Final = '[{"consumer": "one", "index": "i1"}, {"consumer": "two", "index": "i2"}]'


@pytest.mark.parametrize("arguments", [["export"], ["init-snapshot", "--from", __file__]])
def test_where_one_consumer_is_needed_several_are_2_and_are_named(
    ctisync: Ctisync, arguments: list[str]
) -> None:
    ended = ctisync.run(*arguments, CTISYNC_CONSUMERS=TWO_CONSUMERS)

    assert ended.returncode == 2
    assert_two_lines(ended.stderr, "vd_1.0.0/one, vd_1.0.0/two", "--consumer NAME")


@pytest.mark.parametrize(
    "arguments",
    [["export"], ["init-snapshot", "--from", __file__], ["verify", "--against", __file__]],
)
def test_where_one_consumer_is_needed_and_several_are_named_it_is_2(
    ctisync: Ctisync, arguments: list[str]
) -> None:
    named = ["--consumer", "two", "--consumer", "vd_1.0.0/one"]
    ended = ctisync.run(*arguments, *named, CTISYNC_CONSUMERS=TWO_CONSUMERS)

    assert ended.returncode == 2
    assert_two_lines(ended.stderr, "several are given: vd_1.0.0/two, vd_1.0.0/one", "one --consumer NAME")


@pytest.mark.parametrize("command", ["sync", "update", "init-snapshot", "status", "history", "verify"])
def test_each_consumer_that_is_named_is_passed_over(ctisync: Ctisync, command: str) -> None:
    """The first of two names would be dropped without a word, and its content grow old."""
    consumers = json.dumps([{"consumer": each, "index": each} for each in ("one", "two", "three")])
    named = ["--consumer", "three", "--consumer", "one", "--consumer", "vd_1.0.0/three"]
    gone = f"http://127.0.0.1:{unused_port()}"
    ended = ctisync.run(command, *named, CTISYNC_CONSUMERS=consumers, CTISYNC_CTI__URL=gone)

    printed = ended.stdout + ended.stderr
    assert printed.index("vd_1.0.0/three") < printed.index("vd_1.0.0/one")
    assert "vd_1.0.0/two" not in printed


@pytest.mark.parametrize(
    ("environ", "message", "hint"),
    [
        ({"CTISYNC_CTI__URLL": "x"}, "the nearest is CTISYNC_CTI__URL", "rename it to CTISYNC_CTI__URL"),
        ({"CTISYNC_STORE__URL": "mysql://h"}, "'mysql://h' is not a store URL", "sqlite:///relative"),
        ({"CTISYNC_STORE__URL": "sqlite:////no/such/x.db"}, "/no/such does not exist", "mkdir -p /no/such"),
        ({"CTISYNC_CTI__TOKEN_FILE": "/no/token"}, "cannot read /no/token", "ls -l /no/token"),
    ],
)
def test_settings_that_cannot_be_used_are_3(
    ctisync: Ctisync, environ: dict[str, str], message: str, hint: str
) -> None:
    ended = ctisync.run("sync", **environ)

    assert ended.returncode == 3
    assert_two_lines(ended.stderr, message, hint)


def test_a_feed_that_wants_a_subscription_is_3(ctisync: Ctisync, feed: FeedSimulator) -> None:
    feed.required_token = "right"

    ended = ctisync.run("sync", "-q", CTISYNC_CTI__TOKEN="wrong-canary")

    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 2
    assert "wrong-canary" not in ended.stderr


def test_another_pass_at_work_is_4_and_is_named(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    before = len(feed.requests)

    with host_lock(lock_beside(ctisync.database, Consumer()), SystemClock(), "ctisync sync"):
        ended, quiet = ctisync.run("sync"), ctisync.run("sync", "-q")

    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (4, "", ""), "cron mails each line"
    assert ended.returncode == 4
    assert_two_lines(ended.stderr, f"ctisync sync, process {os.getpid()}, since", "wait until it ends")
    assert len(feed.requests) == before


def test_a_feed_that_is_not_reachable_is_5(ctisync: Ctisync) -> None:
    ended = ctisync.run("sync", "-q", CTISYNC_CTI__URL=f"http://127.0.0.1:{unused_port()}")

    assert ended.returncode == 5
    assert ended.stderr.splitlines()[-2].startswith("ctisync: vd_1.0.0/vd_4.8.0: ")
    assert ended.stderr.splitlines()[-1].startswith("  try: ")


def test_a_snapshot_that_is_none_is_6(ctisync: Ctisync, feed: FeedSimulator) -> None:
    feed.publish_snapshot(body=b"<html>Sorry</html>")

    ended = ctisync.run("sync", "-q")

    assert ended.returncode == 6
    assert ended.stderr.startswith("ctisync: vd_1.0.0/vd_4.8.0: ")
    assert len(ended.stderr.splitlines()) <= 2


def test_an_opensearch_that_is_not_reachable_is_7(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ended = ctisync.run("sync", "-q", CTISYNC_STORE__URL=f"http://127.0.0.1:{unused_port()}")

    assert ended.returncode == 7
    assert len(ended.stderr.splitlines()) == 2
    assert feed.requests == []


def test_a_state_folder_that_cannot_be_made_is_7(ctisync: Ctisync) -> None:
    (ctisync.home / "state").write_text("a file stands here")

    ended = ctisync.run("sync", "-q")

    assert ended.returncode == 7
    assert_two_lines(ended.stderr, "cannot create the state folder", "CTISYNC_STATE_DIR")


def test_a_folder_that_takes_no_files_is_7(ctisync: Ctisync) -> None:
    # Not even root may write there.
    ended = ctisync.run("sync", "-q", CTISYNC_STORE__URL="sqlite:////proc/ctisync.db")

    assert ended.returncode == 7
    assert_two_lines(ended.stderr, "cannot write the lock file /proc/", "ls -ld /proc")


def test_a_command_that_is_not_accepted_is_8_and_is_sent_again(ctisync: Ctisync, feed: FeedSimulator) -> None:
    with CommandManagerStandIn() as manager:
        ctisync.environ["CTISYNC_COMMAND_MANAGER__URL"] = manager.url
        manager.fail(500, times=2)
        ended = ctisync.run("sync", "-q")

        assert ended.returncode == 8
        assert "answered 500" in ended.stderr
        assert "ctisync status" in ended.stderr.splitlines()[-1]
        assert ctisync.run("export").stdout.count("\n") == 20

        feed.heal()
        manager.failures.clear()
        assert ctisync.run("sync", "-q").returncode == 0
        assert [command.offset for command in manager.commands] == [str(feed.history.last_offset)]


@pytest.mark.parametrize("command", ["update", "export"])
def test_a_store_without_content_is_10_and_says_what_fills_it(
    ctisync: Ctisync, feed: FeedSimulator, command: str
) -> None:
    ended = ctisync.run(command, "-q")

    assert ended.returncode == 10
    assert_two_lines(ended.stderr, "", "ctisync sync")
    assert ended.stdout == ""
    assert feed.requests_for("snapshot") == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_pass_cleanly_with_its_code(
    ctisync: Ctisync, feed: FeedSimulator, number: signal.Signals, code: int
) -> None:
    ctisync.run("sync", "-q")
    before = ctisync.run("export").stdout
    churn(feed.history, 50)
    feed.fail("changes", feed_failures.stall(60))
    running = ctisync.start("sync", "-q")
    while not feed.requests_for("changes"):
        time.sleep(0.02)

    running.send_signal(number)
    _, stderr = running.communicate(timeout=120)

    assert running.returncode == code
    assert stderr.decode() == f"ctisync: stopped by signal {int(number)}; the next pass continues from here\n"
    assert ctisync.run("export").stdout == before
    assert ctisync.run("sync", "-q").returncode == 0


@pytest.mark.usefixtures("feed")
def test_a_consumer_that_fails_is_named_and_does_not_stop_the_next(ctisync: Ctisync) -> None:
    # The feed knows the second one only.
    ctisync.environ["CTISYNC_CONSUMERS"] = '[{"consumer": "vd_0", "index": "i"}, {"consumer": "vd_4.8.0"}]'

    ended = ctisync.run("sync", "-q")

    assert ended.returncode == 3
    assert "vd_1.0.0/vd_0" in ended.stderr.splitlines()[0]
    assert ctisync.run("export", "--consumer", "vd_4.8.0").stdout.count("\n") == 20
    assert ctisync.run("sync", "-q", "--consumer", "vd_1.0.0/vd_4.8.0").returncode == 0


def _all_codes() -> set[int]:
    codes, waiting = {errors.DONE, errors.BUG, errors.HITS, 130, 143}, [errors.CtisyncError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        codes |= {kind.exit_code} if hasattr(kind, "exit_code") else set()
    return codes


def test_every_exit_code_stands_in_the_tree_of_errors_and_in_the_help(ctisync: Ctisync) -> None:
    helped = " ".join(ctisync.run("--help").stdout.split())

    for code in _all_codes():
        assert str(code) in helped.replace("/", " ").replace(",", " ").split(), code
    for code in _all_codes() - {errors.DONE, 130, 143}:
        assert str(code) in str(errors.__doc__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_that_lists_the_exit_codes_lists_them_all(page: Path) -> None:
    text = page.read_text()
    if "## Exit codes" not in text:
        return
    section = text.split("## Exit codes", 1)[1].split("\n#", 1)[0]
    words = section.replace("|", " ").replace("`", " ").replace("/", " ").replace(",", " ").split()
    assert _all_codes() <= {int(word) for word in words if word.isdigit()}
