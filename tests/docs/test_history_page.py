"""docs/history.md: its commands run, its members are those of the documents, its schema takes each line."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.docs import page
from tests.docs.shell import ROOT, run
from tests.support import feed_failures as failures
from tests.support.feed_simulator import FeedSimulator
from tests.support.json_schema import mistakes

PAGE = (ROOT / "docs" / "history.md").read_text()
SCHEMA = json.loads((ROOT / "docs" / "log-line.schema.json").read_text())


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """One that gives up soon."""
    return environment | {"CTISYNC_CTI__RETRY_BUDGET": "0.2", "CTISYNC_CTI__COOLDOWN": "0"}


def test_each_command_shown_does_what_it_says(
    environment: dict[str, str], tmp_path: Path, feed: FeedSimulator
) -> None:
    feed.history.create("CVE-2024-3094")
    assert run("ctisync sync -q", environment, tmp_path).stderr == ""
    lines = [line for block in page.blocks(PAGE, "sh") for line in page.commands(block.text)]
    assert len(lines) == 8
    for line in lines:
        ended = run(line, environment, tmp_path)
        assert (ended.returncode, ended.stderr) == (0, ""), line
        assert ended.stdout or "--html" in line
    assert (tmp_path / "history.html").exists()


def test_each_member_of_a_pass_is_in_the_table(environment: dict[str, str], tmp_path: Path) -> None:
    run("ctisync sync -q", environment, tmp_path)
    (one,) = json.loads(run("ctisync history --json", environment, tmp_path).stdout)["consumers"]
    rows = re.findall(r"^\| ([^|]*) \|", PAGE, re.MULTILINE)
    assert set(one["passes"][0]) == set(re.findall(r"`(\w+)`", " ".join(rows)))


def test_each_member_of_a_line_of_the_log_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    run("ctisync sync -q", environment, tmp_path)
    lines = [
        json.loads(line) for line in run("ctisync log --json", environment, tmp_path).stdout.splitlines()
    ]
    assert {member for line in lines for member in line} <= set(re.findall(r"`(\w+)`", PAGE))
    assert {line["how"] for line in lines} >= {"loaded", "updated"}


def test_the_query_finds_the_passes(environment: dict[str, str], tmp_path: Path) -> None:
    run("ctisync sync -q", environment, tmp_path)
    (query,) = [block.text for block in page.blocks(PAGE, "sql")]
    with closing(sqlite3.connect(next(tmp_path.rglob("ctisync.db")))) as connection:
        ((_, outcome, start, end, changes),) = connection.execute(query).fetchall()
    assert (outcome, start, changes) == ("up-to-date", 0, 30)
    assert end > 0


def logged(ended: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.stderr.splitlines()]


def test_the_schema_takes_each_line_and_knows_each_field(
    environment: dict[str, str], feed: FeedSimulator, tmp_path: Path
) -> None:
    """First load, failed requests, a block, an error, a hook, what --from guesses: whatever is easily had."""
    options = "-v --log-format json"
    environment["CTISYNC_HOOKS__ON_UPDATE"] = '["true"]'
    lines = logged(run(f"ctisync sync {options}", environment, tmp_path))
    feed.fail("info", failures.status(503), times=1)
    lines += logged(run(f"ctisync sync {options}", environment, tmp_path))
    feed.history.poison(feed.history.names()[0])
    for _ in range(2):
        lines += logged(run(f"ctisync sync {options}", environment, tmp_path))
    feed.fail("info", failures.status(503), times=100)
    lines += logged(run(f"ctisync sync {options}", environment, tmp_path))
    (snapshot,) = feed.files.values()
    (tmp_path / "given.zip").write_bytes(snapshot.body)
    lines += logged(run(f"ctisync init-snapshot --from given.zip {options}", environment, tmp_path))
    assert len({line["event"] for line in lines}) >= 12
    assert [mistake for line in lines for mistake in mistakes(SCHEMA, line)] == []
    assert {field for line in lines for field in line} <= SCHEMA["properties"].keys()


def test_the_schema_refuses_what_is_no_line() -> None:
    assert mistakes(SCHEMA, {"time": "2026-03-01T12:00:00Z", "level": "loud", "event": "x"})
    assert mistakes(SCHEMA, {"time": "2026-03-01T12:00:00Z", "level": "info", "event": "x", "offset": "3"})
