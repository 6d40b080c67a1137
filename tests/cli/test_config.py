"""The commands about the settings, as they are typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from ctisync.settings.schema import template
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
    document = shown(ctisync, CTISYNC_STORE__REPLICAS="5", CREDENTIALS_DIRECTORY=str(credentials))
    settings = {one["setting"]: (one["value"], one["origin"]) for one in document["settings"]}

    assert settings["store.shards"] == (2, f"{file}: store.shards")
    assert settings["store.replicas"] == (5, "CTISYNC_STORE__REPLICAS")
    assert settings["cti.token"] == ("***", "credential cti.token")
    assert settings["store.codec"] == ("default", None)
    assert settings["store.password"] == (None, None)
    assert settings["state_dir"] == (str(ctisync.home / "state" / "ctisync"), None)
    assert settings["consumers"][0][0]["index"] == "i"
    assert {each["path"]: each["read"] for each in document["files"]}[str(file)] is True

    text = ctisync.run("config", "show", CTISYNC_STORE__REPLICAS="5").stdout
    lines = {line.partition("  #")[0].rstrip(): line.partition("  # ")[2] for line in text.splitlines()}
    assert lines["store.shards = 2"] == f"{file}: store.shards"
    assert lines["store.replicas = 5"] == "CTISYNC_STORE__REPLICAS"
    assert lines['consumers[0].index = "i"'] == f"{file}: consumers"
    assert lines['store.codec = "default"'] == "default"
    assert f"# {file}: read" in text


def test_the_state_folder_of_systemd_is_shown_as_such(ctisync: Ctisync) -> None:
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
    assert "# HTTPS_PROXY: proxy for the feed: http://proxy:3128" in text
    assert "# no_proxy: no proxy for: localhost,.example.com" in text
    assert "canary" not in text


def test_requests_to_the_feed_go_through_the_proxy_except_to_excluded_hosts(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    proxy = f"http://127.0.0.1:{unused_port()}"

    assert ctisync.run("sync", "-q", HTTP_PROXY=proxy).returncode == 5
    assert feed.requests == []
    assert ctisync.run("sync", "-q", HTTP_PROXY=proxy, NO_PROXY="127.0.0.1").returncode == 0


def test_settings_without_a_mistake_are_confirmed(ctisync: Ctisync) -> None:
    ended = ctisync.run("config", "check")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the settings are valid\n", "")
    ended = ctisync.run("config", "check", "-q")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("command", ["check", "show"])
@pytest.mark.parametrize(
    "environ",
    [{"CTISYNC_CTI__URLL": "x"}, {"CTISYNC_STORE__CA_FILE": "/no/such"}, {"CTISYNC_STORE__PASSWORD": "x"}],
)
def test_a_mistake_is_printed_as_any_command_would(
    ctisync: Ctisync, command: str, environ: dict[str, str]
) -> None:
    ended, other = ctisync.run("config", command, **environ), ctisync.run("status", **environ)

    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == other.stderr


def test_a_likely_mistake_is_a_warning_and_no_failure(ctisync: Ctisync) -> None:
    file = written(ctisync, '[cti]\ntoken = "canary"')
    file.chmod(0o644)
    ended = ctisync.run("config", "check", "-q", "--log-format", "json")

    assert ended.returncode == 0
    event = json.loads(ended.stderr)
    assert (event["level"], event["hint"]) == ("warning", f"chmod 600 {file}")
    assert str(file) in event["message"]
    assert "canary" not in ended.stderr


def test_a_settings_file_is_begun_where_there_is_none(ctisync: Ctisync) -> None:
    file = ctisync.home / "config" / "ctisync" / "config.toml"
    ended = ctisync.run("config", "init", "--output", str(file))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert file.read_text() == template() == ctisync.run("config", "init").stdout
    assert ctisync.run("config", "check").returncode == 0


def test_no_settings_file_is_written_over(ctisync: Ctisync) -> None:
    file = written(ctisync, "[cti]\nretry_budget = 3\n")
    ended = ctisync.run("config", "init", "--output", str(file))

    assert ended.returncode == 2
    assert f"cannot write to {file}: File exists" in ended.stderr
    assert file.read_text() == "[cti]\nretry_budget = 3\n"


def test_a_settings_file_that_cannot_be_written_is_an_error(ctisync: Ctisync) -> None:
    ended = ctisync.run("config", "init", "--output", "/dev/null/config.toml")
    assert ended.returncode == 2
    assert "cannot write to /dev/null/config.toml: " in ended.stderr


def test_the_schema_is_json(ctisync: Ctisync) -> None:
    assert json.loads(ctisync.run("config", "schema").stdout)["$ref"] == "#/$defs/Settings"


MISTAKEN = """
[cti]
urll = "https://cti.example"
retry_budget = "long"
[store]
shards = 0
[limits]
members = 0
[[consumers]]
indx = "a"
context = 7
[[consumers]]
consumer = "../x"
"""


def test_all_mistakes_are_printed_at_once(ctisync: Ctisync) -> None:
    file = written(ctisync, MISTAKEN)
    ended = ctisync.run("config", "check", CTISYNC_STORE__CODEC="zip", CTISYNC_STORRE__URL="x")

    assert (ended.returncode, ended.stdout) == (3, "")
    messages = [line for line in ended.stderr.splitlines() if line.startswith("ctisync: ")]
    assert [
        word
        for word in (
            f"{file}: unknown setting cti.urll",
            f"{file}: cti.retry_budget: expected",
            f"{file}: store.shards: expected",
            f"{file}: limits.members: expected",
            f"{file}: consumers[0]: unknown setting indx",
            f"{file}: consumers[0].context: expected",
            "CTISYNC_STORE__CODEC: expected",
            "unknown variable CTISYNC_STORRE__URL",
        )
        if not any(word in line for line in messages)
    ] == []
    assert len(messages) == 8


def test_settings_that_contradict_each_other_are_printed_beside_wrong_values(ctisync: Ctisync) -> None:
    file = written(
        ctisync,
        '[cti]\nurl = "ftp://h"\nallowed_hosts = ["a b"]\n[store]\npassword = "canary"\n'
        '[command_manager]\nurl = "nonsense"\nclient_key = "/no/such"\n[[consumers]]\nindex = "A"\n'
        '[[consumers]]\nconsumer = "b"\nindex = "B"\nresources = []\n',
    )
    ended = ctisync.run("config", "check", "--log-format", "json")

    assert ended.returncode == 3
    messages = [json.loads(line)["message"].removeprefix(f"{file}: ") for line in ended.stderr.splitlines()]
    assert [message.partition(": ")[0] for message in messages] == [
        "cti.url",
        "cti.allowed_hosts",
        "command_manager.url",
        "command_manager.client_key",
        "store.password",
        "command_manager.client_key",
        "consumers",
        "consumers",
        "consumers",
    ]
    assert "canary" not in ended.stderr


@pytest.mark.parametrize(
    "text",
    [
        '[store]\nurll = "https://h:9200"\n[command_manager]\nenabled = true\n',
        "[store]\nurl = 7\n[command_manager]\nenabled = true\n",
        '[store]\nusernamee = "me"\npassword = "x"\n',
        '[store]\nusername = 7\npassword = "x"\n',
    ],
)
def test_what_only_follows_from_a_mistake_is_not_printed_as_another(ctisync: Ctisync, text: str) -> None:
    written(ctisync, text)
    ended = ctisync.run("config", "check")
    assert ended.returncode == 3
    assert ended.stderr.count("ctisync: ") == 1


def test_a_file_that_cannot_be_read_does_not_hide_mistakes_elsewhere(ctisync: Ctisync) -> None:
    written(ctisync, "[cti\n")
    ended = ctisync.run("config", "check", CTISYNC_CTI__RETRY_BUDGET="long")
    assert ended.stderr.count("ctisync: ") == 2
    assert "is not valid TOML" in ended.stderr
    assert "CTISYNC_CTI__RETRY_BUDGET: expected" in ended.stderr


def test_any_other_command_prints_one_mistake_and_where_to_see_the_others(ctisync: Ctisync) -> None:
    written(ctisync, MISTAKEN)
    for words in (["status"], ["config", "show"]):
        message, hint = ctisync.run(*words).stderr.splitlines()
        assert "unknown setting cti.urll; the nearest is cti.url" in message
        assert message.endswith("; ctisync config check prints 5 more mistakes")
        assert hint == "  try: rename it to cti.url"


def test_doctor_prints_all_mistakes(ctisync: Ctisync) -> None:
    written(ctisync, MISTAKEN)
    document = json.loads(ctisync.run("doctor", "--json").stdout)
    assert [each["check"] for each in document["checks"]].count("settings") == 6


LISTED = """
[cti]
allowed_hosts = ["a.example", "b.example"]
[store]
url = "sqlite:////tmp/x.db"
[[consumers]]
index = "one"
[[consumers]]
consumer = "other"
index = "two"
resources = ["CVE-2024-*", "CVE-2025-*"]
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cti.url", "https://cti.example/api"),
        ("store.url", "sqlite:////tmp/x.db"),
        ("store.shards", "1"),
        ("limits.snapshot_bytes", "68719476736"),
        ("cti.load_while_downloading", "true"),
        ("cti.retry_budget", "0.2"),
        ("cti.token_file", ""),
        ("cti.allowed_hosts", "a.example\nb.example"),
        ("cti.allowed_hosts[1]", "b.example"),
        ("consumers[0].index", "one"),
        ("consumers[1].consumer", "other"),
        ("consumers[1].resources", "CVE-2024-*\nCVE-2025-*"),
        ("consumers[1].resources[0]", "CVE-2024-*"),
        ("hooks.on_update", ""),
    ],
)
def test_the_value_of_a_setting_is_all_that_get_prints(ctisync: Ctisync, name: str, value: str) -> None:
    written(ctisync, LISTED)
    ended = ctisync.run("config", "get", name, CTISYNC_CTI__URL="https://cti.example/api")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{value}\n", "")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("cti", "cti is not a single setting", "ctisync config show cti"),
        ("consumers", "consumers is not a single setting", "ctisync config show consumers"),
        ("consumers[0]", "consumers[0] is not a single setting", "ctisync config show 'consumers[0]'"),
        ("cti.urll", "unknown setting cti.urll", "ctisync config get cti.url"),
        ("consumers[2].index", "unknown setting", "ctisync config get 'consumers[1].index'"),
        ("consumers[0].indx", "unknown setting", "ctisync config get 'consumers[0].index'"),
        ("cti.allowed_hosts[x]", "unknown setting", "ctisync config get 'cti.allowed_hosts[1]'"),
        ("zzz", "unknown setting zzz", "ctisync config show (lists all settings)"),
        ("cti.token", "cti.token is a secret", "ctisync config show cti.token"),
    ],
)  # fmt: skip
def test_a_setting_that_get_cannot_print_is_an_error_with_what_to_type(
    ctisync: Ctisync, name: str, message: str, hint: str
) -> None:
    written(ctisync, LISTED)
    ended = ctisync.run("config", "get", name, CTISYNC_CTI__TOKEN="canary")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert f"  try: {hint}" in ended.stderr
    assert "canary" not in ended.stderr


