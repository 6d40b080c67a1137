"""Only files and folders of this user alone are used; whatever others have planted stays as it is."""

import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ctisync.system.files import UntrustedFile, open_own, open_own_fd
from ctisync.system.folders import folder_risk
from tests.support import odd_files

STRANGER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
FLAGS = {"read": os.O_RDONLY, "write": os.O_WRONLY | os.O_CREAT, "append": os.O_WRONLY | os.O_APPEND}


PLANTED = {
    "it is a symbolic link": odd_files.link,
    "it has 2 names": odd_files.hard_link,
    "it is not a regular file": odd_files.pipe,
    "s a directory|not a regular file": odd_files.folder,
}


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS.keys())
@pytest.mark.parametrize(("why", "plant"), PLANTED.items(), ids=[each.__name__ for each in PLANTED.values()])
def test_what_is_planted_is_refused_and_neither_followed_nor_waited_for(
    tmp_path: Path, why: str, plant: Callable[[Path, Path], None], flags: int
) -> None:
    precious, path = tmp_path / "precious", tmp_path / "ours"
    precious.write_text("precious")
    plant(path, precious)
    with pytest.raises(OSError, match=f"{why}|No such device"):
        open_own_fd(path, flags)
    assert precious.read_text() == "precious"


def test_a_link_that_leads_nowhere_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / "ours").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UntrustedFile, match="symbolic link"):
        open_own_fd(tmp_path / "ours", FLAGS["write"])
    assert not (tmp_path / "elsewhere").exists()


def test_the_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "theirs"
    path.write_text("theirs")
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    with pytest.raises(UntrustedFile, match="another user"):
        open_own(path)


def test_a_file_that_is_made_is_for_this_user_alone_and_can_be_read(tmp_path: Path) -> None:
    path, before = tmp_path / "ours", os.umask(0)
    try:
        os.close(open_own_fd(path, FLAGS["write"]))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    with open_own(path) as file:
        assert file.read() == b""


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750, 0o2750, 0o2755])
def test_a_folder_that_others_may_only_read_has_no_fault(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)
    assert folder_risk(folder) is None


@pytest.mark.parametrize("mode", [0o770, 0o775, 0o707, 0o777, 0o720, 0o2775])
def test_the_message_about_a_folder_that_others_may_write_to_has_its_mode_and_what_to_type(
    tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "the state"
    folder.mkdir()
    folder.chmod(mode)
    fault = folder_risk(folder)
    assert fault is not None
    assert f"{folder} (mode {mode:04o})" in fault.text
    assert fault.hint.startswith(f"chmod go-w '{folder}'")
    assert "state_dir" in fault.hint


def test_a_sticky_folder_for_all_is_refused_too_and_stays_one_for_all(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    fault = folder_risk(folder)
    assert fault is not None
    assert "mode 1777" in fault.text
    assert "chmod" not in fault.hint


def test_a_folder_of_another_user_is_refused_and_one_of_root_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    assert folder_risk(Path("/usr")) is None
    owner = tmp_path.stat().st_uid
    if owner == 0:
        os.chown(tmp_path, STRANGER + 1, -1)
    fault = folder_risk(tmp_path)
    assert fault is not None
    assert "belongs to another user" in fault.text


@pytest.mark.parametrize(
    ("mode", "safe"), [(0o777, False), (0o1777, True), (0o775, True), (0o755, True)], ids=oct
)
def test_a_folder_above_counts_when_all_users_may_rename_ours(tmp_path: Path, mode: int, safe: bool) -> None:
    above = tmp_path / "above"
    folder = above / "between" / "state"
    folder.mkdir(mode=0o700, parents=True)
    above.chmod(mode)
    fault = folder_risk(folder)
    assert (fault is None) == safe
    if fault is not None:
        assert fault.hint.startswith(f"chmod +t {above}; or")
        above.chmod(above.stat().st_mode | stat.S_ISVTX)
        assert folder_risk(folder) is None


@as_root
def test_a_folder_above_counts_when_a_group_of_others_may_rename_ours(tmp_path: Path) -> None:
    above = tmp_path / "above"
    (above / "state").mkdir(mode=0o700, parents=True)
    os.chown(above, 0, STRANGER)
    above.chmod(0o2775)
    fault = folder_risk(above / "state")
    assert fault is not None
    assert f"{above}, where other users can rename it (mode 2775)" in fault.text
    assert fault.hint.startswith(f"chmod +t {above}; or")


@as_root
def test_a_group_with_this_user_as_its_only_member_is_no_danger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As most distributions create one for each user, with a umask of 002."""
    home = tmp_path / "home"
    (home / "state").mkdir(mode=0o700, parents=True)
    for each in (home, home / "state"):
        os.chown(each, STRANGER, STRANGER)
    home.chmod(0o775)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    assert folder_risk(home / "state") is None, "no entry, as in a container"

    user = pwd.getpwuid(0)
    monkeypatch.setattr(
        pwd, "getpwuid", lambda _: pwd.struct_passwd(("me", "x", STRANGER, STRANGER, *user[4:]))
    )
    for named, members, safe in [
        ("me", [], True),
        ("me", ["me"], True),
        ("me", ["you"], False),
        ("us", [], False),
    ]:
        group = grp.struct_group((named, "x", STRANGER, members))
        monkeypatch.setattr(grp, "getgrgid", lambda _, group=group: group)
        assert (folder_risk(home / "state") is None) == safe, group


@as_root
def test_a_folder_above_of_another_user_counts_whatever_its_mode(tmp_path: Path) -> None:
    above = tmp_path / "theirs"
    (above / "state").mkdir(mode=0o700, parents=True)
    os.chown(above, STRANGER, 0)
    for mode in (0o755, 0o1777):
        above.chmod(mode)
        fault = folder_risk(above / "state")
        assert fault is not None
        assert f"another user ({STRANGER}) can rename it" in fault.text


@as_root
@pytest.mark.parametrize("where", ["end", "way", "behind another link", "missing end"])
def test_a_link_of_another_user_is_refused_wherever_it_is_on_the_way(tmp_path: Path, where: str) -> None:
    ours, shared = tmp_path / "ours" / "state", tmp_path / "shared"
    ours.mkdir(mode=0o700, parents=True)
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "link"
    link.symlink_to(ours if where == "end" else ours.parent)
    path = link if where == "end" else link / "state"
    if where == "behind another link":
        (tmp_path / "mine").symlink_to(Path("shared", "..", "shared", "link", "state"))
        path = tmp_path / "mine"
    if where == "missing end":
        path /= "new"
    assert folder_risk(path) is None, "the link is ours"

    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    fault = folder_risk(path)

    assert fault is not None
    assert fault.text == f"{link} is a link of another user ({STRANGER})"


def test_links_that_lead_to_each_other_are_reported_when_the_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert folder_risk(tmp_path / "one") is None


def test_a_file_is_judged_by_the_folder_in_which_it_is(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    for folder in (shared, own):
        folder.mkdir(mode=0o700)
    (shared / "x.db").touch()
    (own / "x.db").symlink_to(shared / "x.db")
    assert folder_risk(own / "x.db") is None
    shared.chmod(0o777)
    assert folder_risk(own) is None
    fault = folder_risk(own / "x.db")
    assert fault is not None
    assert f"other users can write to {shared}" in fault.text


def test_a_folder_behind_a_link_is_checked_where_it_is(tmp_path: Path) -> None:
    above = tmp_path / "above"
    (above / "state").mkdir(mode=0o700, parents=True)
    above.chmod(0o777)
    (tmp_path / "link").symlink_to(above / "state")
    assert folder_risk(tmp_path / "link") is not None
