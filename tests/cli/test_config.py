"""The commands about the settings, as they are typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from ctisync.settings.toml_text import sample
from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import FeedSimulator, unused_port

SECRETS = {
    "CTISYNC_CTI__TOKEN": "canary-token",
    "CTISYNC_STORE__URL": "https://h:9200",
    "CTISYNC_STORE__USERNAME": "me",
    "CTISYNC_STORE__PASSWORD": "canary-password",
}


def written(ctisync: Ctisync, text: str) -> Path:
    file = ctisync.home / "config" / "ctisync" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def shown(ctisync: Ctisync, **environ: str) -> dict[str, Any]:
    ended = ctisync.run("config", "show", "--json", **environ)
    assert ended.returncode == 0, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def test_each_setting_is_shown_with_the_place_that_set_it(ctisync: Ctisync) -> None:
    file = written(ctisync, "[store]\nshards = 2\nreplicas = 3\n[[consumers]]\nindex = 'i'")
    credentials = ctisync.home / "credentials"
    credentials.mkdir()
    (credentials / "cti.token").write_text("canary-token")
    found = shown(ctisync, CTISYNC_STORE__REPLICAS="5", CREDENTIALS_DIRECTORY=str(credentials))
    settings = {one["setting"]: (one["value"], one["origin"]) for one in found["settings"]}

    assert settings["store.shards"] == (2, f"{file}: store.shards")
    assert settings["store.replicas"] == (5, "CTISYNC_STORE__REPLICAS")
    assert settings["cti.token"] == ("***", "credential cti.token")
    assert settings["store.codec"] == ("default", None)
    assert settings["store.password"] == (None, None)
    assert settings["state_dir"] == (str(ctisync.home / "state" / "ctisync"), None)
    assert settings["consumers"][0][0]["index"] == "i"
    assert {each["path"]: each["read"] for each in found["files"]}[str(file)] is True

    text = ctisync.run("config", "show", CTISYNC_STORE__REPLICAS="5").stdout
    lines = {line.partition("  #")[0].rstrip(): line.partition("  # ")[2] for line in text.splitlines()}
    assert lines["store.shards = 2"] == f"{file}: store.shards"
    assert lines["store.replicas = 5"] == "CTISYNC_STORE__REPLICAS"
    assert lines['consumers[0].index = "i"'] == f"{file}: consumers"
    assert lines['store.codec = "default"'] == "default"
    assert f"# {file}: read" in text


def test_the_state_folder_that_systemd_gives_is_told_as_its(ctisync: Ctisync) -> None:
    settings = shown(ctisync, STATE_DIRECTORY="/var/lib/ctisync")["settings"]
    assert {"setting": "state_dir", "value": "/var/lib/ctisync", "origin": "STATE_DIRECTORY"} in settings


def test_no_secret_is_shown(ctisync: Ctisync) -> None:
    (ctisync.home / "token").write_text("canary-file")
    by_file = {**SECRETS, "CTISYNC_CTI__TOKEN": "", "CTISYNC_CTI__TOKEN_FILE": str(ctisync.home / "token")}
    for environ in (SECRETS, by_file):
        for form in ((), ("--json",)):
            ended = ctisync.run("config", "show", "-v", *form, **environ)
            assert ended.returncode == 0
            assert "***" in ended.stdout
            assert "canary" not in ended.stdout + ended.stderr
    assert "canary" not in ctisync.run("config", "check", "-v", **by_file).stderr


def test_the_proxies_are_shown_without_what_is_secret_in_them(ctisync: Ctisync) -> None:
    proxies = {"HTTPS_PROXY": "http://me:canary@proxy:3128", "no_proxy": "localhost,.example.com"}

    assert shown(ctisync, **proxies)["proxies"] == {**proxies, "HTTPS_PROXY": "http://proxy:3128"}
    text = ctisync.run("config", "show", **proxies).stdout
    assert "# HTTPS_PROXY: the feed is asked through http://proxy:3128" in text
    assert "# no_proxy: but not for localhost,.example.com" in text
    assert "canary" not in text


def test_the_feed_is_asked_through_the_proxy_but_for_the_hosts_that_are_spared(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    proxy = f"http://127.0.0.1:{unused_port()}"

    assert ctisync.run("sync", "-q", HTTP_PROXY=proxy).returncode == 5
    assert feed.requests == []
    assert ctisync.run("sync", "-q", HTTP_PROXY=proxy, NO_PROXY="127.0.0.1").returncode == 0


def test_settings_that_can_be_used_are_told_so(ctisync: Ctisync) -> None:
    ended = ctisync.run("config", "check")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the settings can be used\n", "")
    ended = ctisync.run("config", "check", "-q")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("command", ["check", "show"])
@pytest.mark.parametrize(
    "environ",
    [{"CTISYNC_CTI__URLL": "x"}, {"CTISYNC_STORE__CA_FILE": "/no/such"}, {"CTISYNC_STORE__PASSWORD": "x"}],
)
def test_a_mistake_is_told_as_any_command_would(
    ctisync: Ctisync, command: str, environ: dict[str, str]
) -> None:
    ended, other = ctisync.run("config", command, **environ), ctisync.run("status", **environ)

    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == other.stderr


def test_a_doubt_is_a_warning_and_no_failure(ctisync: Ctisync) -> None:
    file = written(ctisync, '[cti]\ntoken = "canary"')
    file.chmod(0o644)
    ended = ctisync.run("config", "check", "-q", "--log-format", "json")

    assert ended.returncode == 0
    told = json.loads(ended.stderr)
    assert (told["level"], told["hint"]) == ("warning", f"chmod 600 {file}")
    assert str(file) in told["message"]
    assert "canary" not in ended.stderr


def test_a_settings_file_is_begun_where_there_is_none(ctisync: Ctisync) -> None:
    file = ctisync.home / "config" / "ctisync" / "config.toml"
    ended = ctisync.run("config", "init", "--output", str(file))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert file.read_text() == sample() == ctisync.run("config", "init").stdout
    assert ctisync.run("config", "check").returncode == 0


def test_no_settings_file_is_written_over(ctisync: Ctisync) -> None:
    file = written(ctisync, "[cti]\nretry_budget = 3\n")
    ended = ctisync.run("config", "init", "--output", str(file))

    assert ended.returncode == 2
    assert f"cannot write to {file}: File exists" in ended.stderr
    assert file.read_text() == "[cti]\nretry_budget = 3\n"


def test_a_settings_file_that_cannot_be_written_is_told(ctisync: Ctisync) -> None:
    ended = ctisync.run("config", "init", "--output", "/dev/null/config.toml")
    assert ended.returncode == 2
    assert "cannot write to /dev/null/config.toml: " in ended.stderr


def test_the_schema_is_json(ctisync: Ctisync) -> None:
    assert json.loads(ctisync.run("config", "schema").stdout)["$ref"] == "#/$defs/Settings"
