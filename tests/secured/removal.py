"""Passes as a user that lacks one privilege, within this process: some hundred of them."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

from ctisync.cli.invocation import Invocation
from ctisync.commands import doctor
from ctisync.commands.passes import run_passes
from ctisync.console import Console
from ctisync.core.health import CheckResult
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.core.steps import Mode
from ctisync.errors import AccessRefused, EmptyStore
from ctisync.ports import Store
from ctisync.settings import load_settings
from ctisync.system.clock import SystemClock
from ctisync.wiring import opened_store
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_store import opensearch_at
from tests.support.records import comparable
from tests.support.secured_node import SecuredNode

CONSUMER = Consumer()
_CLUSTER = "cluster"


class Privilege(NamedTuple):
    """What a role gives: an action, on the cluster or on indices."""

    on: str
    action: str

    def __str__(self) -> str:
        return f"{self.action} on {self.on}"


class Ended(NamedTuple):
    """A call's exit code, and all that it wrote to standard error."""

    code: int
    stderr: str


def privileges(role: Mapping[str, Any]) -> Iterator[Privilege]:
    for action in role["cluster_permissions"]:
        yield Privilege(_CLUSTER, action)
    for part in role["index_permissions"]:
        for action in part["allowed_actions"]:
            yield Privilege(",".join(part["index_patterns"]), action)


def without(role: Mapping[str, Any], lost: Privilege) -> dict[str, Any]:
    """The role, but for one privilege."""
    left: dict[str, Any] = copy.deepcopy(dict(role))
    if lost.on == _CLUSTER:
        left["cluster_permissions"].remove(lost.action)
    for part in left["index_permissions"]:
        if ",".join(part["index_patterns"]) == lost.on:
            part["allowed_actions"].remove(lost.action)
    return left


def passed(environ: Mapping[str, str], mode: Mode = "sync") -> Ended:
    """One pass, as `ctisync sync -q` does it."""
    clock, stream = SystemClock(), io.StringIO()
    console = Console(stream, clock)
    console.configure(least="warning", log_format="text")
    settings = load_settings(None, environ).settings
    code = run_passes(Invocation.of(settings, mode, clock, console))
    return Ended(code, stream.getvalue())


def failing_checks(environ: Mapping[str, str]) -> list[CheckResult]:
    """What `ctisync doctor` says of the store that is not well."""
    clock = SystemClock()
    loaded = load_settings(None, environ)
    checks = doctor.diagnose(loaded, loaded.settings.followed, clock, Console(io.StringIO(), clock))
    return [each for each in checks if each.what.startswith("store") and each.health != "ok"]


def read(environ: Mapping[str, str]) -> Iterator[AccessRefused]:
    """What is refused of all that `status`, `export`, `verify` and `history` ask for."""
    clock, settings = SystemClock(), load_settings(None, environ).settings
    with opened_store(settings, clock) as store:
        for look in (_status, _export, _verify, _history):
            try:
                look(store)
            except AccessRefused as refused:
                yield refused
            except EmptyStore:  # no refusal, but the truth
                pass


def hidden(environ: Mapping[str, str]) -> str | None:
    """What a reader is told that he does not see."""
    with opened_store(load_settings(None, environ).settings, SystemClock()) as store:
        return store.summary(CONSUMER).hidden


def _status(store: Store) -> None:
    store.read_state(CONSUMER)
    store.summary(CONSUMER)


def _export(store: Store) -> None:
    list(store.export(CONSUMER))


def _verify(store: Store) -> None:
    with store.inspect(CONSUMER) as inspection:
        list(inspection.findings(deep=True))
        inspection.count()
        list(inspection.scan())


def _history(store: Store) -> None:
    list(store.passes(CONSUMER, 10))


def assert_intact(node: SecuredNode, feed: FeedSimulator, *, leased: bool | None = False) -> None:
    """As the administrator sees it: each record is as the feed held it at the stored offset or has held it
    since, none is missing, and no lease is left (None: either will do)."""
    state, lines, leased_now = _stored(node)
    before = [comparable(line) for line in feed.expected_lines(state.offset)] if state.content else []
    since = [comparable(line) for line in feed.expected_lines()]
    stored = [comparable(line) for line in lines]
    assert all(line in before or line in since for line in stored), "a record is as the feed never had it"
    assert all(line in stored for line in before if line in since), "a record is gone"
    assert leased is None or leased_now == leased, "other hosts would have to wait for the lease to run out"


def assert_in_step(node: SecuredNode, feed: FeedSimulator) -> None:
    state, lines, _ = _stored(node)
    assert state.offset == feed.history.last_offset
    assert [comparable(line) for line in lines] == [comparable(line) for line in feed.expected_lines()]


def stored_documents(node: SecuredNode) -> dict[str, Any]:
    """State and contents as the administrator sees them, by index and id."""
    indices = "/ctisync-*,-ctisync-history,wazuh-context"
    node.request("POST", f"{indices}/_refresh")
    query = "size=10000&version=true&filter_path=hits.hits"
    hits = node.request("GET", f"{indices}/_search?{query}").get("hits", {"hits": []})["hits"]
    return {f"{each['_index']}/{each['_id']}": each for each in hits}


def _stored(node: SecuredNode) -> tuple[ConsumerState, list[bytes], bool]:
    """State and content, and whether there is a lease."""
    node.request("POST", "/ctisync-*/_refresh")
    administrator = opensearch_at(
        [node.url],
        SystemClock(),
        ca_file=node.authority.file,
        client_cert=node.admin.certificate,
        client_key=node.admin.key,
    )
    with closing(administrator) as store:
        state = store.read_state(CONSUMER)
        lines = list(store.export(CONSUMER)) if store.summary(CONSUMER).records is not None else []
    reply = node.client.get(f"/wazuh-context/_doc/{CONSUMER.context}")
    entry = reply.json()["_source"][CONSUMER.name]["ctisync"] if reply.status_code == 200 else {}
    return state, lines, entry.get("lease") is not None
