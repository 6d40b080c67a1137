"""The page for operators: what it shows is printed, what it says to type helps, no exit code is left out."""

import json
import re
from fnmatch import fnmatch
from typing import Any, Final

import pytest

from ctisync.cli.app import command_line
from tests.docs import (
    page,
    recipes,
    situations_feed,
    situations_mirror,
    situations_node,
    situations_pass,
    situations_sqlite,
)
from tests.docs.shell import ROOT
from tests.docs.situations import RECIPES, SITUATIONS
from tests.docs.stage import Stage, generalised
from tests.support import feed_failures as failures
from tests.support.figures import figure

REGISTERED: Final = (
    situations_pass,
    situations_feed,
    situations_mirror,
    situations_sqlite,
    situations_node,
    recipes,
)
"""Importing them fills the registries."""

PAGE: Final = (ROOT / "docs" / "operations.md").read_text()
SHOWN: Final = page.blocks(PAGE, "text")
TYPED: Final = page.blocks(PAGE, "sh")
CALLS: Final = sorted({tuple(arguments) for arguments in page.ctisync_calls(PAGE)})


def each_of(registry: dict[str, Any], *, node: bool) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name, each in registry.items() if each.node == node])


def shown_as(name: str) -> tuple[str, list[int]]:
    """What the page shows of a situation, and with which exit codes. A block of several has as many lines of
    each, one after the other."""
    (block,) = [block for block in SHOWN if name in block.names]
    lines = block.text.splitlines()
    each, rest = divmod(len(lines), len(block.names))
    assert rest == 0, block
    first = block.names.index(name) * each
    return "\n".join(lines[first : first + each]), page.codes(block.section)


def assert_printed(stage: Stage, name: str) -> None:
    printed = SITUATIONS[name].play(stage)
    shown, codes = shown_as(name)

    assert generalised(stage.as_shown(printed.text)) == generalised(shown)
    if "ctisync: " in shown and codes:
        assert printed.code in codes


@each_of(SITUATIONS, node=False)
def test_what_the_page_shows_is_what_a_person_reads(stage: Stage, name: str) -> None:
    assert_printed(stage, name)


@each_of(SITUATIONS, node=True)
def test_what_the_page_shows_is_what_a_person_with_an_opensearch_reads(indexer: Stage, name: str) -> None:
    assert_printed(indexer, name)


def assert_helps(stage: Stage, name: str) -> None:
    (block,) = [block for block in TYPED if block.names == (name,)]
    with RECIPES[name].setting(stage):
        stage.type(block.text)


@each_of(RECIPES, node=False)
def test_what_the_page_says_to_type_helps(stage: Stage, name: str) -> None:
    assert_helps(stage, name)


@each_of(RECIPES, node=True)
def test_what_the_page_says_to_type_on_an_opensearch_helps(indexer: Stage, name: str) -> None:
    assert_helps(indexer, name)


def test_every_block_is_staged_and_each_once() -> None:
    assert sorted(name for block in SHOWN for name in block.names) == sorted(SITUATIONS)
    assert sorted(name for block in TYPED for name in block.names) == sorted(RECIPES)
    assert all(block.names for block in (*SHOWN, *TYPED))
    assert len(SHOWN) + len(TYPED) == len(page.blocks(PAGE))
    figure(f"docs/operations.md: {len(SITUATIONS)} messages and tables staged, {len(RECIPES)} scripts run")


@pytest.mark.parametrize("arguments", CALLS, ids=" ".join)
def test_every_call_that_the_page_names_is_one_that_ctisync_understands(
    arguments: tuple[str, ...],
) -> None:
    """FILE, N and the like stand for what a person puts there."""
    group: Any = command_line()
    words = [{"N": "1", "...": ""}.get(word, word) for word in arguments]
    if words in ([], [""]):
        return
    command, *rest = words
    group.commands[command].make_context(command, rest)


def test_every_exit_code_has_its_section_and_its_row() -> None:
    in_sections = sorted(code for heading in page.headings(PAGE) for code in page.codes(heading))
    index = PAGE.split("## Exit codes")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([\d, ]+) \|", index, re.MULTILINE)

    assert in_sections == sorted(int(code) for row in rows for code in row.split(", "))


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    places = {page.anchor(heading) for heading in page.headings(PAGE)}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= places


@pytest.mark.parametrize("section", [heading for heading in page.headings(PAGE) if page.codes(heading)])
def test_what_a_section_explains_by_its_words_are_words_of_its_messages(section: str) -> None:
    messages = "".join(block.text for block in SHOWN if block.section == section)
    prose = PAGE.split(f"## {section}\n")[1].split("\n## ")[0].replace(messages, "")
    assert messages
    assert [words for words in re.findall(r"\*\*([^*]+)\*\*", prose) if words not in messages] == []


def test_the_fields_that_the_page_names_are_those_of_the_json(stage: Stage) -> None:
    stage.follow()
    (consumer,) = json.loads(stage.run("status", "--json").text)["consumers"]
    (sentence,) = re.findall(r"`ctisync status --json` is for programs: ([^.]*)\.", PAGE)

    assert {"context", "consumer", *re.findall(r"`(\w+)`", sentence)} == consumer.keys()


def test_every_file_that_passes_and_searches_make_is_in_the_table_of_files(stage: Stage) -> None:
    table = PAGE.split("### Files and indices")[1].split("\n\n| in OpenSearch")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    patterns = [pattern for row in rows for pattern in re.findall(r"`([^`]+)`", row)]
    assert stage.passes("sync") == 0
    assert stage.run("search", "--names").code == 0
    stage.feed.fail("snapshot", failures.stall(60, after=0.5))
    running = stage.ctisync.start("init-snapshot", "-q")
    while not list(stage.state.glob("[!.]*.part")):
        assert running.poll() is None

    made = {path.name for path in stage.state.iterdir()}
    running.kill()
    running.communicate(timeout=120)

    assert [name for name in made if not any(fnmatch(name, pattern) for pattern in patterns)] == []
    assert {pattern for pattern in patterns if any(fnmatch(name, pattern) for name in made)} == set(patterns)


def test_fewer_resources_pass_a_change_by_that_cannot_be_applied(stage: Stage) -> None:
    assert situations_feed.block(stage).code == 6
    fewer = {"CTISYNC_CONSUMERS": json.dumps([{"resources": ["CVE-2004-*", "CVE-2005-*"]}])}
    assert stage.passes("init-snapshot", **fewer) == 0
    assert stage.passes("sync", **fewer) == 0

    exported = stage.run("export", **fewer).text.splitlines()
    assert {json.loads(line)["name"][:8] for line in exported} == {"CVE-2004", "CVE-2005"}


@pytest.mark.parametrize("offset", ["below", "not below"])
def test_an_operators_load_ends_a_block_if_the_snapshot_has_the_change_behind_it(
    stage: Stage, offset: str
) -> None:
    assert situations_feed.block(stage).code == 6
    if offset == "not below":
        stage.feed.publish_snapshot()

    assert stage.passes("init-snapshot") == 0
    assert stage.passes("sync") == (6 if offset == "below" else 0)


@pytest.mark.parametrize("field", ["index", "resources"])
def test_a_change_of_the_settings_that_is_undone_costs_nothing(indexer: Stage, field: str) -> None:
    indexer.follow(30)
    changed = {"index": "another", "resources": ["CVE-2026-*"]}
    assert indexer.passes(CTISYNC_CONSUMERS=json.dumps([{field: changed[field]}])) == 3

    assert indexer.passes() == 0
    recipes.assert_in_step(indexer)
    assert recipes.snapshots(indexer) == 1
