"""Which parts a set of settings comes to, and where credentials go."""

from pathlib import Path

import pytest

from ctisync.core.model import Consumer
from ctisync.errors import ConfigurationError, StoreUnavailable
from ctisync.host_files import consumer_lock, index_path
from ctisync.settings import Settings, load_settings
from ctisync.system.clock import SystemClock
from ctisync.wiring import command_manager, opened_store, policy
from tests.support.command_manager import CommandManagerStandIn


def settings(tmp_path: Path, **environ: str) -> Settings:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "CTISYNC_STATE_DIR": str(tmp_path / "state"), **environ}
    return load_settings(None, environ, system_file=tmp_path / "none").settings


LOGIN = {"CTISYNC_STORE__USERNAME": "admin", "CTISYNC_STORE__PASSWORD": "store-password"}


def sent_header(loaded: Settings, manager: CommandManagerStandIn) -> str | None:
    """The Authorization header that the Command Manager gets."""
    client = command_manager(loaded, SystemClock())
    assert client is not None
    client.send_update("wazuh-cve", 1)
    return manager.requests[-1][0].get("authorization")


def test_the_stores_credentials_go_to_a_command_manager_at_its_own_origin(tmp_path: Path) -> None:
    with CommandManagerStandIn() as manager:
        expected = "Basic YWRtaW46c3RvcmUtcGFzc3dvcmQ="
        assert sent_header(settings(tmp_path, CTISYNC_STORE__URL=manager.url, **LOGIN), manager) == expected
        named = settings(
            tmp_path,
            CTISYNC_STORE__URL=manager.url,
            CTISYNC_COMMAND_MANAGER__URL=f"{manager.url}/",
            **LOGIN,
        )
        assert sent_header(named, manager) == expected


def test_the_stores_credentials_go_to_no_other_origin(tmp_path: Path) -> None:
    with CommandManagerStandIn() as manager, CommandManagerStandIn() as store:
        for store_url in (store.url, "sqlite:////tmp/x.db"):
            loaded = settings(
                tmp_path, CTISYNC_STORE__URL=store_url, CTISYNC_COMMAND_MANAGER__URL=manager.url, **LOGIN
            )
            assert sent_header(loaded, manager) is None


def test_credentials_of_its_own_go_to_the_command_manager(tmp_path: Path) -> None:
    with CommandManagerStandIn() as manager:
        loaded = settings(
            tmp_path,
            CTISYNC_STORE__URL=manager.url,
            CTISYNC_COMMAND_MANAGER__USERNAME="me",
            CTISYNC_COMMAND_MANAGER__PASSWORD="pw",
            **LOGIN,
        )
        assert sent_header(loaded, manager) == "Basic bWU6cHc="


@pytest.mark.parametrize(
    ("environ", "enabled"),
    [
        ({}, False),
        ({"CTISYNC_COMMAND_MANAGER__URL": "http://h:9200"}, True),
        ({"CTISYNC_STORE__URL": "http://h:9200"}, True),
        ({"CTISYNC_STORE__URL": "http://h:9200", "CTISYNC_COMMAND_MANAGER__ENABLED": "false"}, False),
        (
            {"CTISYNC_COMMAND_MANAGER__URL": "http://h:9200", "CTISYNC_COMMAND_MANAGER__ENABLED": "false"},
            False,
        ),
    ],
)
def test_a_command_is_sent_if_the_store_is_opensearch_or_a_url_is_set(
    tmp_path: Path, environ: dict[str, str], enabled: bool
) -> None:
    assert (command_manager(settings(tmp_path, **environ), SystemClock()) is not None) == enabled


def test_the_state_folder_is_made_for_its_user_only(tmp_path: Path) -> None:
    loaded = settings(tmp_path)

    with consumer_lock(loaded, Consumer(), SystemClock(), "test"):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["ctisync.db.vd_1.0.0.vd_4.8.0.lock"]


@pytest.mark.parametrize("store", ["sqlite:///{}/x.db", "http://h:9200"])
def test_no_lock_is_made_in_a_folder_that_others_may_write_to(tmp_path: Path, store: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o775)
    loaded = settings(tmp_path, CTISYNC_STORE__URL=store.format(folder))
    with (
        pytest.raises(ConfigurationError, match="other users can write") as caught,
        consumer_lock(loaded, Consumer(), SystemClock(), "test"),
    ):
        pass
    assert f"chmod go-w {folder}" in str(caught.value.hint)
    assert list(folder.iterdir()) == []


def test_the_lock_for_a_server_lies_in_the_state_folder(tmp_path: Path) -> None:
    with consumer_lock(
        settings(tmp_path, CTISYNC_STORE__URL="http://h:9200"), Consumer(), SystemClock(), "test"
    ):
        (path,) = (tmp_path / "state").iterdir()
    assert path.name.endswith(".vd_1.0.0.vd_4.8.0.lock")


def test_a_state_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with (
        pytest.raises(StoreUnavailable, match="cannot create the state folder"),
        consumer_lock(settings(tmp_path), Consumer(), SystemClock(), "test"),
    ):
        pass


def test_a_folder_that_somebody_configured_is_not_made(tmp_path: Path) -> None:
    loaded = settings(tmp_path, CTISYNC_STORE__URL=f"sqlite:///{tmp_path}/typo/x.db")
    with (
        pytest.raises(ConfigurationError) as caught,
        opened_store(loaded, SystemClock()),
    ):
        pass
    assert caught.value.hint == f"mkdir -p {tmp_path}/typo"
    assert not (tmp_path / "typo").exists()


def test_the_policy_is_that_of_the_settings(tmp_path: Path) -> None:
    loaded = settings(tmp_path, CTISYNC_ON_FEED_RESET="init", CTISYNC_REINIT_INTERVAL="60")
    update = policy(loaded, "update")
    assert (update.mode, update.on_feed_reset, update.reinit_interval.total_seconds()) == (
        "update",
        "init",
        60,
    )


def test_who_cannot_write_beside_the_content_has_the_index_in_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, who may write everywhere, the tests cannot try it in a folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    loaded = settings(tmp_path)
    beside = index_path(loaded, Consumer())
    assert beside.parent == loaded.state_dir
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert index_path(loaded, Consumer()).parent == tmp_path / "cache" / "ctisync"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("~/.cache", name))
    with pytest.raises(StoreUnavailable, match="no place for the search index"):
        index_path(loaded, Consumer())
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    other = settings(tmp_path, CTISYNC_STATE_DIR=str(tmp_path / "other"))
    assert index_path(loaded, Consumer()) != index_path(other, Consumer())
