"""`ctisync forget`: what it removes, when it asks, and when it does not."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Final

import pytest

from ctisync.core.model import Consumer
from ctisync.system.clock import SystemClock
from ctisync.system.locks import host_lock, lock_beside
from tests.cli.conftest import DEADLINE, Ctisync
from tests.support.feed_simulator import FeedSimulator
from tests.support.printed_error import assert_two_lines

NAME: Final = str(Consumer())
ANOTHER: Final = {"CTISYNC_CONSUMERS": '[{"consumer": "another", "index": "another"}]'}
"""Settings in which the stored consumer is not any more."""


@pytest.fixture
def stored(ctisync: Ctisync, feed: FeedSimulator) -> Ctisync:
    assert ctisync.run("sync", "-q").returncode == 0
    return ctisync


def is_stored(ctisync: Ctisync) -> bool:
    return ctisync.run("export").returncode == 0


def answered(ctisync: Ctisync, answer: bytes, *arguments: str) -> tuple[int, str]:
    """At a terminal: the exit code, and what stood there."""
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    started = subprocess.Popen(
        ctisync.command(*arguments),
        env=ctisync.environ,
        cwd=ctisync.home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        shown += piece
    os.close(ours)
    return started.wait(DEADLINE), shown.decode()


def test_all_that_was_stored_is_gone_and_a_pass_begins_anew(stored: Ctisync) -> None:
    part = stored.database.with_name(f"{lock_beside(stored.database, Consumer()).stem}-0123456789abcdef.part")
    part.write_bytes(b"half a snapshot")

    ended = stored.run("forget", "--consumer", NAME, "--yes")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == (
        f"removed {NAME} from sqlite:///{stored.database}; it is still in the settings, so the next "
        "pass loads it again\n"
    )
    assert not part.exists()
    assert json.loads(stored.run("history", "--json").stdout)["consumers"][0]["passes"] == []
    assert stored.run("export").returncode == 10
    assert stored.run("sync", "-q").returncode == 0
    assert is_stored(stored)


def left_by_verify(ctisync: Ctisync) -> Path:
    """What `verify --against` has downloaded of a snapshot until it was killed."""
    name = f"{lock_beside(ctisync.database, Consumer()).stem} verify-0123456789abcdef.part"
    part = ctisync.database.with_name(name)
    part.write_bytes(b"half a snapshot")
    return part


def test_what_a_killed_verify_has_downloaded_is_removed_too(stored: Ctisync) -> None:
    part = left_by_verify(stored)
    assert "downloads  1 file, " in stored.run("forget", "--consumer", NAME, "--dry-run").stdout
    assert stored.run("forget", "--consumer", NAME, "--yes").returncode == 0
    assert not part.exists()

    left_by_verify(stored)
    ended = stored.run("forget", "--consumer", NAME, "--yes")
    assert (ended.returncode, ended.stdout.startswith("removed")) == (0, True), "it is all that there was"
    assert not part.exists()


def test_what_a_verify_downloads_now_is_not_removed(stored: Ctisync) -> None:
    part = left_by_verify(stored)
    with host_lock(part.with_name(f"{part.name[:-22]}.lock"), SystemClock(), "ctisync verify --against"):
        ended = stored.run("forget", "--consumer", NAME, "--yes")
        assert ended.returncode == 4
        assert_two_lines(
            ended.stderr, "another pass is running: ctisync verify --against", "wait until it ends"
        )
    assert part.exists()
    assert is_stored(stored)


@pytest.mark.parametrize("name", [NAME, Consumer().name])
def test_a_consumer_that_is_configured_no_more_is_listed_with_what_to_type(
    stored: Ctisync, name: str
) -> None:
    stored.environ |= ANOTHER
    table, document = stored.run("status").stdout, json.loads(stored.run("status", "--json").stdout)
    typed = f"ctisync forget --consumer {NAME}"
    assert f"{NAME} is stored, but not configured; to remove it: {typed}" in table
    assert document["not_configured"] == [
        {"context": Consumer().context, "consumer": Consumer().name, "replaced_by": None}
    ]

    assert stored.run("forget", "--consumer", name, "--yes").stdout == (
        f"removed {NAME} from sqlite:///{stored.database}\n"
    )

    assert typed not in stored.run("status").stdout
    assert json.loads(stored.run("status", "--json").stdout)["not_configured"] == []


def test_a_dry_run_says_what_would_go_and_removes_nothing(stored: Ctisync) -> None:
    before = stored.database.read_bytes()
    ended = stored.run("forget", "--consumer", NAME, "--dry-run")
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert lines[0] == f"{NAME} in sqlite:///{stored.database}"
    assert lines[1].startswith("  content    20 records, ")
    assert lines[1].endswith(f": {stored.database}")
    assert lines[3] == "  history    1 pass"
    assert stored.database.read_bytes() == before
    assert is_stored(stored)


@pytest.mark.parametrize("name", [NAME, "vd_1.0.0/never-was", "never-was"])
def test_what_is_gone_or_never_was_is_no_error_and_leaves_no_file(ctisync: Ctisync, name: str) -> None:
    ended = ctisync.run("forget", "--consumer", name, "--yes")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "has no data of" in ended.stdout
    assert ctisync.run("forget", "--consumer", name, "--dry-run").returncode == 0
    assert ctisync.run("forget", "--consumer", name, "-q").stdout == ""
    assert not ctisync.database.parent.exists()


def test_without_a_terminal_it_removes_nothing_unless_confirmed(stored: Ctisync) -> None:
    ended = stored.run("forget", "--consumer", Consumer().name)
    assert ended.returncode == 2
    assert_two_lines(ended.stderr, "needs a terminal to ask", f"ctisync forget --consumer {NAME} --yes")
    assert is_stored(stored)
    assert stored.run(*ended.stderr.partition("try: ctisync ")[2].split()).returncode == 0
    assert not is_stored(stored)


@pytest.mark.parametrize("answer", [b"y\n", b"Yes\n"])
def test_at_a_terminal_it_shows_what_goes_and_asks(stored: Ctisync, answer: bytes) -> None:
    code, shown = answered(stored, answer, "forget", "--consumer", NAME)
    assert code == 0
    assert "20 records" in shown
    assert "Remove all of this permanently? [y/N] " in shown
    assert not is_stored(stored)


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"sure?\n", b"\x04"])
def test_any_other_answer_removes_nothing(stored: Ctisync, answer: bytes) -> None:
    code, shown = answered(stored, answer, "forget", "--consumer", NAME)
    assert code == 2
    assert "nothing was removed" in shown
    assert is_stored(stored)


@pytest.mark.parametrize("is_empty", [False, True])
def test_while_a_pass_is_at_work_it_is_refused(ctisync: Ctisync, feed: FeedSimulator, is_empty: bool) -> None:
    if is_empty:
        ctisync.database.parent.mkdir(parents=True)
    else:
        assert ctisync.run("sync", "-q").returncode == 0
    with host_lock(lock_beside(ctisync.database, Consumer()), SystemClock(), "ctisync sync"):
        for how in ([], ["--yes"]):
            ended = ctisync.run("forget", "--consumer", NAME, *how)
            assert ended.returncode == 4
            assert_two_lines(ended.stderr, "another pass is running: ctisync sync", "wait until it ends")
        assert ctisync.run("forget", "--consumer", NAME, "--dry-run").returncode == 0
    assert is_stored(ctisync) is not is_empty


def test_of_several_consumers_one_has_to_be_named(stored: Ctisync) -> None:
    ended = stored.run("forget", "--yes")
    assert ended.returncode == 2
    assert_two_lines(ended.stderr, f"configured: {NAME}", f"ctisync forget --consumer {NAME}")
    assert is_stored(stored)


def test_a_name_that_two_have_is_not_guessed(stored: Ctisync) -> None:
    stored.environ["CTISYNC_CONSUMERS"] = '[{"context": "other", "consumer": "vd_4.8.0"}]'
    ended = stored.run("forget", "--consumer", "vd_4.8.0", "--yes")
    assert ended.returncode == 2
    assert_two_lines(ended.stderr, f"several consumers match vd_4.8.0: {NAME}, other/vd_4.8.0", "--consumer")
    assert stored.run("export", "--consumer", "other/vd_4.8.0").returncode == 10


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b/c", "", "/", "a/", "\x1b[2J"])
def test_what_is_no_name_is_refused(ctisync: Ctisync, tmp_path: Path, name: str) -> None:
    ended = ctisync.run("forget", "--consumer", name, "--yes")
    assert ended.returncode == 2
    assert_two_lines(
        ended.stderr, "is not a valid context or consumer name", f"ctisync forget --consumer {NAME}"
    )
