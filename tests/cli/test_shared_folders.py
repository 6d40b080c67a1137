"""A folder in which others could change what a pass relies on: refused before, and told by who looks."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync
from tests.cli.test_exit_codes import assert_two_lines
from tests.support.feed_simulator import FeedSimulator

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


def test_what_is_typed_as_told_lets_the_pass_run(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o775)
    ctisync.environ["CTISYNC_STORE__URL"] = f"sqlite:///{folder}/ctisync.db"
    told = ctisync.run("sync", "-q").stderr
    assert f"try: chmod go-w {folder}; or" in told

    folder.chmod(0o755)
    assert ctisync.run("sync", "-q").returncode == 0
    assert feed.asked("snapshot")


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
    assert feed.asked("info")


def test_a_demo_that_is_kept_can_be_gone_on_with_under_any_umask(ctisync: Ctisync, tmp_path: Path) -> None:
    started = ctisync.start("demo", "--keep", str(tmp_path / "kept"), umask=0o002)
    _, told = started.communicate(timeout=120)
    assert started.returncode == 0, told.decode()
