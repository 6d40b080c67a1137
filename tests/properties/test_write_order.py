"""The order of writes on OpenSearch: searched as a model, and the store's requests held against it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import groupby
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ctisync.core import steps
from ctisync.core.model import Consumer
from ctisync.core.steps import Mode, Policy
from ctisync.errors import SettingsChanged
from ctisync.stores.opensearch import writer as opensearch_writer
from ctisync.stores.opensearch.client import OpenSearchReply
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.properties.model import ReceivedCommands
from tests.stores import opensearch_kit as kit
from tests.support.clock import FakeClock
from tests.support.faults import Killed
from tests.support.faults_node import TransportInFront
from tests.support.feed_history import History
from tests.support.log import KeptLog
from tests.support.memory_feed import MemoryFeed, MemoryServer, at_once
from tests.support.one_pass import parts_of, passed
from tests.support.opensearch_node import OpenSearchNode
from tests.support.write_order.model import LAST, Rules, Server, Writer
from tests.support.write_order.search import LOADED, NOTHING, SCENARIOS, search
from tests.support.write_order.steps import LOOKS, performed

SNAPSHOT = 500
"""As in the model's LOADED: one range leads from here to the feed's last offset, or several small ones."""

SMALL = 50
READ = ["D", "E", "F"]
"""Records of the snapshot, which the second and later small ranges change."""


@pytest.mark.parametrize("ahead", [True, False], ids=["announced ahead", "announced by itself"])
@pytest.mark.parametrize("snapshot", [100, 600], ids=["a snapshot below", "a snapshot above"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_interleaving_of_two_writers_breaks_a_promise(scenario: str, snapshot: int, ahead: bool) -> None:
    result = search(*SCENARIOS[scenario], Rules(snapshot=snapshot, announced_ahead=ahead))
    assert result.violations == {}
    assert result.states > 900


@pytest.mark.parametrize(
    ("left_out", "scenario", "violation"),
    [
        ("fenced", "two first passes", "the live generation was dropped"),
        ("fenced", "two first passes", "a late create brought a record back"),
        ("fenced", "two first passes", "a command is missed"),
        ("removals_asserted", "an operator's init-snapshot and a sync", "the live generation was dropped"),
        ("lease_checked_before_removals", "two first passes", "the live generation was dropped"),
        (
            "lease_checked_before_dead_swap",
            "a first swap announced, then a sync and an init-snapshot",
            "the alias leads to two contents",
        ),
        (
            "swap_announced",
            "an init-snapshot, and a sync that gives it up",
            "a late create brought a record back",
        ),
        ("elsewhere_kept", "an init-snapshot under another alias, and a sync", "was loaded anew"),
        (
            "elsewhere_spared",
            "an init-snapshot under an alias of before, and a sync",
            "an offset without content",
        ),
        (
            "foreign_swap_undone",
            "an init-snapshot under another alias, and a sync",
            "an offset without content",
        ),
        ("range_announced", "two syncs of several ranges", "a range over a part of another one"),
        ("all_confirmed", "two syncs of several ranges", "the stored offset is above the content"),
        (
            "offset_lowered",
            "an operator's init-snapshot and a sync",
            "the stored offset is above the content",
        ),
    ],
)
def test_each_rule_of_the_order_is_needed(left_out: str, scenario: str, violation: str) -> None:
    """Without it the search finds a way to lose something: so it would have found one with it, too."""
    result = search(*SCENARIOS[scenario], Rules()._replace(**{left_out: False}))
    assert any(violation in wrong for wrong in result.violations), result.violations.keys()


class ObservedSteps(TransportInFront):
    """Names the steps that a store's requests are, and kills the process right after the `dies_after`-th.

    What only reads, but not through a fence, is no step; nor is a state written only for what the feed said.
    """

    def __init__(self, store: OpenSearchStore, consumer: Consumer, dies_after: int | None) -> None:
        super().__init__(store)
        self._consumer = consumer
        self._dies_after = dies_after
        self._entry: Any = None
        self._loading = self._announced = self._dead = False
        self.steps: list[str] = []

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if self._dead:
            raise Killed
        reply = super().send(method, target, body, timeout)
        if target == f"/wazuh-context/_doc/{self._consumer.context}" and method == "GET":
            self._entry = self._ours(reply.body) if reply.status == 200 else None
        self.saw(self._step(method, target.partition("?")[0], body))
        return reply

    def saw(self, step: str | None) -> None:
        if step is None:
            return
        if self.steps[-1:] != [step]:
            self.steps.append(step)
        if len(self.steps) == self._dies_after:
            self._dead = True
            raise Killed

    def _step(self, method: str, target: str, body: bytes | None) -> str | None:
        _, first, *rest = target.split("/")
        match method, first, rest:
            case "PUT", "wazuh-context", ["_doc" | "_create", _]:
                before, self._entry = self._entry, self._ours(body)
                return self._written(before, self._entry)
            case "POST", "_aliases", []:
                assert body is not None
                return self._aliases(msgspec.json.decode(body)["actions"])
            case "PUT", str(), [] if first != "wazuh-context":
                self._loading = True
                return "create"
            case "POST", _, ["_bulk"] if body is None or not body.startswith(b'{"update"'):
                return "load" if self._loading else "bulk"
            case "POST", _, ["_mget"]:
                begun = self.steps[-1] in ("read", "announce_range", "advance")
                return "read_ahead" if begun and self._entry["state"]["range_to"] is not None else "read"
            case "PUT", _, ["_settings"]:
                return "check_count"
            case (_, _, ["_refresh" | "_count"]) if self._loading:
                return "check_count"
            case "POST", _, ["_refresh"]:
                return "refresh"
        return None

    def _written(self, before: Any, after: Any) -> str | None:
        lease = None if before is None else before["lease"]
        if after["lease"] is None:
            return "release"
        if lease is None or lease["token"] != after["lease"]["token"]:
            return "acquire"
        if after["swap"] is not None:
            self._announced, self._loading = True, False
            return "announce_swap"
        if before["swap"] is not None:
            undone = after["generation"] == before["generation"]
            return "undo" if undone else "finish_swap" if self._announced else "finish_dead_swap"
        state, was = after["state"], before["state"]
        if state["asked"] != was["asked"]:
            return "record_request"
        if state["loading"] != was["loading"]:
            return "begin_load"
        if after["generation"] != before["generation"]:
            return "zero"
        if state["range_to"] != was["range_to"]:
            return "announce_range" if was["range_to"] is None else "advance"
        return "accept" if (state["owed"], was["owed"]) != (None, None) and state["owed"] is None else None

    def _aliases(self, actions: list[dict[str, Any]]) -> str:
        kinds = {kind for action in actions for kind in action}
        if "remove_index" in kinds:
            return "drop_strays"
        if self.steps[-1] == "acquire":
            return "revoke"
        if kinds == {"remove"}:
            return "unfence"
        return "swap" if actions[-1]["add"]["alias"] == self._consumer.index else "fence_dead_swap"

    def _ours(self, body: bytes | None) -> Any:
        assert body is not None
        document = msgspec.json.decode(body)
        fields = document.get("_source", document)
        return fields.get(self._consumer.name, {}).get("ctisync")


class Cluster:
    """A consumer on a real node, and the feed that the model means."""

    def __init__(self, node: OpenSearchNode) -> None:
        self._node = node
        self.consumer = kit.new_consumer()
        self._server = MemoryServer(History("vd_1.0.0", SNAPSHOT - 1 - len(READ)))
        for name in READ:
            self._server.history.create(name, {"n": 0})
        self._server.history.create("A", {"n": 0})
        self._server.offer_snapshot()

    def run(self, mode: Mode, dies_after: int | None = None, *, alias: str = "A") -> list[str]:
        """The steps of one pass, which may be killed right after one of them."""
        store = kit.open_store(self._node)
        consumer = self.consumer if alias == "A" else replace(self.consumer, index=f"{self.consumer.index}-b")
        steps = ObservedSteps(store, consumer, dies_after)

        class Commands(ReceivedCommands):
            def send_update(self, index: str, offset: int) -> None:
                super().send_update(index, offset)
                steps.saw("post")

        with closing(store), suppress(Killed, SettingsChanged):
            passed(
                parts_of(
                    consumer,
                    feed=MemoryFeed(self._server),
                    store=store,
                    commands=Commands(),
                    clock=FakeClock(),
                    log=KeptLog(),
                    policy=Policy(mode=mode),
                )
            )
        return steps.steps

    def feed_goes_on(self) -> None:
        """To the model's last offset; each of the small ranges reads a record, and writes or deletes some."""
        history = self._server.history
        history.create("B", {"n": 1})
        history.delete("A")
        for number, name in enumerate(READ, start=1):
            history.gap(SNAPSHOT + number * SMALL - history.last_offset)
            history.update(name, [{"op": "replace", "path": "/n", "value": number}])
            history.update("B", [{"op": "replace", "path": "/n", "value": number}])
        history.gap(LAST - history.last_offset)


