"""A folder in which others could change what a pass relies on: refused before, and told by who looks."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import FeedSimulator
from tests.support.printed_error import assert_two_lines

MODES = [0o775, 0o777, 0o1777]


@pytest.fixture(params=MODES, ids=oct)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(request.param)
    return folder


def _mode(folder: Path) -> str:
    return f"mode {folder.stat().st_mode & 0o7777:04o}"


@pytest.mark.parametrize("command", ["sync", "update", "init-snapshot"])
def test_a_pass_refuses_a_database_in_a_folder_that_others_may_write_to(
    ctisync: Ctisync, feed: FeedSimulator, shared: Path, command: str
) -> None:
    ended = ctisync.run(command, "-q", CTISYNC_STORE__URL=f"sqlite:///{shared}/ctisync.db")

    assert ended.returncode == 3
    assert_two_lines(ended.stderr, f"other users can write to {shared} ({_mode(shared)})", "set store.url")
    assert feed.requests == []
    assert list(shared.iterdir()) == []


def test_a_pass_refuses_such_a_state_folder_for_a_server(
    ctisync: Ctisync, feed: FeedSimulator, shared: Path
) -> None:
    server = {"CTISYNC_STORE__URL": "http://127.0.0.1:9", "CTISYNC_STATE_DIR": str(shared)}
    ended = ctisync.run("sync", "-q", **server)

    assert ended.returncode == 3
    assert_two_lines(ended.stderr, _mode(shared), "state_dir")
    assert feed.requests == []
    assert list(shared.iterdir()) == []


def test_the_typed_hint_lets_the_pass_run(ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o775)
    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{folder}/ctisync.db"
    stderr = ctisync.run("sync", "-q").stderr
    assert f"try: chmod go-w {folder}; or" in stderr

    folder.chmod(0o755)
    assert ctisync.run("sync", "-q").returncode == 0
    assert feed.requests_for("snapshot")


def test_readers_read_whatever_the_folder_and_write_nothing_there(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path
) -> None:
    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{tmp_path}/shared/ctisync.db"
    (tmp_path / "shared").mkdir()
    assert ctisync.run("sync", "-q").returncode == 0
    (tmp_path / "shared").chmod(0o777)
    for command in ("status", "export", "verify", "history", "log"):
        assert ctisync.run(command, "-q").returncode == 0, command
    against = ctisync.run("verify", "-q", "--against", f"{feed.origin}{next(iter(feed.files))}")
    assert against.returncode == 3, "what it downloads would lie there"


def test_config_check_and_doctor_say_so_before(ctisync: Ctisync, feed: FeedSimulator, shared: Path) -> None:
    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{shared}/ctisync.db"

    checked = ctisync.run("config", "check")
    examined = ctisync.run("doctor", "--json")

    assert (checked.returncode, examined.returncode) == (0, 2)
    assert _mode(shared) in checked.stderr
    (folder,) = [each for each in json.loads(examined.stdout)["checks"] if each["check"] == "folder"]
    assert folder["health"] == "failed"
    assert _mode(shared) in folder["said"]
    assert "set store.url" in folder["to_do"]
    assert feed.requests_for("info")


def test_a_demo_that_is_kept_can_be_gone_on_with_under_any_umask(ctisync: Ctisync, tmp_path: Path) -> None:
    started = ctisync.start("demo", "--keep", str(tmp_path / "kept"), umask=0o002)
    _, stderr = started.communicate(timeout=120)
    assert started.returncode == 0, stderr.decode()


OTHER, TEAM = 4711, 4242


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Path]:
    """A folder which another user reaches, and in which a group that user is in may write."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "team"
        folder.mkdir()
        os.chown(folder, 0, TEAM)
        folder.chmod(0o2775)
        yield folder


def as_another_user(folder: Path, script: str) -> None:
    """Run the script as a member of the group."""
    shell = ["/bin/sh", "-ec", script]
    subprocess.run(shell, cwd=folder, user=OTHER, group=TEAM, extra_groups=[], check=True)


def _put_a_link(team: Path, backup: Path) -> None:
    as_another_user(team, f"mv state gone; ln -s {backup} state")


