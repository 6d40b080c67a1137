"""docs/air-gap.md: what is carried over is whole on the other side, where nobody reaches the feed."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ctisync.settings import load_settings
from tests.docs import page
from tests.docs.reader import Reader
from tests.docs.shell import ROOT
from tests.docs.stage import LAST_OFFSET, RECORDS, generalised
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable

PAGE: Final = (ROOT / "docs" / "air-gap.md").read_text()
TYPED: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "sh")}
CARRIED: Final = ("cve.ndjson", "status.json", "SHA256SUMS")


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator(first_offset=LAST_OFFSET - RECORDS) as simulator:
        populate(simulator.history, RECORDS)
        simulator.publish_snapshot()
        yield simulator


@pytest.fixture
def inside(tmp_path: Path) -> Reader:
    return Reader(tmp_path / "inside", None)


def carry_over(outside: Reader, inside: Reader) -> None:
    for name in CARRIED:
        shutil.copy(outside.home / name, inside.home / name)


def assert_holds(reader: Reader, feed: FeedSimulator) -> None:
    exported = reader.types("ctisync export").encode().splitlines()
    assert [comparable(line) for line in exported] == [comparable(line) for line in feed.expected_lines()]


def test_each_block_is_typed_by_a_test() -> None:
    assert list(TYPED) == ["wheels", "install", "outside", "inside", "snapshot", "watch"]


def test_each_export_that_is_carried_over_is_the_content_on_the_other_side(
    tmp_path: Path, feed: FeedSimulator, inside: Reader
) -> None:
    outside = Reader(tmp_path / "outside", feed)
    for seed in (1, 2):
        churn(feed.history, 40, seed=seed)
        outside.types(TYPED["outside"])
        carry_over(outside, inside)
        inside.types(TYPED["inside"])
        assert_holds(inside, feed)

    status = json.loads(inside.types("ctisync status --json"))["consumers"][0]
    assert status["offset"] == feed.history.last_offset
    assert "CTISYNC OK" in inside.types(TYPED["watch"])


def test_what_was_damaged_on_the_way_is_not_loaded(
    tmp_path: Path, feed: FeedSimulator, inside: Reader
) -> None:
    outside = Reader(tmp_path / "outside", feed)
    outside.types(TYPED["outside"])
    carry_over(outside, inside)
    with (inside.home / "cve.ndjson").open("ab") as stream:
        stream.write(b"{}\n")

    assert inside.type(TYPED["inside"]).code != 0
    assert inside.type("ctisync export").code == 10


def test_a_snapshot_is_loaded_and_a_network_that_comes_later_brings_the_changes_alone(
    feed: FeedSimulator, inside: Reader
) -> None:
    (snapshot,) = feed.files.values()
    (inside.home / "1901695_1746459961.zip").write_bytes(snapshot.body)
    inside.types(TYPED["snapshot"])
    assert_holds(inside, feed)

    churn(feed.history, 40)
    inside.reaches(feed)
    inside.types("ctisync sync -q")
    assert_holds(inside, feed)
    assert feed.requests_for("snapshot") == []


def test_an_offset_below_that_of_a_record_is_refused(feed: FeedSimulator, inside: Reader) -> None:
    (snapshot,) = feed.files.values()
    (inside.home / "snapshot.zip").write_bytes(snapshot.body)
    assert inside.type("ctisync init-snapshot --from snapshot.zip --offset 5").code == 6
    inside.types("ctisync init-snapshot --from snapshot.zip --offset 1901695")
    assert_holds(inside, feed)


def test_what_is_different_there_is_as_the_page_says(feed: FeedSimulator, inside: Reader) -> None:
    (snapshot,) = feed.files.values()
    (inside.home / "1901695_1746459961.zip").write_bytes(snapshot.body)
    inside.types("ctisync init-snapshot -q --from 1901695_1746459961.zip")

    checked = inside.type("ctisync status --check")
    assert (checked.code, "UNKNOWN" in checked.text, "never asked" in checked.text) == (3, True, True)
    assert "cannot be reached" in inside.type("ctisync doctor").text
    synced = inside.type("ctisync sync -q")
    (shown,) = page.blocks(PAGE, "text")
    assert (synced.code, generalised(synced.text)) == (5, generalised(shown.text))


def test_the_mirrors_settings_are_settings(tmp_path: Path) -> None:
    (block,) = page.blocks(PAGE, "toml")
    (tmp_path / "mirror-ca.pem").write_text("x")
    file = tmp_path / "config.toml"
    file.write_text(block.text.replace("/etc/ctisync", str(tmp_path)))
    settings = load_settings(file, {"HOME": str(tmp_path)}, system_file=tmp_path / "none").settings
    assert tomllib.loads(block.text)["cti"]["url"] == settings.cti.url


@pytest.mark.parametrize(("block", "command"), [("wheels", "download"), ("install", "install")])
def test_pip_has_the_options_that_bring_the_program(block: str, command: str) -> None:
    offered = subprocess.run(
        [sys.executable, "-m", "pip", command, "--help"], capture_output=True, text=True, check=True
    ).stdout
    lines = [line for line in TYPED[block].splitlines() if f"pip {command}" in line]
    assert lines
    for line in lines:
        options = re.findall(r"--[a-z-]+", line)
        assert options
        assert [option for option in options if option not in offered] == []
        assert [name for name in re.findall(r"requirements/\S+", line) if not (ROOT / name).exists()] == []
