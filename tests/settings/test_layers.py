"""Where settings come from, and which source wins."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import Consumer
from ctisync.errors import ConfigurationError
from ctisync.settings import Settings, load_settings

Load = Callable[..., Settings]


@pytest.fixture
def settings(tmp_path: Path) -> Load:
    """`load` in a world of its own: `system`, `own` and `config` are texts of files, the rest variables."""

    def built(
        *, system: str | None = None, own: str | None = None, config: str | None = None, **environ: str
    ) -> Settings:
        files = {"system": system, "own/ctisync": own, "config": config}
        for name, text in files.items():
            if text is not None:
                (tmp_path / name).mkdir(parents=True, exist_ok=True)
                (tmp_path / name / "config.toml").write_text(text)
        environ = {"XDG_CONFIG_HOME": str(tmp_path / "own"), "STATE_DIRECTORY": "/var/lib/ctisync", **environ}
        chosen = None if config is None else tmp_path / "config" / "config.toml"
        return load_settings(chosen, environ, system_file=tmp_path / "system" / "config.toml").settings

    return built


def test_without_a_word_the_defaults_are_the_documented_ones(settings: Load) -> None:
    loaded = settings()

    assert loaded.cti.url == "https://cti.wazuh.com/api/v1"
    assert loaded.cti.retry_budget == 300
    assert loaded.followed == (Consumer("vd_1.0.0", "vd_4.8.0", "wazuh-cve", ("*",)),)
    assert loaded.store.url == "sqlite:////var/lib/ctisync/ctisync.db"
    assert loaded.command_manager.enabled is None
    assert loaded.command_manager.timeout == 30
    assert loaded.on_feed_reset == "refuse"
    assert loaded.reinit_interval == 86_400


def test_each_source_overrides_the_one_before_it_and_leaves_the_rest(settings: Load) -> None:
    files = {
        "system": '[store]\nurl = "http://system:9200"\nshards = 2\nreplicas = 3\n[cti]\nretry_budget = 60',
        "own": '[store]\nurl = "http://own:9200"\nshards = 4',
    }

    assert settings(system=files["system"]).store.url == "http://system:9200"
    assert settings(**files).store.url == "http://own:9200"
    loaded = settings(**files, CTISYNC_STORE__URL="http://env:9200")
    assert loaded.store.url == "http://env:9200"
    assert (loaded.store.shards, loaded.store.replicas, loaded.cti.retry_budget) == (4, 3, 60)


def test_a_config_file_that_is_named_takes_the_place_of_the_users_own(settings: Load) -> None:
    loaded = settings(
        own="[store]\nshards = 4", config="[store]\nreplicas = 7", system='on_feed_reset = "init"'
    )

    assert (loaded.store.shards, loaded.store.replicas, loaded.on_feed_reset) == (1, 7, "init")


def test_a_config_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*missing\.toml: No such file") as caught:
        load_settings(tmp_path / "missing.toml", {})
    assert caught.value.hint == f"ls -l {tmp_path}/missing.toml"


def test_variables_carry_numbers_truth_and_lists(settings: Load) -> None:
    loaded = settings(
        CTISYNC_STORE__SHARDS="3",
        CTISYNC_COMMAND_MANAGER__ENABLED="false",
        CTISYNC_CTI__RETRY_BUDGET="12.5",
        CTISYNC_CONSUMERS='[{"consumer": "a", "index": "i", "resources": ["CVE-*"]}, {"consumer": "b"}]',
    )

    assert loaded.store.shards == 3
    assert loaded.command_manager.enabled is False
    assert loaded.cti.retry_budget == 12.5
    assert loaded.followed == (
        Consumer("vd_1.0.0", "a", "i", ("CVE-*",)),
        Consumer("vd_1.0.0", "b", "wazuh-cve", ("*",)),
    )


def test_an_empty_variable_counts_as_not_set(settings: Load) -> None:
    assert settings(CTISYNC_CTI__TOKEN="", CTISYNC_STORE__SHARDS="").cti.token is None


def test_a_state_folder_that_is_set_holds_the_database_too(settings: Load, tmp_path: Path) -> None:
    loaded = settings(CTISYNC_STATE_DIR=str(tmp_path))

    assert loaded.state_dir == tmp_path
    assert loaded.store.url == f"sqlite:///{tmp_path}/ctisync.db"


def test_the_current_folder_may_be_the_state_folder(settings: Load) -> None:
    assert settings(CTISYNC_STATE_DIR=".").state_dir == Path.cwd()


def test_of_several_state_directories_of_systemd_the_first_counts(settings: Load) -> None:
    assert settings(STATE_DIRECTORY="/var/lib/a:/var/lib/b").state_dir == Path("/var/lib/a")


@pytest.mark.parametrize("source", ["file", "variable", "file setting", "file variable", "credential"])
def test_a_token_may_come_from_each_place_for_secrets(settings: Load, tmp_path: Path, source: str) -> None:
    file = tmp_path / "cti.token"
    file.write_text("s3cret-token\n")
    sources = {
        "file": {"own": '[cti]\ntoken = "s3cret-token"'},
        "variable": {"CTISYNC_CTI__TOKEN": "s3cret-token"},
        "file setting": {"own": f'[cti]\ntoken_file = "{file}"'},
        "file variable": {"CTISYNC_CTI__TOKEN_FILE": str(file)},
        "credential": {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    }[source]

    token = settings(**sources).cti.token

    assert token is not None
    assert token.reveal() == "s3cret-token"


def test_a_variable_weighs_more_than_a_credential_and_a_credential_more_than_a_file(
    settings: Load, tmp_path: Path
) -> None:
    (tmp_path / "store.password").write_text("credential")
    sources = {"own": '[store]\nusername = "me"\npassword = "file"', "CREDENTIALS_DIRECTORY": str(tmp_path)}

    password = settings(**sources).store.password
    assert password is not None
    assert password.reveal() == "credential"
    password = settings(**sources, CTISYNC_STORE__PASSWORD="variable").store.password
    assert password is not None
    assert password.reveal() == "variable"


def test_no_secret_shows_when_settings_are_printed(settings: Load) -> None:
    loaded = settings(
        CTISYNC_CTI__TOKEN="canary-1", CTISYNC_STORE__USERNAME="me", CTISYNC_STORE__PASSWORD="canary-2"
    )

    assert "canary" not in f"{loaded} {loaded!r} {loaded.cti.token} {loaded.cti.token!r}"
    assert set(loaded.secrets) == {"canary-1", "canary-2", "bWU6Y2FuYXJ5LTI="}  # as the login is sent


def test_limits_and_hosts_are_set_like_everything_else(settings: Load) -> None:
    text = '[limits]\nline_bytes = 1_000_000\npass_seconds = 0\n[cti]\nallowed_hosts = ["*.example.com:8443"]'
    loaded = settings(own=text, CTISYNC_LIMITS__JSON_DEPTH="50", CTISYNC_CTI__COOLDOWN="0")

    limits = loaded.limits
    assert (limits.line_bytes, limits.pass_seconds, limits.json_depth) == (1_000_000, 0, 50)
    assert limits.members == Limits().members
    assert (loaded.cti.allowed_hosts, loaded.cti.cooldown) == (("*.example.com:8443",), 0)


@pytest.mark.parametrize(
    "host", ["localhost", "10.0.0.5", "10.0.0.5:8080", "[::1]", "[2001:db8::5]:8443", "A-b.c_d"]
)
def test_each_name_of_a_host_is_valid(settings: Load, host: str) -> None:
    assert settings(CTISYNC_CTI__ALLOWED_HOSTS=f'["{host}"]').cti.allowed_hosts == (host,)


def test_a_list_of_state_folders_that_begins_with_none_does_not_mean_the_folder_one_stands_in(
    tmp_path: Path,
) -> None:
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "STATE_DIRECTORY": ":/a"}
    assert load_settings(None, environ, system_file=tmp_path / "none").sources == {}


@pytest.mark.parametrize("form", ["file", "variable", "file that names a file", "credential"])
def test_headers_are_texts_or_files_from_each_source(settings: Load, tmp_path: Path, form: str) -> None:
    (tmp_path / "uid").write_text("a-secret-id\n")
    (tmp_path / "cti.headers").write_text('{"wazuh-tag": "v5", "wazuh-uid": "a-secret-id"}')
    tag, uid = 'wazuh-tag = "v5"\nempty = ""', f'wazuh-uid = {{ file = "{tmp_path / "uid"}" }}'
    as_json = f'{{"wazuh-tag": "v5", "empty": "", "wazuh-uid": {{"file": "{tmp_path / "uid"}"}}}}'
    loaded = {
        "file": lambda: settings(own=f'[cti.headers]\n{tag}\nwazuh-uid = "a-secret-id"'),
        "variable": lambda: settings(own='[cti.headers]\nother = "x"', CTISYNC_CTI__HEADERS=as_json),
        "file that names a file": lambda: settings(own=f"[cti.headers]\n{tag}\n{uid}"),
        "credential": lambda: settings(CREDENTIALS_DIRECTORY=str(tmp_path)),
    }[form]()
    assert {name: value.reveal() for name, value in loaded.cti.headers.items()} == {
        "wazuh-tag": "v5",
        "wazuh-uid": "a-secret-id",
    }
    assert "a-secret-id" in loaded.secrets
    assert "a-secret-id" not in repr(loaded)