def _rename_another_folder(team: Path, _: Path) -> None:
    as_another_user(team, "mv state gone; mv state-backup state")


@pytest.mark.parametrize("attack", [_put_a_link, _rename_another_folder])
def test_who_may_write_above_the_folder_leads_no_pass_to_another_database_of_its_user(
    ctisync: Ctisync, feed: FeedSimulator, team: Path, attack: Callable[[Path, Path], None]
) -> None:
    team.chmod(0o755)  # the passes before
    state, backup = team / "state", team / "state-backup"
    state.mkdir(mode=0o700)
    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{state}/ctisync.db"
    assert ctisync.run("sync", "-q").returncode == 0
    shutil.copytree(state, backup)
    kept = (backup / "ctisync.db").read_bytes()
    team.chmod(0o2775)
    attack(team, backup)
    feed.requests.clear()

    ended = ctisync.run("init-snapshot", "-q")

    assert ended.returncode == 3
    assert feed.requests == []
    (there,) = [each for each in (backup, state) if (each / "ctisync.db").exists() and not each.is_symlink()]
    assert (there / "ctisync.db").read_bytes() == kept
    assert [each.name for each in there.iterdir()] == [each.name for each in (team / "gone").iterdir()]


def test_what_is_typed_against_a_group_above_the_folder_heals(
    ctisync: Ctisync, feed: FeedSimulator, team: Path
) -> None:
    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{team}/state/ctisync.db"
    (team / "state").mkdir(mode=0o700)
    refused = ctisync.run("sync", "-q")
    assert refused.returncode == 3
    command = refused.stderr.partition("try: ")[2].partition(";")[0]
    assert command == f"chmod +t {team}"

    subprocess.run(command.split(), check=True)

    assert ctisync.run("sync", "-q").returncode == 0
    with pytest.raises(subprocess.CalledProcessError):
        _put_a_link(team, team)


@pytest.mark.parametrize("store", ["sqlite", "server"])
def test_a_link_that_another_user_has_put_first_in_a_folder_for_all_is_not_followed(
    ctisync: Ctisync, feed: FeedSimulator, team: Path, store: str
) -> None:
    team.chmod(0o1777)
    precious = team.parent / "precious"
    precious.mkdir(mode=0o700)
    as_another_user(team, f"ln -s {precious} state")
    settings = {"CTISYNC_STATE_DIR": f"{team}/state/new"}
    if store == "server":
        settings["CTISYNC_STORE__URL"] = "http://127.0.0.1:9"

    ended = ctisync.run("sync", "-q", **settings)
    examined = ctisync.run("doctor", "--json", **settings)

    assert ended.returncode == 3
    assert_two_lines(ended.stderr, f"{team}/state is a link of another user ({OTHER})", "set store.url")
    assert list(precious.iterdir()) == []
    folder = next(each for each in json.loads(examined.stdout)["checks"] if each["check"] == "folder")
    assert (folder["health"], f"{team}/state is a link" in folder["said"]) == ("failed", True)


def test_metrics_are_not_written_through_a_link_of_another_user(
    ctisync: Ctisync, feed: FeedSimulator, team: Path
) -> None:
    precious = team.parent / "precious"
    precious.mkdir(mode=0o700)
    (precious / "x.prom").write_text("precious")
    as_another_user(team, f"ln -s {precious} metrics")

    ended = ctisync.run("sync", "-q", "--metrics", f"{team}/metrics/x.prom")

    assert ended.returncode == 2
    assert f"--metrics: {team}/metrics is a link of another user ({OTHER})" in ended.stderr
    assert (precious / "x.prom").read_text() == "precious"
    assert feed.requests == []


def test_a_state_folder_that_a_pass_creates_is_for_its_user_alone_under_any_umask(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path
) -> None:
    folder = tmp_path / "a" / "b" / "state"
    ctisync.environ["CTISYNC_STATE_DIR"] = str(folder)
    for _ in range(2):
        started = ctisync.start("sync", "-q", umask=0o002)
        _, stderr = started.communicate(timeout=120)
        assert started.returncode == 0, stderr.decode()
    assert [each.stat().st_mode & 0o022 for each in (folder, *folder.parents[:2])] == [0, 0, 0]
