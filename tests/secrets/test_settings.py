"""Secrets on their way in: every form works, none is lost sight of, and no mistake around one shows it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ctisync.cli.app import command_line
from ctisync.settings import load_settings
from tests.secrets.commands import FORMATS
from tests.secrets.conftest import MakeStage
from tests.secrets.settings import FORMS, SECRETS, Form, configure
from tests.secrets.stage import KEY, LOGIN, RECEIVERS, USER, Stage


def test_every_setting_that_is_a_secret_has_its_receiver() -> None:
    assert SECRETS.keys() == RECEIVERS.keys()


@pytest.mark.parametrize("form", FORMS)
def test_every_secret_setting_is_typed_as_one_and_shows_itself_nowhere(tmp_path: Path, form: Form) -> None:
    names = {f"CTISYNC_{name}": USER for name in ("STORE__USERNAME", "COMMAND_MANAGER__USERNAME")}
    environ = {**configure(form, tmp_path), **names}
    settings = load_settings(None, environ, system_file=tmp_path / "none").settings

    assert {canary.text for canary in SECRETS.values()} <= {*settings.secrets}
    assert not any(canary.codes[0] in f"{settings!r} {settings}" for canary in SECRETS.values())


def commands(command: Any) -> Iterator[Any]:
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from commands(each)


def test_no_command_takes_a_secret_as_an_option() -> None:
    words = {name.rpartition(".")[2] for name in SECRETS}
    for command in commands(command_line()):
        for option in command.params:
            assert not {*option.name.split("_")} & words, f"{command.name} {option.name}"


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_reaches_its_receiver_in_every_form_and_nobody_else(
    on_sqlite: MakeStage, form: Form
) -> None:
    stage = on_sqlite(form)
    stage.publish()
    well = stage.run("sync", "-v")
    stage.closed_store()
    refused = stage.run("status", "-v")

    assert (well.code, refused.code) == (0, 3), refused.stderr.decode()
    assert all(map(stage.has_requests, RECEIVERS.values()))
    assert stage.strays() == []
    assert well.leaks() == refused.leaks() == []


def _config(text: str) -> dict[str, str]:
    return {"config": text}


TOKEN: Final = json.dumps(SECRETS["cti.token"].text)
WITH_LOGIN: Final = f"me:{LOGIN.text}@127.0.0.1:1"

MISTAKES: Final = {
    "a key that is none": _config(f"[cti]\ntokn = {TOKEN}"),
    "a section that is none": _config(f"[ctii]\ntoken = {TOKEN}"),
    "a key without its section": _config(f"token = {TOKEN}"),
    "a list for a text": _config(f"[cti]\ntoken = [{TOKEN}]"),
    "a table for a text": _config(f"[cti]\ntoken = {{ value = {TOKEN} }}"),
    "a text for a section": _config(f"cti = {TOKEN}"),
    "a text for a number": _config(f"[store]\nshards = {TOKEN}"),
    "a text for a choice": _config(f"on_feed_reset = {TOKEN}"),
    "a text for truth": _config(f"[command_manager]\nenabled = {TOKEN}"),
    "no closing quote": _config(f"[cti]\ntoken = {TOKEN[:-1]}\n"),
    "no quotes": _config(f"[cti]\ntoken = {SECRETS['cti.token'].text}\n"),
    "a value twice": _config(f"[cti]\ntoken = {TOKEN}\ntoken = {TOKEN}\n"),
    "a password without a user": _config(f'[store]\npassword = "{LOGIN.text}"'),
    "set in two places": {"config": f"[cti]\ntoken = {TOKEN}", "CTISYNC_CTI__TOKEN_FILE": __file__},
    "a variable that is none": {"CTISYNC_CTI__TOKN": SECRETS["cti.token"].text},
    "a token with a space": {"CTISYNC_CTI__TOKEN": f"{SECRETS['cti.token'].text} x"},
    "a token of other letters": {"CTISYNC_CTI__TOKEN": f"{SECRETS['cti.token'].text}é"},
    "a header with a space": {"CTISYNC_CTI__HEADERS": json.dumps({"a": f"{LOGIN.text} "})},
    "a header of other letters": {"CTISYNC_CTI__HEADERS": json.dumps({"a": f"{LOGIN.text}é"})},
    "a header of two lines": {"CTISYNC_CTI__HEADERS": json.dumps({"a": f"{LOGIN.text}\nb"})},
    "a header in a list": {"CTISYNC_CTI__HEADERS": json.dumps({"a": [LOGIN.text]})},
    "a header's own table": {"CTISYNC_CTI__HEADERS": json.dumps({"a": {"value": LOGIN.text}})},
    "a header that is ours": {"CTISYNC_CTI__HEADERS": json.dumps({"Host": LOGIN.text})},
    "headers as a text": {"CTISYNC_CTI__HEADERS": json.dumps(LOGIN.text)},
    "a number that is none": {"CTISYNC_STORE__REPLICAS": SECRETS["store.password"].text},
    "JSON that is none": {"CTISYNC_CONSUMERS": f'[{{"consumer": "{LOGIN.text}'},
    "hosts that are none": {"CTISYNC_CTI__ALLOWED_HOSTS": json.dumps([WITH_LOGIN])},
    "a login in the feed's URL": {"CTISYNC_CTI__URL": f"https://{WITH_LOGIN}/api/v1"},
    "a login in the feed's URL, without a scheme": {"CTISYNC_CTI__URL": WITH_LOGIN},
    "a query in the feed's URL": {"CTISYNC_CTI__URL": f"https://127.0.0.1:1/?key={LOGIN.text}"},
    "a login in the store's URL": {"CTISYNC_STORE__URL": f"https://{WITH_LOGIN}"},
    "a login in one of two": {"CTISYNC_STORE__URL": f"https://127.0.0.1:1,{WITH_LOGIN}"},
    "a query in the store's URL": {"CTISYNC_STORE__URL": f"https://127.0.0.1:1/?key={LOGIN.text}"},
    "a login for another store": {"CTISYNC_STORE__URL": f"postgres://{WITH_LOGIN}/x"},
    "a login for a file": {"CTISYNC_STORE__URL": f"sqlite://{WITH_LOGIN}/x.db"},
    "a key for a file": {"CTISYNC_STORE__URL": f"sqlite:///x.db?key={LOGIN.text}"},
    "a login in the manager's URL": {"CTISYNC_COMMAND_MANAGER__URL": f"https://{WITH_LOGIN}"},
    "a login in a proxy's URL": {"HTTP_PROXY": f"ftp://{WITH_LOGIN}"},
    "a proxy's password that breaks its URL": {"HTTP_PROXY": f"http://me:{LOGIN.text[:20]}#/{WITH_LOGIN[20:]}"},
    "a proxy's port that is none": {"ALL_PROXY": f"http://me:{LOGIN.text}@127.0.0.1:{LOGIN.codes[0]}"},
    "a proxy of another kind": {"ALL_PROXY": f"socks5://{WITH_LOGIN}"},
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_mistake_around_a_secret_shows_it(on_sqlite: MakeStage, mistake: str) -> None:
    stage = on_sqlite()
    log_format = FORMATS[list(MISTAKES).index(mistake) % len(FORMATS)]
    forget(stage)
    for name, value in MISTAKES[mistake].items():
        if name == "config":
            (stage.folder / "given" / "ctisync" / "config.toml").write_text(value)
        else:
            stage.environ[name] = value

    ended = stage.run("sync", "-v", "--log-format", log_format)

    assert ended.code == 3, ended.stderr.decode()
    assert ended.leaks() == [], ended.stderr.decode()


def forget(stage: Stage) -> None:
    """Set no secret but the one that the test is about."""
    for name in [name for name in stage.environ if name.startswith("CTISYNC_STORE__")]:
        del stage.environ[name]
    for setting in SECRETS:
        stage.environ.pop(f"CTISYNC_{setting.replace('.', '__').upper()}", None)


@pytest.mark.parametrize("setting", ["store", "command_manager"])
@pytest.mark.parametrize("content", ["{}", "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"])
def test_a_private_key_that_is_none_is_not_shown(on_sqlite: MakeStage, setting: str, content: str) -> None:
    stage = on_sqlite()
    stage.publish()
    key = stage.folder / "given" / "key.pem"
    key.write_text(content.format(KEY.text))
    place = f"CTISYNC_{setting.upper()}__"
    stage.environ |= {
        f"{place}URL": "https://127.0.0.1:1",
        f"{place}CLIENT_CERT": str(key),
        f"{place}CLIENT_KEY": str(key),
    }

    ended = stage.run("sync", "-v")

    assert ended.code == 3, ended.stderr.decode()
    assert ended.leaks() == []
