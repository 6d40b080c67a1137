"""What `ctisync config check` warns of: secrets that others can read, and settings that nothing looks at."""

from pathlib import Path

import pytest

from ctisync.settings import find
from ctisync.settings.doubts import doubts

OPENSEARCH = {"CTISYNC_STORE__URL": "https://h:9200"}
LOGIN = {**OPENSEARCH, "CTISYNC_STORE__USERNAME": "me"}


WarningLine = tuple[str, str]
"""Message and hint."""


def told(tmp_path: Path, environ: dict[str, str], config: str = "", mode: int = 0o644) -> list[WarningLine]:
    file = tmp_path / "config.toml"
    file.write_text(config)
    file.chmod(mode)
    found = find(file, {"HOME": str(tmp_path), **environ}, system_file=tmp_path / "none")
    return [(doubt.text, doubt.hint) for doubt in doubts(found)]


def secret_file(tmp_path: Path, mode: int) -> str:
    file = tmp_path / "secret"
    file.write_text("canary")
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_settings_file_with_a_secret_that_others_may_use_is_told(tmp_path: Path, mode: int) -> None:
    config = '[cti]\ntoken = "canary"\n[store]\nurl = "https://h"\nusername = "me"\npassword = "canary"'
    file = tmp_path / "config.toml"

    assert told(tmp_path, {}, config, mode) == [
        (
            f"{file} contains cti.token and store.password, but other users can read it",
            f"chmod 600 {file}",
        )
    ]
    assert told(tmp_path, {}, config, 0o600) == []


@pytest.mark.parametrize(
    ("setting", "environ"),
    [
        ("CTISYNC_CTI__TOKEN_FILE", {}),
        ("CTISYNC_STORE__PASSWORD_FILE", LOGIN),
        ("CTISYNC_STORE__CLIENT_KEY", {**OPENSEARCH, "CTISYNC_STORE__CLIENT_CERT": __file__}),
    ],
)
def test_a_secret_in_a_file_of_its_own_that_others_may_use_is_told(
    tmp_path: Path, setting: str, environ: dict[str, str]
) -> None:
    (found,) = told(tmp_path, {**environ, setting: secret_file(tmp_path, 0o640)})

    assert found[1] == f"chmod 600 {tmp_path}/secret"
    assert told(tmp_path, {**environ, setting: secret_file(tmp_path, 0o600)}) == []


def test_a_file_without_a_secret_and_a_secret_in_the_environment_are_nobodys_doubt(tmp_path: Path) -> None:
    assert told(tmp_path, {"CTISYNC_CTI__TOKEN": "canary"}, "[cti]\nretry_budget = 1") == []


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"CTISYNC_STORE__SHARDS": "2"}, "CTISYNC_STORE__SHARDS has no effect: the store is a SQLite file"),
        ({"CTISYNC_STORE__USERNAME": "me"}, "CTISYNC_STORE__USERNAME has no effect: the store is a SQLite"),
        ({"CTISYNC_STORE__CA_FILE": __file__}, "CTISYNC_STORE__CA_FILE has no effect: the store is a SQLite"),
        ({**OPENSEARCH, "CTISYNC_STORE__COMPRESSION": "none"}, "the store is OpenSearch; use store.codec"),
        ({"CTISYNC_COMMAND_MANAGER__TIMEOUT": "3"}, "update commands are disabled"),
        (
            {
                **OPENSEARCH,
                "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
                "CTISYNC_COMMAND_MANAGER__URL": "http://h",
            },
            "CTISYNC_COMMAND_MANAGER__URL has no effect: update commands are disabled",
        ),
        (
            {"CTISYNC_CTI__URL": "http://h", "CTISYNC_CTI__CA_FILE": __file__},
            "CTISYNC_CTI__CA_FILE has no effect: cti.url does not use TLS",
        ),
        (
            {"CTISYNC_STORE__URL": "http://h", "CTISYNC_STORE__CLIENT_CERT": __file__},
            "CTISYNC_STORE__CLIENT_CERT has no effect: store.url does not use TLS",
        ),
    ],
)
def test_a_setting_that_nothing_looks_at_is_told(
    tmp_path: Path, environ: dict[str, str], message: str
) -> None:
    ((found, hint),) = told(tmp_path, environ)

    assert message in found
    assert hint == "remove it"


def test_a_password_in_vain_is_told_by_the_setting_that_was_given(tmp_path: Path) -> None:
    given = {"CTISYNC_STORE__USERNAME": "me", "CTISYNC_STORE__PASSWORD_FILE": secret_file(tmp_path, 0o600)}

    assert [message.partition(" ")[0] for message, _ in told(tmp_path, given)] == list(given)


@pytest.mark.parametrize(
    "environ",
    [
        {**LOGIN, "CTISYNC_STORE__SHARDS": "2", "CTISYNC_STORE__CA_FILE": __file__},
        {"CTISYNC_STORE__COMPRESSION": "none"},
        {"CTISYNC_COMMAND_MANAGER__ENABLED": "false"},
        {"CTISYNC_COMMAND_MANAGER__URL": "http://h", "CTISYNC_COMMAND_MANAGER__TIMEOUT": "3"},
        {**OPENSEARCH, "CTISYNC_COMMAND_MANAGER__TIMEOUT": "3"},
        {"CTISYNC_CTI__URL": "https://h", "CTISYNC_CTI__CA_FILE": __file__},
        {
            "CTISYNC_CTI__URL": "http://127.0.0.1",
            "CTISYNC_CTI__TOKEN": "t",
            "CTISYNC_CTI__TOKEN_EXCHANGE_URL": "https://h",
            "CTISYNC_CTI__CA_FILE": __file__,
        },
    ],
)
def test_settings_that_have_an_effect_are_no_doubt(tmp_path: Path, environ: dict[str, str]) -> None:
    assert told(tmp_path, environ) == []


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
def test_a_secret_that_goes_to_another_machine_without_tls_is_told(
    tmp_path: Path, environ: dict[str, str], name: str, hint: str
) -> None:
    assert told(tmp_path, environ) == [
        (f"{name} goes over the network without TLS", f"set {hint} an https address")
    ]
    for here in ("127.0.0.1", "localhost", "[::1]"):
        at_home = {
            key: value.replace("elsewhere.example", here).replace("192.0.2.7", here)
            for key, value in environ.items()
        }
        assert told(tmp_path, at_home) == []
    assert told(tmp_path, {key: value.replace("http:", "https:") for key, value in environ.items()}) == []
