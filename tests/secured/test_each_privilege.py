"""Each privilege of the roles is missed by something, and whatever misses it harms nothing and says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from ctisync.core.health import CheckResult
from tests.secured.removal import (
    Ended,
    Privilege,
    assert_in_step,
    assert_intact,
    failing_checks,
    passed,
    privileges,
    read,
    stored_documents,
    without,
)
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.figures import figure
from tests.support.secured_node import SecuredNode, example_role

ROLE: Final = example_role("ctisync")
READER: Final = example_role("ctisync_reader")

BEST_EFFORT: Final = {"indices:data/read/scroll/clear", "indices:data/read/point_in_time/delete"}
"""What is begun ends by itself after some minutes: the lack shows on the node alone."""

FOR_A_HINT: Final = {"indices:admin/index_template/get", "indices:admin/template/get"}
"""The hint of a refused load names the template; without them it names none."""

WITHIN_AN_INDEX: Final = {"indices:data/write/bulk*"}
"""What is asked for within an index alone: before there is one, nothing tells whether it is given."""

_table: Final[list[str]] = []


BY_ANOTHER_NAME: Final = {"indices:monitor/settings/get"}
"""The node performs it on an index behind the alias, where the plugin checks the name of the alias alone."""


@pytest.fixture(scope="module", autouse=True)
def _figures() -> Iterator[None]:
    yield
    for line in _table:
        figure(line)


@pytest.fixture
def environ(node: SecuredNode, feed: FeedSimulator, tmp_path: Path) -> Mapping[str, str]:
    """Settings to come in as the user of the passes. A history of two passes, so that it is shortened,
    and a facts index."""
    homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(tmp_path))
    feeds = {"CTISYNC_CTI__URL": feed.url, "CTISYNC_CTI__COOLDOWN": "0"}
    others = {"CTISYNC_COMMAND_MANAGER__ENABLED": "false", "CTISYNC_HISTORY": "2"}
    others["CTISYNC_STORE__FACTS_INDEX"] = "true"
    return {**homes, **feeds, **others, **node.holder("ctisync", "ctisync")}


@pytest.mark.parametrize("lost", list(privileges(ROLE)), ids=str)
def test_a_pass_without_one_privilege_harms_nothing_and_says_what_it_lacks(
    node: SecuredNode, feed: FeedSimulator, environ: Mapping[str, str], lost: Privilege
) -> None:
    node.put_role("ctisync", without(ROLE, lost))
    checks = failing_checks(environ)
    passes = [passed(environ)]
    if lost.action not in WITHIN_AN_INDEX:
        assert_predicted(checks, passes, lost)
    assert_intact(node, feed)
    node.put_role("ctisync")
    assert_mended(node, feed, environ)

    node.put_role("ctisync", without(ROLE, lost))
    before = stored_documents(node)
    later = failing_checks(environ)
    assert stored_documents(node) == before, "an examination writes nothing"
    checks += later
    passes.append(passed(environ, "init-snapshot"))
    assert_intact(node, feed)
    refused = list(read(environ))  # beside the content that was replaced, which the next pass removes
    churn(feed.history, 40)
    passes.append(passed(environ))
    assert_predicted(later, passes[1:], lost)
    assert_intact(node, feed)
    node.put_role("ctisync")
    assert_mended(node, feed, environ)

    for each in passes:
        assert_reported(each, lost)
    doubtful = ", ".join(sorted({each.what for each in checks})) or "nothing"
    codes = ", ".join(str(each.code) for each in passes)
    _table.append(f"without {lost}: passes end with {codes}, {len(refused)} reads fail, doctor: {doubtful}")
    missed = any(each != Ended(0, "") for each in passes) or checks or refused
    assert missed or lost.action in BEST_EFFORT | FOR_A_HINT | BY_ANOTHER_NAME, "nobody needs it"


@pytest.fixture
def alias_of_a_template(node: SecuredNode) -> Iterator[None]:
    """Somebody's template that would show a new content half loaded."""
    template = {"index_patterns": ["ctisync-*"], "priority": 9, "template": {"aliases": {"theirs": {}}}}
    node.request("PUT", "/_index_template/theirs", template)
    yield
    node.request("DELETE", "/_index_template/theirs")


@pytest.mark.usefixtures("alias_of_a_template")
def test_a_load_that_a_template_would_alter_is_refused_also_without_the_right_to_name_it(
    node: SecuredNode, environ: Mapping[str, str]
) -> None:
    named = passed(environ, "init-snapshot")
    assert named.code == 3
    assert "before index template theirs: curl" in named.stderr
    node.put_role("ctisync", without(ROLE, Privilege("cluster", "indices:admin/index_template/get")))
    refused = passed(environ, "init-snapshot")
    node.put_role("ctisync")
    assert refused.code == 3
    assert "before an index template: curl" in refused.stderr


@pytest.mark.parametrize("lost", list(privileges(READER)), ids=str)
def test_a_reader_without_one_privilege_gets_its_name(
    node: SecuredNode, feed: FeedSimulator, environ: Mapping[str, str], lost: Privilege
) -> None:
    reader = {**environ, **node.holder("ctisync_reader", "ctisync_reader")}
    node.put_role("ctisync_reader", without(READER, lost))
    refused = list(read(reader))
    for mode in ("sync", "init-snapshot"):  # so that a content that was replaced is there, too
        assert passed(environ, mode) == Ended(0, "")
    refused += read(reader)
    node.put_role("ctisync_reader")
    assert list(read(reader)) == []

    assert refused or lost.action in BEST_EFFORT, "nobody needs it"
    for each in refused:
        assert each.exit_code == 3
        assert_names(f"{each.message}\n{each.hint}", lost)
    _table.append(f"reader without {lost}: {len(refused)} of 8 reads refused")


def assert_mended(node: SecuredNode, feed: FeedSimulator, environ: Mapping[str, str]) -> None:
    assert passed(environ) == Ended(0, "")
    assert_in_step(node, feed)


def assert_predicted(checks: Sequence[CheckResult], passes: Sequence[Ended], lost: Privilege) -> None:
    """`doctor` has said what ended a pass, and called nothing a failure that did not."""
    action = lost.action.removesuffix("*")
    failures = [each for each in checks if each.health == "failed" and action in each.text]
    if any(each.code for each in passes):
        assert failures, f"not foretold: {passes}"
    assert not [each for each in checks if each.what == "store-rights" and action not in each.text]


def assert_reported(ended: Ended, lost: Privilege) -> None:
    """0 when the pass could do without, else 3 with what is missing."""
    assert ended.code in (0, 3), ended.stderr
    if ended.code:
        assert_names(ended.stderr, lost)
    elif ended.stderr:  # the pass is well, and could not be remembered
        assert "history-not-written" in ended.stderr
        assert lost.action.removesuffix("*") in ended.stderr


def assert_names(stderr: str, lost: Privilege) -> None:
    """The request, the index if it is about one, the privilege, and where the whole role is."""
    match = re.search(r"does not permit (GET|PUT|POST|DELETE) (/\S*)( on \S+)?", stderr)
    assert match, stderr
    if lost.on != "cluster" and match[2].startswith("/_"):
        assert match[3], stderr
    assert f"lacks {lost.action.removesuffix('*')}" in stderr
    assert "ctisync examples opensearch" in stderr
