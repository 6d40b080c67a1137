"""docs/quick-start.md, typed from top to bottom by somebody with an empty home."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.docs import page
from tests.docs.reader import Reader
from tests.docs.shell import ROOT
from tests.docs.stage import LAST_OFFSET, RECORDS, generalised
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator

PAGE: Final = (ROOT / "docs" / "quick-start.md").read_text()
STEPS: Final = ["install", "demo", "settings", "doctor", "sync", "look", "install-for-all", "timer", "check"]
SINCE: Final = 120
"""Changes since the snapshot, as the page shows it."""

# `systemctl start ctisync.service`, where there is no systemd: the command of the unit that was installed.
SYSTEMCTL: Final = """#!/bin/sh
test "$*" = "start ctisync.service" || exit 0
command=$(sed -n 's,^ExecStart=/usr/local/bin/,,p' {units}/ctisync.service)
STATE_DIRECTORY={state} exec $command
"""


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator(first_offset=LAST_OFFSET - RECORDS) as simulator:
        populate(simulator.history, RECORDS)
        simulator.publish_snapshot()
        populate(simulator.history, SINCE, first=5000)
        yield simulator


@pytest.fixture
def reader(tmp_path: Path, feed: FeedSimulator) -> Reader:
    reader = Reader(tmp_path, feed)
    units, state = reader.place("/etc/systemd/system"), reader.place("/var/lib/ctisync")
    (reader.bin / "systemctl").write_text(SYSTEMCTL.format(units=units, state=state))
    return reader


def without_installing(script: str) -> str:
    """What installs is what tests/tooling/test_runtime_set.py installs, and is not done again here."""
    return "\n".join(page.commands(script))


def test_who_types_it_from_top_to_bottom_has_a_copy_that_a_timer_keeps_in_step(
    reader: Reader, feed: FeedSimulator
) -> None:
    assert [block.names for block in page.blocks(PAGE, "sh")] == [(step,) for step in STEPS]
    printed = {}
    for step, block in zip(STEPS, page.blocks(PAGE, "sh"), strict=True):
        script = without_installing(block.text) if step.startswith("install") else block.text
        ended = reader.type(script)
        assert ended.code == (1 if step == "doctor" else 0), f"{script}\n{ended.text}"
        printed[step] = ended.text

    assert (reader.home / ".config" / "ctisync" / "config.toml").exists()
    assert len((reader.home / "cve.ndjson").read_bytes().splitlines()) == len(feed.expected_lines())
    assert (reader.place("/var/lib/ctisync") / "ctisync.db").exists(), "the timer's own copy"
    for block in page.blocks(PAGE, "text"):
        step = {"status": "sync"}.get(block.names[0], block.names[0])
        assert generalised(block.text) in generalised(printed[step])


def test_what_installs_is_what_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text().splitlines()
    typed = [
        line
        for block in page.blocks(PAGE, "sh")
        if block.names[0].startswith("install")
        for line in block.text.splitlines()
        if not page.commands(line)
    ]
    assert typed
    assert [line for line in typed if line not in readme] == []
    assert "/usr/bin/python3 -m venv" in PAGE, "users of passes cannot read another Python"


def test_the_python_that_it_asks_for_is_the_oldest_that_is_supported() -> None:
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest is not None
    assert f"Python {oldest[1]} or later" in PAGE
