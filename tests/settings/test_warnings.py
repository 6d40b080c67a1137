"""What `ctisync config check` warns of: secrets that others can read, on this host or on the way."""

from pathlib import Path

import pytest

from ctisync.settings import load_settings
from ctisync.settings.checks import setting_warnings

OPENSEARCH = {"CTISYNC_STORE__URL": "https://h:9200"}
LOGIN = {**OPENSEARCH, "CTISYNC_STORE__USERNAME": "me"}


def warnings(
    tmp_path: Path, environ: dict[str, str], config: str = "", mode: int = 0o644
) -> list[tuple[str, str]]:
    """Message and hint of each."""
    file = tmp_path / "config.toml"
    file.write_text(config)
    file.chmod(mode)
    loaded = load_settings(file, {"HOME": str(tmp_path), **environ}, system_file=tmp_path / "none")
    return [(each.text, each.hint) for each in setting_warnings(loaded)]


def secret_file(tmp_path: Path, mode: int) -> str:
    file = tmp_path / "secret"
    file.write_text("canary")
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_settings_file_with_a_secret_that_others_may_use_is_a_warning(tmp_path: Path, mode: int) -> None:
    config = '[cti]\ntoken = "canary"\n[store]\nurl = "https://h"\nusername = "me"\npassword = "canary"'
    file = tmp_path / "config.toml"

    assert warnings(tmp_path, {}, config, mode) == [
        (
            f"{file} contains cti.token and store.password, but other users can read it",
            f"chmod 600 {file}",
        )
    ]
    assert warnings(tmp_path, {}, config, 0o600) == []


@pytest.mark.parametrize(
    ("setting", "environ"),
    [
        ("CTISYNC_CTI__TOKEN_FILE", {}),
        ("CTISYNC_STORE__PASSWORD_FILE", LOGIN),
        ("CTISYNC_STORE__CLIENT_KEY", {**OPENSEARCH, "CTISYNC_STORE__CLIENT_CERT": __file__}),
    ],
)
def test_a_secret_in_a_file_of_its_own_that_others_may_use_is_a_warning(
    tmp_path: Path, setting: str, environ: dict[str, str]
) -> None:
    ((_, hint),) = warnings(tmp_path, {**environ, setting: secret_file(tmp_path, 0o640)})

    assert hint == f"chmod 600 {tmp_path}/secret"
    assert warnings(tmp_path, {**environ, setting: secret_file(tmp_path, 0o600)}) == []


def test_a_file_without_a_secret_and_a_secret_in_the_environment_are_no_warning(tmp_path: Path) -> None:
    assert warnings(tmp_path, {"CTISYNC_CTI__TOKEN": "canary"}, "[cti]\nretry_budget = 1") == []


FAR = "http://elsewhere.example:9200"


@pytest.mark.parametrize(
    ("environ", "name", "hint"),
    [
        ({"CTISYNC_CTI__URL": FAR, "CTISYNC_CTI__TOKEN": "t"}, "cti.token", "cti.url to"),
        (
            {"CTISYNC_CTI__TOKEN_EXCHANGE_URL": FAR, "CTISYNC_CTI__TOKEN": "t"},
            "cti.token",
            "cti.token_exchange_url to",
        ),
        (
            {
                "CTISYNC_CTI__URL": FAR,
                "CTISYNC_CTI__TOKEN_EXCHANGE_URL": "https://console.example",
                "CTISYNC_CTI__TOKEN": "t",
            },
            "each signed link",
            "cti.url to",
        ),
        (
            {
                "CTISYNC_STORE__URL": "http://127.0.0.1:9200,elsewhere.example",
                "CTISYNC_STORE__USERNAME": "me",
                "CTISYNC_STORE__PASSWORD": "secret",
            },
            "store.password",
            "store.url to",
        ),
        (
            {
                "CTISYNC_COMMAND_MANAGER__URL": FAR,
                "CTISYNC_COMMAND_MANAGER__USERNAME": "me",
                "CTISYNC_COMMAND_MANAGER__PASSWORD": "secret",
            },
            "command_manager.password",
            "command_manager.url to",
        ),
        ({"CTISYNC_PING_URL": "http://192.0.2.7/uuid"}, "ping_url", "it to"),
    ],
)
def test_a_secret_that_goes_to_another_machine_without_tls_is_a_warning(
    tmp_path: Path, environ: dict[str, str], name: str, hint: str
) -> None:
    assert warnings(tmp_path, environ) == [
        (f"{name} goes over the network without TLS", f"set {hint} an https address")
    ]
    for here in ("127.0.0.1", "localhost", "[::1]"):
        at_home = {
            key: value.replace("elsewhere.example", here).replace("192.0.2.7", here)
            for key, value in environ.items()
        }
        assert warnings(tmp_path, at_home) == []
    assert warnings(tmp_path, {key: value.replace("http:", "https:") for key, value in environ.items()}) == []