def expected(server: Server, writer: Writer) -> Iterator[tuple[str, Server]]:
    """The model's steps, but for those that only look."""
    return (
        (step, after)
        for step, after in performed(server, writer, Rules(snapshot=SNAPSHOT))
        if step not in LOOKS
    )


def names(steps: Iterator[tuple[str, Server]]) -> list[str]:
    """One name for what a range or a load sends in several bodies."""
    return [name for name, _ in groupby(name for name, _ in steps)]


CASES: dict[str, tuple[Server, Writer, Mode]] = {
    "first pass": (NOTHING, Writer("a"), "sync"),
    "a range": (LOADED, Writer("a"), "sync"),
    "several ranges": (LOADED, Writer("a", most=SMALL), "sync"),
    "init-snapshot": (LOADED, Writer("a", wants_snapshot=True), "init-snapshot"),
    "another alias": (LOADED, Writer("a", wants_snapshot=True, alias="B"), "init-snapshot"),
}


def begin(node: OpenSearchNode, before: Server) -> Cluster:
    cluster = Cluster(node)
    if before != NOTHING:
        cluster.run("sync")
    cluster.feed_goes_on()
    return cluster


@pytest.fixture(autouse=True)
def _in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done beside the writes of a range is done before them."""
    monkeypatch.setattr(opensearch_writer, "start_on_thread", at_once)


def small_ranges(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    if case == "several ranges":
        monkeypatch.setattr(steps, "MAX_RANGE", SMALL)


@pytest.mark.parametrize("case", CASES)
def test_the_store_takes_the_models_steps_in_the_models_order(
    opensearch_2: OpenSearchNode, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    before, writer, mode = CASES[case]
    small_ranges(monkeypatch, case)
    assert begin(opensearch_2, before).run(mode, alias=writer.alias) == names(expected(before, writer))


@pytest.mark.parametrize("case", ["first pass", "several ranges", "init-snapshot", "another alias"])
def test_after_a_kill_at_each_step_the_next_pass_takes_the_models_steps(
    opensearch_2: OpenSearchNode, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    before, writer, mode = CASES[case]
    small_ranges(monkeypatch, case)
    whole = names(expected(before, writer))
    for killed_after in range(1, len(whole)):
        cluster = begin(opensearch_2, before)
        assert cluster.run(mode, killed_after, alias=writer.alias) == whole[:killed_after]
        after = after_steps(before, writer, killed_after)
        steps = cluster.run("sync")
        assert steps == the_next_ones(after, writer.most), f"{steps} after {whole[killed_after - 1]}"


def the_next_ones(server: Server, most: int) -> list[str]:
    """The next pass's steps under alias A; one that finds nothing to do, or settings that differ, takes no
    lease."""
    document = server.document
    is_done = (document.offset, document.owed) == (LAST, None) or document.alias == "B"
    if is_done and document.requested != "A" and (document.swap, document.lease) == (None, None):
        return []
    return names(expected(server, Writer("b", most=most)))


def after_steps(before: Server, writer: Writer, count: int) -> Server:
    """The model's server when so many steps were done, each as far as it goes."""
    done = 0
    last, server = "", before
    for step, after in expected(before, writer):
        if step != last:
            done, last = done + 1, step
        if done > count:
            return server
        server = after
    return server
