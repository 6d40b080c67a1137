"""A right that is taken away within a pass, or the user itself: the content stays whole, and the next pass
goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from ctisync.core.steps import Mode
from ctisync.stores.opensearch.client import OpenSearchReply
from ctisync.stores.opensearch.transport import HttpTransport
from tests.secured.removal import (
    Ended,
    Privilege,
    assert_in_step,
    assert_intact,
    passed,
    privileges,
    without,
)
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.secured_node import SecuredNode, example_role

ROLE: Final = example_role("ctisync")


def privilege(action: str, on: str) -> Privilege:
    (match,) = [each for each in privileges(ROLE) if each == Privilege(on, action)]
    return match


_Due = Callable[[str, str, bytes, list[str]], bool]
"""Method, target, body, and the targets of what was sent before."""


class Moment:
    """Before the first request that is `due`; `lost`: what is then missed."""

    def __init__(
        self, due: Callable[[str, str, bytes, list[str]], bool], lost: Privilege, mode: Mode
    ) -> None:
        self.due = due
        self.lost = lost
        self.mode: Mode = mode


def _bulk(method: str, target: str, body: bytes, sent: list[str]) -> bool:
    return "filter_path=items" in target


def _swap(method: str, target: str, body: bytes, sent: list[str]) -> bool:
    return (
        target == "/_aliases" and b'"wazuh-cve"' in body and any("filter_path=items" in each for each in sent)
    )


def _commit(method: str, target: str, body: bytes, sent: list[str]) -> bool:
    return method == "PUT" and "wazuh-context" in target and "filter_path=items" in sent[-1]


def _after_the_swap(method: str, target: str, body: bytes, sent: list[str]) -> bool:
    swapped = "/_aliases" in sent and any("_count" in each for each in sent)
    return swapped and method == "PUT" and "wazuh-context" in target and sent[-2:-1] == ["/_aliases"]


MOMENTS: Final = {
    "while a content is loaded": Moment(
        _bulk, privilege("indices:data/write/bulk*", "ctisync-*"), "init-snapshot"
    ),
    "before the swap": Moment(_swap, privilege("indices:admin/aliases", "ctisync-*"), "init-snapshot"),
    "between the swap and the state": Moment(
        _after_the_swap, privilege("indices:data/write/index", "wazuh-context"), "init-snapshot"
    ),
    "while a range is written": Moment(_bulk, privilege("indices:data/write/bulk*", "ctisync-*"), "sync"),
    "before the state of a range": Moment(
        _commit, privilege("indices:data/write/index", "wazuh-context"), "sync"
    ),
}


@pytest.fixture
def environ(node: SecuredNode, feed: FeedSimulator, tmp_path: Path) -> Mapping[str, str]:
    homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(tmp_path))
    feeds = {"CTISYNC_CTI__URL": feed.url, "CTISYNC_CTI__COOLDOWN": "0"}
    others = {"CTISYNC_COMMAND_MANAGER__ENABLED": "false", "CTISYNC_HISTORY": "0"}
    return {**homes, **feeds, **others, **node.user("ctisync", "ctisync")}


@pytest.mark.parametrize("filled", [False, True], ids=["into an empty store", "beside a content"])
@pytest.mark.parametrize("what", ["a privilege", "the user"])
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_right_that_is_revoked_within_a_pass_harms_nothing_and_the_next_one_goes_on(
    node: SecuredNode,
    feed: FeedSimulator,
    environ: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    moment: Moment,
    what: str,
    filled: bool,
) -> None:
    if filled or moment.mode == "sync":
        assert passed(environ) == Ended(0, "")
        churn(feed.history, 40)
        if moment.mode == "init-snapshot":
            feed.publish_snapshot()
    removed_at: list[str] = []
    sent: list[str] = []
    inner = HttpTransport.send

    def send(
        self: HttpTransport, method: str, target: str, body: bytes | None, timeout: float
    ) -> OpenSearchReply:
        if not removed_at and moment.due(method, target, body or b"", sent):
            removed_at.append(target)
            if what == "the user":
                node.delete_user("ctisync")
            else:
                node.put_role("ctisync", without(ROLE, moment.lost))
        sent.append(target)
        return inner(self, method, target, body, timeout)

    with monkeypatch.context() as patched:
        patched.setattr(HttpTransport, "send", send)
        ended = passed(environ, moment.mode)

    assert removed_at, "nothing was taken away"
    assert ended.code == 3, ended.stderr
    if what == "the user":
        assert "refuses user ctisync (401)" in ended.stderr
    else:
        assert f"lacks {moment.lost.action.removesuffix('*')}" in ended.stderr
    assert_intact(node, feed, leased=None)
    node.put_role("ctisync")
    node.user("ctisync", "ctisync")
    assert passed(environ) == Ended(0, "")
    assert_in_step(node, feed)
