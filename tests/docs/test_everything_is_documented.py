"""Whatever the program has for its users is in the documents, and what these say there is, there is.

Commands, options, settings, exit codes, metrics and log events, each compared in both directions.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import pytest

from ctisync.cli.help import EXIT_CODES
from ctisync.core.steps import End
from ctisync.notifications.metrics import GAUGES
from ctisync.settings import Settings
from ctisync.settings.schema import leaf_types, variable
from tests.cli.test_exit_codes import _all_codes
from tests.docs import log_events, manual, page, settings_table
from tests.docs.command_tree import commands, parse
from tests.docs.generated import GENERATED
from tests.docs.shell import ROOT
from tests.docs.stage import Stage
from tests.support import feed_failures as failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator

EXIT_CODES_PAGE: Final = (ROOT / "docs" / "exit-codes.md").read_text()
SETTINGS: Final = settings_table.PAGE.read_text()
OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text()
SCHEMA: Final = ROOT / "docs" / "log-line.schema.json"
EVENTS: Final = log_events.PAGE.read_text()
COMMANDS: Final = commands()

TEXTS: Final = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md"  # tells what there was
}

PLACEHOLDERS: Final = {"N": "1", "$offset": "1", "SHELL": "bash", "...": ""}
"""What stands in the documents for what a person puts there, where not any text will do."""

NAMES: Final = {"", "COMMAND --help", *(each.path for each in COMMANDS)}

OTHERS: Final = {"--no-wait"}
"""Options of programs that the documents compare with."""


def words_of(text: str, before: str, until: str = "\n## ") -> list[str]:
    """What the rows of a table begin with, below a heading or line."""
    table = text.split(before)[1].split(until, maxsplit=1)[0]
    return re.findall(r"^\| `([\w.\[\]-]+)` \|", table, re.MULTILINE)


FIELDS: Final = {
    *words_of(EVENTS, "in each line", "\nThe others"),
    *words_of(EVENTS, "\nThe others:\n"),
}


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_what_is_made_of_the_program_is_what_the_program_says_now(path: Path) -> None:
    assert path.read_text() == GENERATED[path](), "make man"


# Commands and options


def test_each_command_and_each_of_its_options_is_in_the_page_of_commands() -> None:
    text = TEXTS["docs/commands.md"]
    assert [heading for heading in page.headings(text) if heading.startswith("ctisync")] == [
        each.call for each in COMMANDS
    ]
    explained = text.split("## Options that several commands take\n")[1].split("\n## ")[0]
    for each in COMMANDS:
        section = text.split(f"## {each.call}\n")[1].split("\n## ")[0]
        options = set(
            re.findall(r"(?<![\w-])(--?[a-zA-Z][a-z-]*)", " ".join(re.findall(r"`([^`]*)`", section)))
        )
        common = {name for name in each.names if name in explained}
        assert each.names <= options | common, each.call
        assert all(name in options for name in each.names if name.startswith("--")), each.call


@pytest.mark.parametrize("name", TEXTS)
def test_each_option_that_a_document_names_is_one_of_some_command(name: str) -> None:
    options = {option for each in COMMANDS for option in each.names} | OTHERS
    named = re.findall(r"`(--[a-z][a-z-]*)", page.without_blocks(TEXTS[name]))
    assert sorted(set(named) - options) == []


@pytest.mark.parametrize("name", TEXTS)
def test_each_call_that_a_document_shows_is_understood(name: str) -> None:
    for arguments in page.ctisync_calls(TEXTS[name]):
        words = [word for each in arguments if (word := PLACEHOLDERS.get(each, each))]
        if " ".join(words) in NAMES:  # a command is spoken of, not called
            continue
        try:
            parse(words)
        except AssertionError as error:
            pytest.fail(f"ctisync {' '.join(arguments)}: {error}")


# Settings


def test_each_setting_has_its_row_and_each_row_is_a_setting() -> None:
    rows = words_of(SETTINGS, "| setting | default | meaning |", "\n\n")
    assert rows == [name for name, _ in settings_table.every(Settings)]


@pytest.mark.parametrize("name", [*TEXTS, "docs/man/ctisync.1"])
def test_each_variable_that_a_document_names_sets_something(name: str) -> None:
    in_the_journal = {f"CTISYNC_{field.upper()}" for field in FIELDS}
    variables = {variable(setting) for setting in leaf_types(Settings)} | in_the_journal
    named = re.findall(r"CTISYNC_[A-Z][A-Z_]*", (ROOT / name).read_text())
    assert sorted(set(named) - variables) == []


# Exit codes


def test_each_exit_code_has_its_row_and_its_section_and_each_of_these_is_a_code() -> None:
    codes = sorted(_all_codes())
    assert sorted(code for each in EXIT_CODES for code in each.codes) == codes

    def rows(text: str, heading: str) -> list[int]:
        table = text.split(heading)[1].split("\n## ", maxsplit=1)[0]
        cells = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
        return sorted(int(code) for row in cells for code in row.split(", "))

    assert rows(EXIT_CODES_PAGE, "## Exit codes") == codes
    assert rows(OPERATIONS, "## Exit codes") == codes
    assert sorted(code for each in page.headings(OPERATIONS) for code in page.codes(each)) == codes


def test_the_page_says_which_exit_code_wins() -> None:
    assert f"the worst code wins, in the order {manual.worst_first()}." in EXIT_CODES_PAGE


# Metrics


def test_each_metric_has_its_row_and_each_row_is_written() -> None:
    rows = words_of(TEXTS["docs/monitoring.md"], "| metric | meaning |", "\n\n")
    assert sorted(rows) == sorted(["ctisync_info", *GAUGES])


# Events


def test_each_event_has_its_row_with_its_levels_and_fields_and_each_row_is_written() -> None:
    assert log_events.documented() == log_events.written(), "python -m tests.docs.log_events"


def test_each_field_is_explained_once_and_each_that_is_explained_is_written() -> None:
    fields = {field for event in log_events.written().values() for field in event.fields}
    assert words_of(EVENTS, "\nThe others:\n") == sorted(fields)


def test_the_schema_of_a_line_knows_the_same_fields() -> None:
    assert json.loads(SCHEMA.read_text())["properties"].keys() == FIELDS


def test_each_outcome_is_explained_and_each_that_is_explained_can_be() -> None:
    assert sorted(words_of(EVENTS, "## Outcomes")) == sorted(get_args(get_type_hints(End)["outcome"]))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with FeedSimulator() as feed, CommandManagerStandIn() as manager:
        yield Stage(tmp_path, feed, manager, None)


def test_what_passes_write_is_what_the_page_says(stage: Stage) -> None:
    """The page is compared with the source above; here it is with lines that were really written."""
    stage.environ["CTISYNC_COMMAND_MANAGER__URL"] = stage.manager.url
    lines = []
    for _ in range(2):
        stage.feed.fail("info", failures.status(503))
        stage.manager.fail(500)
        lines += stage.run("sync", "-v", "--log-format", "json").text.splitlines()
        churn(stage.feed.history, 30)
    lines += stage.run("init-snapshot", "--log-format", "json", CTISYNC_CTI__URL="nonsense").text.splitlines()
    events = [json.loads(line) for line in lines]
    documented, each_line = (
        log_events.documented(),
        words_of(EVENTS, "in each line", "\nThe others"),
    )

    assert {"retry", "initialised", "range-applied", "command-not-accepted", "failed"} <= {
        line["event"] for line in events
    }
    for line in events:
        event = documented[line["event"]]
        assert line["level"] in event.levels
        assert line.keys() - event.fields - set(each_line) == set(), line
        assert {"time", "level", "event"} <= line.keys() & set(each_line)


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ('def f(r): r.event("info", "done", offset=1)', {"done": ({"info"}, {"offset"})}),
        ('def f(r):\n  w = "info" if r else "error"\n  r.event(w, "a")', {"a": ({"info", "error"}, set())}),
        (
            'def f(s, name):\n  s.event("debug", name)\ndef g(s):\n  f(s, "begun")\n  f(s, "over")',
            {"begun": ({"debug"}, set()), "over": ({"debug"}, set())},
        ),
        ("def event(s, level, name, **more): s.event(level, name, **more)", {}),
    ],
)
def test_an_event_is_recognised_in_the_source_however_it_is_named(
    source: str, written: dict[str, Any]
) -> None:
    assert dict(log_events.events(source, "here.py")) == written


@pytest.mark.parametrize(
    "source",
    [
        'def f(r, n): r.event("info", n)',
        'def f(r, n): r.event("info", "a-" + n)',
        'def f(r, more): r.event("info", "a", **more)',
    ],
)
def test_an_event_that_cannot_be_read_from_the_source_is_not_passed_over(source: str) -> None:
    with pytest.raises(AssertionError, match=r"here\.py:1"):
        dict(log_events.events(source, "here.py"))