def test_one_setting_of_a_list_is_shown(ctisync: Ctisync) -> None:
    file = written(ctisync, LISTED)
    for name, lines in (
        ("consumers[1].index", ['consumers[1].index = "two"']),
        ("consumers[0].resources[0]", ['consumers[0].resources[0] = "*"']),
        ("cti.allowed_hosts[0]", ['cti.allowed_hosts[0] = "a.example"']),
        ("consumers[0]", [
            'consumers[0].context = "vd_1.0.0"', 'consumers[0].consumer = "vd_4.8.0"',
            'consumers[0].index = "one"', 'consumers[0].resources = ["*"]',
            'consumers[0].consumer_url = ""',
        ]),
    ):  # fmt: skip
        printed = ctisync.run("config", "show", name).stdout.splitlines()
        shown = [line.partition("  #") for line in printed if not line.startswith("#")]
        assert [before.rstrip() for before, _, _ in shown] == lines
        assert {after.strip() for _, _, after in shown} == {f"{file}: {name.partition('[')[0]}"}
    document = json.loads(ctisync.run("config", "show", "consumers[1].index", "--json").stdout)
    assert document["settings"] == [
        {"setting": "consumers[1].index", "value": "two", "origin": f"{file}: consumers"}
    ]
    document = json.loads(ctisync.run("config", "show", "consumers[1]", "--json").stdout)
    assert [each["setting"] for each in document["settings"]] == [
        f"consumers[1].{name}" for name in ("context", "consumer", "index", "resources", "consumer_url")
    ]
    ended = ctisync.run("config", "show", "consumers[7]")
    assert (ended.returncode, ended.stdout) == (2, "")
