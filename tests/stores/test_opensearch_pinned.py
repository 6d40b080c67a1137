"""Settings by which templates of other programs could break a promise: none reaches an index of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from ctisync.core.model import Delete
from ctisync.stores.opensearch.bulk import index
from ctisync.stores.opensearch.client import OpenSearchReply
from ctisync.stores.opensearch.indices import PINNED
from ctisync.stores.opensearch.refusals import Problem
from ctisync.stores.opensearch.store import OpenSearchStore
from ctisync.verify.audit import verify
from tests.contract.test_history import WITHIN, report, without_touched
from tests.stores import opensearch_kit as kit
from tests.stores.index_settings import CLASSIFIED, HOSTILE, MAY_BE_SET, OURS, PINNED_AGAINST
from tests.support.faults_node import TransportInFront
from tests.support.figures import figure
from tests.support.log import KeptLog
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import made_up, record
from tests.support.stores import OPENSEARCH

RECORDS = made_up(40)
_TRIES = 100
_MOST_TRIES = 5000
"""A node forgets deletes when it refreshes, by a clock that it reads five times a second: on a fast machine
after many tries, on a slow one after few."""


@pytest.fixture(params=OPENSEARCH)
def node(request: pytest.FixtureRequest) -> Iterator[OpenSearchNode]:
    """A cluster whose templates are the test's own, with no index yet."""
    opened: OpenSearchNode = request.getfixturevalue(OPENSEARCH[request.param])
    opened.wipe()
    yield opened
    opened.wipe()


def settings_of(node: OpenSearchNode, index: str, *, defaults: bool = False) -> dict[str, Any]:
    """By their names without `index.`."""
    target = f"/{index}/_settings?flat_settings=true&include_defaults={str(defaults).lower()}"
    ((settings),) = node.request("GET", target).values()
    every: dict[str, Any] = settings["settings"] | settings.get("defaults", {})
    return {name.removeprefix("index."): value for name, value in every.items()}


def put_template(node: OpenSearchNode, settings: dict[str, object]) -> None:
    named = {f"index.{name}": value for name, value in settings.items()}
    patterns = {"index_patterns": ["ctisync-*", "wazuh-*"], "priority": 2**31 - 1}
    body = {**patterns, "template": {"settings": named}}
    node.request("PUT", "/_index_template/theirs", body)


def test_every_index_setting_that_a_node_has_is_pinned_or_listed_as_harmless(
    node: OpenSearchNode,
) -> None:
    """A setting that only a newer node has wants to be looked at: `tests/stores/index_settings.py`."""
    node.request("PUT", "/probe")
    assert settings_of(node, "probe", defaults=True).keys() - CLASSIFIED == set()


def test_a_template_that_sets_every_setting_alters_nothing_that_is_promised(node: OpenSearchNode) -> None:
    node.request("PUT", "/probe")
    supported = settings_of(node, "probe", defaults=True).keys()
    put_template(node, {name: value for name, value in HOSTILE.items() if name in supported})
    consumer = kit.new_consumer()
    changed = record("CVE-9999-1", 150)
    with closing(kit.open_store(node)) as store:
        kit.initialise(store, consumer, RECORDS, 100)
        with store.writer(consumer) as writer:
            kit.apply(writer, [changed, Delete(RECORDS[0].name, 151)], 200)
            writer.make_searchable()
        lines = [each.line for each in RECORDS[1:]] + [changed.line]
        assert sorted(kit.lines(store, consumer)) == sorted(lines)
        assert store.summary(consumer).records == len(lines)
        audit = verify(consumer, store=store, log=KeptLog(), deep=True, against=None, at_work=None)
        assert audit.counts == {}
        passes = [report(consumer, number) for number in range(3)]
        for each in passes:
            store.remember(each, keep=2, within=WITHIN)
        assert list(store.passes(consumer, 10)) == [*map(without_touched, reversed(passes[1:]))]
    (live,) = kit.aliases(node, consumer)
    may_be_set = {name for group in MAY_BE_SET.values() for name in group} & supported - {"refresh_interval"}
    pinned = {name: str(value).lower() for name, value in PINNED.items() if name in supported}
    for made in (live, "wazuh-context", "ctisync-history"):
        settings = settings_of(node, made)
        assert {name: str(settings[name]).lower() for name in pinned} == pinned, made
        assert (settings["number_of_replicas"], settings["number_of_shards"]) == ("0", "1")
        assert may_be_set <= settings.keys(), f"{made}: the template was not in effect"
    figure(
        f"OpenSearch {node.version}, a template with {len(HOSTILE.keys() & supported)} of {len(supported)} "
        f"index settings: {len(pinned)} pinned on each index, content, audit and history as without it"
    )


