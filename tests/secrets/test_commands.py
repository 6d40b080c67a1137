"""No secret in anything that a command prints, stores or shows while it runs, however it ends.

That is: output, errors, tracebacks, every file that is left, every document and setting in OpenSearch, the
command line of every process. What is not looked at is the environment of the process, which its owner and
root alone can read.
"""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Final

import pytest

from tests.secrets.commands import COMMANDS, EACH_RECORD, FORMATS, TROUBLES
from tests.secrets.conftest import MakeStage
from tests.secrets.settings import FORMS, Form
from tests.secrets.stage import RECEIVERS, TYPED, Ended, Stage
from tests.support.figures import figure
from tests.support.long import LONG

USED_BY: Final[dict[str, Callable[[str], bool]]] = {
    "feed": lambda command: "feed" in COMMANDS[command].asks,
    "snapshot": lambda command: command == "init-snapshot",
    "changes": lambda command: command in ("sync", "update"),
    "address": lambda command: "elsewhere" in COMMANDS[command].asks,
    "store": lambda command: "store" in COMMANDS[command].asks,
    "manager": lambda command: "manager" in COMMANDS[command].asks,
}
"""Which commands come to what a trouble is of; `sync` stands for the rest in a run that is short of time."""


PLUGINS: Final = {"status --check": 3, "doctor": 2, "doctor --json": 2}
"""Commands that answer as monitoring plugins do, whatever has failed, and without a traceback."""

SLOW: Final = ("store: no HTTP", "store: nobody there")
"""Such a request is sent again, for some seconds."""


def pairs() -> Iterator[tuple[str, str]]:
    """Trouble and command: all that go together, or each of both at least once, but for what takes long."""
    for name in TROUBLES if LONG else [name for name in TROUBLES if name not in SLOW]:
        kind = name.partition(":")[0]
        commands = [command for command in COMMANDS if USED_BY[kind](command)]
        if name == EACH_RECORD:
            commands = ["sync", "init-snapshot", "init-snapshot --from FILE", "init-snapshot --from URL"]
        whole = LONG or name in ("feed: 500", "address: 403", "store: 403", "manager: 500")
        yield from ((name, command) for command in (commands if whole else commands[:1]))


FORMS_BY_TURNS: Final = cycle(FORMS)
CASES: Final = [
    pytest.param(name, command, form, log_format, id=f"{name}, {command}, {form}, {log_format}")
    for name, command in pairs()
    for log_format, form in zip(FORMATS if LONG else ("text",), FORMS_BY_TURNS, strict=False)
]


@pytest.fixture(scope="module", autouse=True)
def counted() -> Iterator[list[str]]:
    runs: list[str] = []
    yield runs
    figure(f"T12 canaries: {len(runs)} runs of commands, {sum(map(bool, runs))} leaks")


def look(stage: Stage, ended: Ended, counted: list[str], *, typed: bool = False) -> None:
    """What a person has typed is in the command line, and in none of ours."""
    leaks = ended.leaks()
    if typed:
        leaks = [leak for leak in leaks if not leak.startswith(f"command lines: {TYPED.name}")]
    counted.append("; ".join(leaks))
    assert leaks == [], ended.stderr.decode()
    assert stage.strays() == []


WELL: Final = [
    pytest.param(store, log_format, marks=() if log_format == quick else pytest.mark.long)
    for store, quick in (("SQLite", "text"), ("OpenSearch", "journal"))
    for log_format in FORMATS
]


@pytest.mark.parametrize(("store", "log_format"), WELL)
def test_nothing_shows_when_all_is_well(
    request: pytest.FixtureRequest, counted: list[str], store: str, log_format: str
) -> None:
    make: MakeStage = request.getfixturevalue("on_sqlite" if store == "SQLite" else "on_opensearch")
    stage = make(FORMS[FORMATS.index(log_format)])
    for name, command in COMMANDS.items():
        stage.publish()
        ended = stage.run(*command.arguments(stage), "-v", "--log-format", log_format)
        # The doctor warns of the cluster of the tests.
        warned = store == "OpenSearch" and name.startswith("doctor")
        assert ended.code in ((0, 1) if warned else (0,)), (name, ended.stderr)
        look(stage, ended, counted, typed=name.endswith("URL"))
    for name in stage.servers.keys() & {*RECEIVERS.values()}:
        assert stage.has_requests(name), f"{name} was never told its secret"


@pytest.mark.parametrize(("name", "command", "form", "log_format"), CASES)
def test_nothing_shows_when_a_command_fails(
    request: pytest.FixtureRequest, counted: list[str], name: str, command: str, form: Form, log_format: str
) -> None:
    trouble = TROUBLES[name]
    make: MakeStage = request.getfixturevalue("on_opensearch" if name == EACH_RECORD else "on_sqlite")
    stage = make(form)
    stage.publish()
    if trouble.of == "store" and name != EACH_RECORD:
        stage.closed_store()
    trouble.arrange(stage)

    ended = stage.run(*COMMANDS[command].arguments(stage), "-v", "--log-format", log_format)

    assert ended.code == PLUGINS.get(command, trouble.code), ended.stderr.decode()
    if command not in PLUGINS:
        assert b"Traceback" in ended.stderr
    look(stage, ended, counted, typed=command.endswith("URL"))
