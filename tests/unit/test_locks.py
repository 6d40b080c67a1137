"""One pass at a time on a host, and a message that says who is at work."""

import json
import multiprocessing
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from ctisync.core.model import Consumer
from ctisync.core.pass_report import Work
from ctisync.errors import AnotherPass, ConfigurationError, StoreUnavailable
from ctisync.system.locks import (
    LockState,
    diagnose,
    host_lock,
    lock_beside,
    lock_for_server,
    lock_owner,
    read_lock,
)
from ctisync.system.process import StopRequested
from tests.support.clock import FakeClock


def _hold(path: Path, locked: Event, enough: Event) -> None:
    with host_lock(path, FakeClock(), "ctisync update"):
        locked.set()
        enough.wait(120)


def test_a_second_pass_is_refused_with_process_command_and_time_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"

    with (
        host_lock(path, FakeClock(), "ctisync sync"),
        pytest.raises(AnotherPass) as caught,
        host_lock(path, FakeClock(), "ctisync sync"),
    ):
        pass

    assert caught.value.message == (
        f"another pass is running: ctisync sync, process {os.getpid()}, since 2026-03-01T12:00:00+00:00"
    )
    assert caught.value.exit_code == 4


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    processes = multiprocessing.get_context("spawn")
    locked, enough = processes.Event(), processes.Event()
    holder = processes.Process(target=_hold, args=(path, locked, enough))
    holder.start()
    assert locked.wait(120)

    with (
        pytest.raises(AnotherPass, match=f"ctisync update, process {holder.pid}"),
        host_lock(path, FakeClock(), ""),
    ):
        pass
    holder.kill()
    holder.join()

    with host_lock(path, FakeClock(), "ctisync sync"):
        assert json.loads(path.read_text().splitlines()[-1])["pid"] == os.getpid()


