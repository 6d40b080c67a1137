"""docs/watches.md: its settings are good, its commands run, its webhook and its mail arrive."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from ctisync.core.watches import How
from ctisync.settings.model import WatchSettings
from ctisync.settings.schema import field_types
from tests.docs import page
from tests.docs.shell import ROOT, run
from tests.support.feed_simulator import FeedSimulator
from tests.support.http_server import HttpHandler, HttpServer

PAGE = (ROOT / "docs" / "watches.md").read_text()
SETTINGS, WEBHOOK = (block.text for block in page.blocks(PAGE, "toml"))

SHOWN = json.loads(page.blocks(PAGE, "json")[0].text)


def advisory(product: str) -> dict[str, Any]:
    container = {
        "title": "A hole",
        "providerMetadata": {"x_subShortName": "nvd"},
        "affected": [{"vendor": "acme", "product": product}],
        "metrics": [{"cvssV3_1": {"baseScore": 9.8, "baseSeverity": "CRITICAL"}}],
    }
    return {"cveMetadata": {"state": "PUBLISHED"}, "containers": {"cna": container}}


class _Receiver(HttpHandler):
    bodies: list[bytes] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.bodies.append(self.read_body())
        self.send(200, b"", {})


@pytest.fixture
def receiver() -> Iterator[HttpServer]:
    _Receiver.bodies.clear()
    with HttpServer(_Receiver) as server:
        yield server


@pytest.fixture
def watching(environment: dict[str, str], tmp_path: Path) -> Path:
    """The settings file of the page, with a hook that does nothing."""
    file = tmp_path / ".config" / "ctisync" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(SETTINGS.replace('["/usr/local/bin/mail-matches"]', '["true"]'))
    return file


def reported(feed: FeedSimulator, environment: dict[str, str], folder: Path) -> None:
    """A pass with which the watches begin, and one that has something to report."""
    assert run("ctisync sync -q", environment, folder).stderr == ""
    feed.history.create("CVE-2026-1234", advisory("openssl"))
    ended = run("ctisync sync -q", environment, folder)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_commands_of_the_page_run_with_its_settings(
    environment: dict[str, str], tmp_path: Path, feed: FeedSimulator, watching: Path
) -> None:
    reported(feed, environment, tmp_path)
    lines = page.commands(page.blocks(PAGE, "sh")[0].text)
    assert len(lines) == 3
    ended = [run(line, environment, tmp_path) for line in lines]
    assert [(each.returncode, each.stderr) for each in ended] == [(0, "")] * 3
    assert json.loads(ended[-1].stdout).keys() == SHOWN.keys()


def test_the_hook_gets_the_members_that_the_page_shows(
    environment: dict[str, str], tmp_path: Path, feed: FeedSimulator, watching: Path
) -> None:
    environment["CTISYNC_HOOKS__ON_MATCH"] = json.dumps(["sh", "-c", f"cat > {tmp_path}/matches"])

    reported(feed, environment, tmp_path)

    document = json.loads((tmp_path / "matches").read_text())
    (item,), (shown,) = document["records"], SHOWN["records"]
    assert (document.keys(), item.keys()) == (SHOWN.keys(), shown.keys())


def test_each_condition_and_each_how_is_in_its_table() -> None:
    conditions, reports = PAGE.split("## Conditions")[1].split("## What is reported")
    cells = re.findall(r"^\| (.*?) \|", conditions, re.MULTILINE)
    names = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted([*names, "name"]) == sorted(field_types(WatchSettings))
    table = reports.split("## The hook")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) - {"how"} == set(get_args(How))


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's webhook needs curl")
def test_the_webhook_of_the_page_gets_the_records(
    environment: dict[str, str], tmp_path: Path, feed: FeedSimulator, watching: Path, receiver: HttpServer
) -> None:
    argv = tomllib.loads(WEBHOOK)["hooks"]["on_match"]
    argv[0], argv[-1] = str(shutil.which("curl")), f"{receiver.url}/ctisync"
    environment["CTISYNC_HOOKS__ON_MATCH"] = json.dumps(argv)

    reported(feed, environment, tmp_path)

    (body,) = _Receiver.bodies
    assert [item["name"] for item in json.loads(body)["records"]] == ["CVE-2026-1234"]


def test_the_mail_of_the_page_names_each_record(
    environment: dict[str, str], tmp_path: Path, feed: FeedSimulator, watching: Path
) -> None:
    script = tmp_path / "mail-matches"
    script.write_text(page.blocks(PAGE, "python")[0].text)
    script.chmod(0o755)
    mail = tmp_path / "bin" / "mail"
    mail.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/mail\ncat >> {tmp_path}/mail\n')
    mail.chmod(0o755)
    environment["CTISYNC_HOOKS__ON_MATCH"] = json.dumps([str(script)])

    reported(feed, environment, tmp_path)

    assert (tmp_path / "mail").read_text().splitlines() == [
        "-s ctisync: our edge security@example.com",
        "new critical CVE-2026-1234 A hole",
    ]
