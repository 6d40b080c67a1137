"""A file that others read is what it was, or what it was to become, and nothing is left beside it."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ctisync.system.files import atomic_write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with atomic_write(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["file"]


def write_half(target: Path) -> None:
    with atomic_write(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt


@pytest.mark.parametrize("there", [True, False])
def test_what_fails_half_way_leaves_all_as_it_was(tmp_path: Path, there: bool) -> None:
    target = tmp_path / "file"
    if there:
        target.write_text("old")
    before = names(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_half(target)
    assert names(tmp_path) == before
    assert not there or target.read_text() == "old"


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power failure leaves an empty file under the name, or the old one after all seemed well."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        done.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"new")
    assert done == ["file", "name", "folder"]


def test_a_disk_that_is_full_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), atomic_write(target) as file:
        file.write(b"new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("there", [True, False], ids=["leads to a file", "leads nowhere"])
def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path, there: bool) -> None:
    """In a folder that others may write to, it may be a planted one that leads to the database."""
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link"
    elsewhere.mkdir()
    link.symlink_to(elsewhere / "precious")
    if there:
        (elsewhere / "precious").write_text("precious")
    with atomic_write(link) as file:
        file.write(b"new")
    assert not link.is_symlink()
    assert link.read_text() == "new"
    assert names(elsewhere) == (["precious"] if there else [])
    assert not there or (elsewhere / "precious").read_text() == "precious"
    assert names(tmp_path) == ["elsewhere", "link"]


def test_a_link_to_a_pipe_is_replaced_and_nobody_waits_for_a_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").read_bytes() == b"new"


def test_the_pipe_of_another_user_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    if pipe.stat().st_uid == 0:
        os.chown(pipe, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(OSError, match="another user"), atomic_write(pipe):
        pass


def test_what_is_written_is_for_nobody_else_until_it_is_whole(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "file", mode=0o644) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_its_name_until_then_cannot_be_guessed(tmp_path: Path) -> None:
    partial = set()
    for _ in range(3):
        with atomic_write(tmp_path / "file"):
            partial |= {name for name in names(tmp_path) if name.endswith(".part")}
    assert len(partial) == 3
    assert all(re.fullmatch(r"\.file\.[0-9a-f]{16}\.part", name) for name in partial)


def test_what_a_killed_run_left_is_removed_when_it_is_old_and_nothing_else_is(tmp_path: Path) -> None:
    old, young, others, alike = (
        tmp_path / name
        for name in (
            ".file.0123456789abcdef.part",
            ".file.fedcba9876543210.part",
            ".other.0123456789abcdef.part",
            ".file.backup.part",
        )
    )
    for path in (old, young, others, alike):
        path.write_text("half")
        os.utime(path, (1, 1))
    os.utime(young)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"new")
    assert [path.exists() for path in (old, young, others, alike)] == [False, True, True, True]


@pytest.mark.parametrize("how", ["to a file", "to a pipe"])
def test_standard_output_is_written_to_wherever_it_leads(tmp_path: Path, how: str) -> None:
    """Its name is a link, which is the system's and must stay."""
    program = (
        "import pathlib\n"
        "from ctisync.system.files import atomic_write\n"
        "with atomic_write(pathlib.Path('/dev/stdout')) as file:\n"
        "    file.write(b'new')\n"
    )
    before = Path("/dev/stdout").readlink()
    with (tmp_path / "out").open("wb") as out:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            stdout=out if how == "to a file" else subprocess.PIPE,
            check=True,
        )
    assert ended.stdout == b"new" or (tmp_path / "out").read_bytes() == b"new"
    assert Path("/dev/stdout").readlink() == before


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with atomic_write(pipe) as file:
            file.write(b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_the_permissions_are_those_of_the_call_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with atomic_write(tmp_path / "shared", mode=0o644) as file:
            file.write(b"for all")
        with atomic_write(tmp_path / "own") as file:
            file.write(b"for me")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"shared": 0o644, "own": 0o600}
