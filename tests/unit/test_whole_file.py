"""A file that others read is what it was, or what it was to become, and nothing is left beside it."""

import os
import stat
from pathlib import Path

import pytest

from ctisync.whole_file import replacing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with replacing(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["file"]


def write_half(target: Path) -> None:
    with replacing(target) as file:
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
    with replacing(tmp_path / "file") as file:
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
    with pytest.raises(OSError, match="No space"), replacing(target) as file:
        file.write(b"new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link"
    elsewhere.mkdir()
    link.symlink_to(elsewhere / "file")
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (elsewhere / "file").read_text() == "new"
    assert names(elsewhere) == ["file"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with replacing(pipe) as file:
            file.write(b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_the_permissions_are_those_asked_for_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with replacing(tmp_path / "shared", mode=0o644) as file:
            file.write(b"for all")
        with replacing(tmp_path / "own") as file:
            file.write(b"for me")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"shared": 0o644, "own": 0o600}