def test_a_signal_that_comes_while_the_holder_is_written_leaves_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is slow to write, a signal is heard right behind the call."""
    path, really = tmp_path / "x.lock", os.pwrite

    def stopped(file: int, content: bytes, offset: int) -> int:
        really(file, content, offset)
        if b"pid" in content:
            raise StopRequested(15, 0.0)
        return len(content)

    monkeypatch.setattr(os, "pwrite", stopped)
    with pytest.raises(StopRequested), host_lock(path, FakeClock(), "ctisync sync"):
        raise AssertionError("the lock was not taken")

    assert read_lock(path).work is None
    assert b"pid" not in path.read_bytes()


def test_a_lock_that_was_let_go_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with host_lock(path, FakeClock(), "ctisync sync"):
        pass
    assert read_lock(path).work is None
    assert b"pid" not in path.read_bytes()


def identity(path: Path) -> str:
    with host_lock(path, FakeClock(), "ctisync sync") as result:
        return result


def test_a_lock_file_keeps_the_id_that_it_got_when_it_was_made(tmp_path: Path) -> None:
    one, other = tmp_path / "x.lock", tmp_path / "y.lock"
    made = identity(one)
    assert [identity(one), identity(one)] == [made, made]
    assert identity(other) != made
    one.rename(tmp_path / "z.lock")
    assert identity(tmp_path / "z.lock") == made, "it is the same lock under another name"


def test_a_copied_or_restored_lock_file_is_another_lock(tmp_path: Path) -> None:
    """Two passes can hold both, so neither may take the other for dead."""
    path, copied = tmp_path / "x.lock", tmp_path / "copied.lock"
    made = identity(path)
    shutil.copy2(path, copied)
    assert identity(copied) != made
    restored = copied.read_bytes()
    path.unlink()
    path.write_bytes(restored)
    assert identity(path) not in (made, identity(copied))


@pytest.mark.parametrize(
    "damage",
    [lambda text: b"", lambda text: text[:10], lambda text: text[:-1], lambda text: b"\xff" + text],
    ids=["emptied", "torn", "without its end", "no text"],
)
def test_a_lock_file_whose_id_is_damaged_gets_another_that_stays(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "x.lock"
    made = identity(path)
    path.write_bytes(damage(path.read_bytes()))
    result = identity(path)
    assert result != made
    assert identity(path) == result


def test_the_lock_file_of_an_earlier_version_is_used_and_gets_an_id(tmp_path: Path) -> None:
    """It names its holder and nothing else, or says nothing."""
    path = tmp_path / "x.lock"
    path.write_text(f'{{"pid": {os.getpid()}, "since": "", "command": "ctisync sync"}}')
    assert read_lock(path).who == f"ctisync sync, process {os.getpid()}"
    result = identity(path)
    assert identity(path) == result
    assert read_lock(path).work is None


@pytest.mark.parametrize("seconds", [10**12, -(10**11)])
def test_a_lock_file_with_a_time_beyond_all_dates_still_names_its_pass(tmp_path: Path, seconds: int) -> None:
    """As another program, or a clock that was wrong, leaves it."""
    path = tmp_path / "x.lock"
    with host_lock(path, FakeClock(), "ctisync sync"):
        os.utime(path, (seconds, seconds))
        assert read_lock(path).work == Work(f"ctisync sync, process {os.getpid()}", FakeClock().now())
        assert diagnose(path).health == "ok"


def test_an_error_within_the_block_lets_the_lock_go(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with pytest.raises(ValueError, match="inner"), host_lock(path, FakeClock(), "a"):
        raise ValueError("inner")
    with host_lock(path, FakeClock(), "b"):
        pass


def test_the_lock_file_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with host_lock(tmp_path / "x.lock", FakeClock(), "a"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.lock").stat().st_mode) == 0o600


def test_a_link_planted_under_the_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreUnavailable), host_lock(tmp_path / "x.lock", FakeClock(), "a"):
        pass
    assert not (tmp_path / "victim").exists()


def test_a_file_that_has_another_name_is_neither_locked_nor_emptied(tmp_path: Path) -> None:
    """One of this user's own that was linked under the lock's name."""
    victim, path = tmp_path / "victim", tmp_path / "x.lock"
    victim.write_text("precious")
    path.hardlink_to(victim)
    with (
        pytest.raises(StoreUnavailable, match=r"cannot use the lock file .* names") as caught,
        host_lock(path, FakeClock(), "a"),
    ):
        pass
    assert victim.read_text() == "precious"
    assert str(path) in str(caught.value.hint)


def test_a_pipe_under_the_name_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.lock")
    with pytest.raises(StoreUnavailable), host_lock(tmp_path / "x.lock", FakeClock(), "a"):
        pass
    assert read_lock(tmp_path / "x.lock").work is None


def test_the_message_about_a_missing_folder_has_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught, host_lock(tmp_path / "no" / "x.lock", FakeClock(), "a"):
        pass
    assert caught.value.hint == f"mkdir -p {tmp_path}/no"


def test_what_is_no_folder_is_reported_as_a_store_that_refuses_writes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StoreUnavailable, match="cannot write the lock file"),
        host_lock(tmp_path / "file" / "x.lock", FakeClock(), "a"),
    ):
        pass


def test_each_consumer_of_each_store_has_its_own_lock() -> None:
    one, other = Consumer(name="a"), Consumer(name="b")
    urls = ("https://h:9200", "https://h2:9200")
    paths = {
        lock_beside(Path("/s/ctisync.db"), one),
        lock_beside(Path("/s/ctisync.db"), other),
        lock_beside(Path("/s/other.db"), one),
        lock_for_server(Path("/s"), urls, one),
        lock_for_server(Path("/s"), urls, other),
        lock_for_server(Path("/s"), urls[:1], one),
    }
    assert len(paths) == 6
    assert lock_for_server(Path("/s"), urls, one) == lock_for_server(Path("/s"), urls[::-1], one)


def test_the_owner_of_a_lock_can_be_read_without_locking_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert read_lock(path).work is None

    with host_lock(path, FakeClock(), "ctisync sync"):
        assert read_lock(path).who == f"ctisync sync, process {os.getpid()}"

    assert read_lock(path).work is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b'{"pid": "1", "since": "", "command": "\xff"}',
        b'{"pid": 7, "since": "", "command": "ctisync sync", "more": ' + b"[" * 2000,
        b'{"pid": 0, "since": "", "command": "ctisync sync"}',
        b'{"pid": -1, "since": "", "command": "ctisync sync"}',
        b'{"pid": 99999999999999999999, "since": "", "command": "ctisync sync"}',
        b'{"pid": 999999999999, "since": "", "command": "ctisync sync"}',
    ],
    ids=[
        *("empty", "torn", "no text", "no text within", "without a bottom", "our own group", "all processes"),
        *("a number beyond all", "no process's number"),
    ],
)
def test_a_lock_file_that_says_nothing_sensible_is_nobodys(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "x.lock"
    path.write_bytes(text)

    assert read_lock(path).work is None
    with host_lock(path, FakeClock(), "ctisync sync"):
        pass


def test_a_lock_file_that_cannot_be_read_names_no_pass_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "x.lock").mkdir()
    assert read_lock(tmp_path / "x.lock") == LockState(unread="it cannot be read (Is a directory)")
    (tmp_path / "y.lock").write_text("")
    assert read_lock(tmp_path / "y.lock" / "z.lock") == LockState(), "there is none"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_pass_of_another_user_is_named_as_such(tmp_path: Path) -> None:
    path, me = tmp_path / "x.lock", os.geteuid()
    with subprocess.Popen([shutil.which("cat") or "cat"], stdin=subprocess.PIPE, user=4711) as theirs:
        path.write_text(f'{{"pid": {theirs.pid}, "since": "", "command": "ctisync sync"}}')
        text = path.read_bytes()
        os.seteuid(4712)
        try:
            result = lock_owner(text)
        finally:
            os.seteuid(me)
        theirs.communicate()
    assert result == Work(f"ctisync sync, process {theirs.pid} of another user")