def test_what_is_pinned_is_what_the_hostile_template_sets_otherwise() -> None:
    assert PINNED.keys() == PINNED_AGAINST.keys()
    assert not PINNED.keys() & OURS.keys()
    assert all(str(PINNED[name]).lower() != str(value).lower() for name, value in PINNED_AGAINST.items())


class OldNode(TransportInFront):
    """Refuses settings that it does not know, one at a time, as a node does."""

    def __init__(self, store: OpenSearchStore, unknown: set[str]) -> None:
        super().__init__(store)
        self._unknown = unknown
        self.refused = 0

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        for name in sorted(self._unknown):
            if method == "PUT" and body is not None and f'"index.{name}"'.encode() in body:
                self.refused += 1
                words = f"unknown setting [index.{name}] please check that any required plugins are installed"
                return OpenSearchReply(400, problem=Problem("illegal_argument_exception", words))
        return super().send(method, target, body, timeout)


def test_an_older_node_that_does_not_know_a_pinned_setting_gets_an_index_without_it(
    opensearch_2: OpenSearchNode,
) -> None:
    opensearch_2.wipe()
    unknown = {"search.default_pipeline", "query.max_nested_depth", "append_only.enabled"}
    consumer = kit.new_consumer()
    with closing(kit.open_store(opensearch_2)) as store:
        old = OldNode(store, unknown)
        kit.initialise(store, consumer, RECORDS, 100)
    assert old.refused >= 2 * len(unknown), "neither the state's index nor the generation was refused"
    (live,) = kit.aliases(opensearch_2, consumer)
    settings = settings_of(opensearch_2, live)
    assert not unknown & settings.keys()
    assert settings["gc_deletes"] == PINNED["gc_deletes"]


@pytest.fixture
def store(opensearch_2: OpenSearchNode) -> Iterator[OpenSearchStore]:
    opensearch_2.wipe()
    with closing(kit.open_store(opensearch_2)) as opened:
        yield opened
    opensearch_2.wipe()


@pytest.mark.parametrize("remembers", [True, False], ids=["as ctisync makes it", "as OpenSearch forgets"])
def test_a_put_that_is_carried_out_after_its_records_delete_does_not_bring_it_back(
    store: OpenSearchStore, opensearch_2: OpenSearchNode, remembers: bool
) -> None:
    """It timed out and was sent again; then a later range deleted the record. By itself OpenSearch knows of
    the delete for a minute: that has passed when an index is to remember nothing at all."""
    put_template(opensearch_2, {"gc_deletes": "0s"})
    consumer = kit.new_consumer()
    late = record("CVE-2020-7", 120)
    kit.initialise(store, consumer, RECORDS, 100)
    (live,) = kit.aliases(opensearch_2, consumer)
    with store.writer(consumer) as writer:
        if not remembers:
            opensearch_2.request("PUT", f"/{live}/_settings", {"index.gc_deletes": "0s"})
        kit.apply(writer, [late], 120)
        kit.apply(writer, [Delete(late.name, 130)], 140)
        done = False
        for _ in range(_TRIES if remembers else _MOST_TRIES):
            opensearch_2.request("POST", f"/{live}/_refresh")
            done = not writer._records.send(writer._live_fence(), [index(late)]).conflicts
            if done:
                break
        writer.make_searchable()
    assert done is not remembers
    assert (late.line in kit.lines(store, consumer)) is not remembers


def test_a_content_of_an_earlier_version_is_mended_once_by_the_next_writer(
    store: OpenSearchStore, opensearch_2: OpenSearchNode
) -> None:
    consumer = kit.new_consumer()
    kit.initialise(store, consumer, RECORDS, 100)
    (live,) = kit.aliases(opensearch_2, consumer)
    before = {"index.gc_deletes": None, "index.translog.durability": "async"}
    opensearch_2.request("PUT", f"/{live}/_settings", before)
    puts: list[str] = []
    inner = store._client._transport.send

    def kept(method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        puts.extend([target] if method == "PUT" and target.endswith("/_settings") else [])
        return inner(method, target, body, timeout)

    store._client._transport.send = kept  # type: ignore[method-assign]
    for _ in range(2):
        with store.writer(consumer):
            pass
    settings = settings_of(opensearch_2, live)
    assert (settings["gc_deletes"], settings["translog.durability"]) == (PINNED["gc_deletes"], "request")
    assert len(puts) == 1
