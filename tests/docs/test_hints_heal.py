"""A hint is what you type: each trouble is brought about, what is printed is typed, and all is well again."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from ctisync.stores.opensearch.refusals import Curl
from ctisync.tls import Files
from tests.docs.hint_sites import HINTS, REASONS
from tests.docs.hinted import commands
from tests.docs.stage import Printed, Stage
from tests.docs.troubles import IN_A_FILE, ON_A_NODE, unblock
from tests.support import feed_failures as failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_simulator import FeedSimulator
from tests.support.figures import figure
from tests.support.secured_node import SecuredNode
from tests.support.terminal import shown
from tests.tooling.test_hints import hints

COLUMNS: Final = {"status": (40, 80, 200), "doctor": (40, 80, 200), "export": (40, 80, 200), "sync": (40,)}
"""The widths of terminals, by command. The errors of all commands have one writer."""

ONCE: Final = {
    ("the file goes away during a pass", "sync"),
    ("the command is not accepted", "sync"),
    ("a snapshot that a proxy has spoilt", "sync"),
}
"""Troubles that a pass meets and that are over for the next one, so that no two can be compared."""

HOLDS_A_COMMAND: Final = re.compile(
    r"\b(ctisync (?!that|with|--)|curl|mkdir|chmod|chown|rm |mv |ls -|df -|fuser|pip |timedatectl"
    r"|hints\.|then_sync|claimed|set_aside|remove_blocks|raise_shard_limit|template_hint|typed|next_command|run\()"
)
"""An expression that is a hint, and has something to type."""


def hints_of(printed: Printed) -> list[str]:
    """All that were printed for people, in their order."""
    hints = re.findall(r"(?: try:|  to check now:|; to remove it:) +(.*)", printed.text)
    assert hints, printed.text
    return [str(each) for each in hints]


def assert_healed(stage: Stage, printed: Printed) -> None:
    hints = hints_of(printed)
    typed = [command for hint in hints for command in commands(hint)]
    assert typed, hints
    stage.type("\n".join(typed))
    assert stage.passes() == 0
    verified = stage.run("verify")
    assert verified.code == 0, verified.text


@pytest.mark.parametrize(
    ("name", "command"), [(name, typed) for name, (_, commands) in ON_A_NODE.items() for typed in commands]
)
def test_what_an_opensearch_in_trouble_has_printed_heals_it_when_typed(
    indexer: Stage, name: str, command: str
) -> None:
    indexer.follow(30)
    bring_about, _ = ON_A_NODE[name]
    bring_about(indexer)
    try:
        assert_healed(indexer, indexer.run(command, "-q"))
    finally:
        unblock(indexer)


@pytest.fixture
def spaced(tmp_path: Path, feed_of_the_page: FeedSimulator, manager: CommandManagerStandIn) -> Stage:
    """A host whose folders have names that a shell would take apart."""
    home = tmp_path / "it's a place; $HOME (of mine)"
    home.mkdir()
    return Stage(home, feed_of_the_page, manager, None)


@pytest.mark.parametrize(
    ("name", "command"), [(name, typed) for name, (_, commands) in IN_A_FILE.items() for typed in commands]
)
def test_what_a_file_in_trouble_has_printed_heals_it_when_typed(
    spaced: Stage, name: str, command: str
) -> None:
    spaced.follow(30)
    bring_about, _ = IN_A_FILE[name]
    bring_about(spaced)
    assert_healed(spaced, spaced.run(*command.split(), "-q"))


@pytest.mark.parametrize(
    ("name", "command", "columns"),
    [
        (name, command, columns)
        for name, (_, commands_in_trouble) in IN_A_FILE.items()
        for command in commands_in_trouble
        for columns in COLUMNS.get(command.split()[0], ())
        if (name, command) not in ONCE
    ],
)
def test_a_remedy_on_a_terminal_is_the_line_that_a_pipe_gets_and_heals_when_typed(
    spaced: Stage, name: str, command: str, columns: int
) -> None:
    spaced.follow(30)
    bring_about, _ = IN_A_FILE[name]
    bring_about(spaced)
    piped = spaced.run(*command.split())
    code, text = shown(spaced.ctisync.command(*command.split()), columns, spaced.environ, spaced.ctisync.home)
    assert (code, hints_of(Printed(code, text))) == (piped.code, hints_of(piped))
    if columns == 40:
        assert_healed(spaced, Printed(code, text))


def test_status_prints_a_remedy_of_any_kind_on_one_line_of_a_narrow_terminal(spaced: Stage) -> None:
    """Of a consumer in a cool-down, and of one that is no longer configured."""
    spaced.follow()
    spaced.feed.fail("info", failures.status(429, {"Retry-After": "3600"}))
    assert spaced.passes() == 5
    for typed in ("ctisync sync --now", "ctisync forget --consumer vd_1.0.0/vd_4.8.0"):
        _, text = shown(spaced.ctisync.command("status"), 40, spaced.environ, spaced.ctisync.home)
        assert hints_of(Printed(0, text)) == hints_of(spaced.run("status"))
        assert typed in hints_of(Printed(0, text))
        spaced.environ["CTISYNC_CONSUMERS"] = '[{"consumer": "another", "index": "another"}]'


@pytest.fixture
def administrated(secured_node: SecuredNode) -> dict[str, str]:
    """The settings of ctisync's own user, who may do what it needs; and the administrator's password, for
    which curl asks."""
    secured_node.wipe()
    secured_node.put_role("ctisync")
    administrator = secured_node.user("admin", "all_access")
    password = Path(administrator["CTISYNC_STORE__PASSWORD_FILE"]).read_text()
    return {**secured_node.user("ctisync", "ctisync"), "CURL_PASSWORD": password}


@pytest.mark.parametrize(
    "name",
    ["the alias moved elsewhere", "a template adds an alias", "the state is no object", "no new indices"],
)
def test_what_is_printed_heals_where_there_are_tls_and_users(
    tmp_path: Path,
    feed_of_the_page: FeedSimulator,
    manager: CommandManagerStandIn,
    secured_node: SecuredNode,
    administrated: dict[str, str],
    name: str,
) -> None:
    stage = Stage(tmp_path, feed_of_the_page, manager, secured_node)
    stage.environ |= administrated
    stage.follow(30)
    bring_about, _ = ON_A_NODE[name]
    bring_about(stage)
    try:
        printed = stage.run("sync", "-q")
        assert f"--cacert {secured_node.authority.file} --user admin" in hints_of(printed)[-1]
        assert administrated["CURL_PASSWORD"] not in printed.text
        assert_healed(stage, printed)
    finally:
        unblock(stage)


def test_a_hint_looks_with_ctisyncs_own_user_or_its_certificate(
    tmp_path: Path,
    feed_of_the_page: FeedSimulator,
    manager: CommandManagerStandIn,
    secured_node: SecuredNode,
    administrated: dict[str, str],
) -> None:
    stage = Stage(tmp_path, feed_of_the_page, manager, secured_node)
    own = Path(administrated["CTISYNC_STORE__PASSWORD_FILE"]).read_text()
    holder = secured_node.holder("ctisync: its certificate", "ctisync")
    stage.environ["CURL_PASSWORD"] = own
    looks = []
    for access in (administrated, holder):
        names = [f"CTISYNC_STORE__{file}" for file in ("CA_FILE", "CLIENT_CERT", "CLIENT_KEY")]
        authorities, certificate, key = (Path(access[each]) if each in access else None for each in names)
        files = Files("store", authorities, certificate, key)
        curl = Curl(secured_node.url, access.get("CTISYNC_STORE__USERNAME"), files)
        looks.append(curl.get("/_cluster/health"))
    assert ["--user ctisync " in each for each in looks] == [True, False]
    stage.type("\n".join(looks))
    assert stage.typed.count('"cluster_name"') == len(looks)


def test_each_hint_with_a_command_is_typed_here_or_has_a_reason_why_not() -> None:
    texts: dict[str, list[str]] = {}
    for hint in hints():
        if HOLDS_A_COMMAND.search(text := ast.unparse(hint.expression)):
            texts.setdefault(hint.function, []).append(text)
    assert {function: len(each) for function, each in texts.items()} == {
        function: len(each) for function, each in HINTS.items()
    }
    troubles = {*ON_A_NODE, *IN_A_FILE}
    sites = [trouble for each in HINTS.values() for trouble in each]
    assert [each for each in sites if each not in troubles | REASONS] == []
    typed = sum(each in troubles for each in sites)
    figure(f"hints with a command: {typed} typed, {len(sites) - typed} with a reason why not")
