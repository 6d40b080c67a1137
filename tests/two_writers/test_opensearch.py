"""Several processes on one OpenSearch: whoever was paused and overtaken changes nothing when he goes on.

`SCHEDULES=1000` runs so many of them instead of a few.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ctisync.errors import AnotherPass
from ctisync.stores.opensearch import lease as leases
from ctisync.stores.opensearch.client import OpenSearchReply
from ctisync.stores.opensearch.store import OpenSearchStore
from ctisync.system.locks import lock_for_server
from tests.stores import opensearch_kit as kit
from tests.support.faults_node import TransportInFront
from tests.support.figures import figure
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import record
from tests.two_writers.processes import DONE, Pass, Place, run_here
from tests.two_writers.schedules import Outcome, assert_made_good, chain

SCHEDULES = int(os.environ.get("SCHEDULES", "16"))


def holder(node: OpenSearchNode, place: Place) -> int | None:
    """The process id of who holds the lease."""
    try:
        lease = kit.document(node, place.consumer)[place.consumer.name]["ctisync"]["lease"]
    except Exception:  # noqa: BLE001  # no document yet, or not ours
        return None
    return None if lease is None else int(lease["pid"])


def test_whoever_was_stopped_and_overtaken_writes_nothing_more(
    opensearch_2: OpenSearchNode, tmp_path: Path
) -> None:
    outcomes: list[Outcome] = []
    for seed in range(SCHEDULES):
        place = Place(opensearch_2.url, kit.new_consumer())
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcomes.append(chain(place, seed, folder, lambda place=place: holder(opensearch_2, place)))  # type: ignore[misc]
        accepted = outcomes[-1].accepted
        assert accepted == [], f"schedule {seed}: fenced writes were accepted"
        if len(kit.aliases(opensearch_2, place.consumer)) != 1:
            assert run_here(place._replace(steals=True), seed, folder / "told") == DONE
        for index in kit.aliases(opensearch_2, place.consumer):
            opensearch_2.request("DELETE", f"/{index}")
    assert sum(outcome.overtaken for outcome in outcomes) >= SCHEDULES / 2
    assert sum(outcome.late for outcome in outcomes) > 0
    processes = sum(outcome.processes for outcome in outcomes)
    late = sum(outcome.late for outcome in outcomes)
    figure(
        f"T5 on OpenSearch: {processes} processes in {len(outcomes)} schedules: equal digests in "
        f"{len(outcomes)}; 0 of {late} fenced writes accepted"
    )


@pytest.mark.parametrize("moment", [6, 19, 31])
def test_a_lease_that_ran_out_while_its_holder_was_stopped_is_taken_over_and_he_notices(
    opensearch_2: OpenSearchNode, tmp_path: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is another host: he must wait for the lease to end, and is refused until then."""
    place, commands = Place(opensearch_2.url, kit.new_consumer(), steals=False, ttl=3.0), tmp_path / "told"
    monkeypatch.setattr(leases, "LEASE_TTL", place.ttl)  # undone after this test
    began = time.monotonic()
    first = Pass(place, moment, commands, stops_at=moment)
    assert first.stopped()
    try:
        codes = [run_here(place, moment, commands)[0]]
        in_time = time.monotonic() - began < place.ttl
        while codes[-1] != 0:
            assert codes[-1] == AnotherPass.exit_code
            time.sleep(0.2)
            codes.append(run_here(place, moment, commands)[0])
        assert len(codes) > 1 or not in_time, "the lease was not waited for"
        first.go_on()
        ended = first.ended()
        assert ended.code == AnotherPass.exit_code
        assert not any(sent.accepted for sent in ended.after_stop)
    finally:
        first.kill()
    assert_made_good(place, moment, commands)


def test_a_live_pass_keeps_its_lease_from_a_pass_of_the_same_host_that_holds_another_lock(
    opensearch_2: OpenSearchNode, tmp_path: Path
) -> None:
    """As in another state folder, with another spelling of the URLs, or in another container."""
    consumer, url, commands = kit.new_consumer(), opensearch_2.url, tmp_path / "told"
    own = lock_for_server(made(tmp_path / "state"), (url,), consumer)
    others = [
        lock_for_server(made(tmp_path / "another state"), (url,), consumer),
        lock_for_server(made(tmp_path / "state"), (url, f"{url}/"), consumer),
    ]
    place = Place(url, consumer, lock=own)
    first = Pass(place, 19, commands, stops_at=19)
    assert first.stopped()
    try:
        for lock in others:
            code, message = run_here(place._replace(lock=lock), 19, commands)
            assert code == AnotherPass.exit_code
            assert f"process {first.pid}, lease until" in message
        first.go_on()
        assert first.ended().code == 0
    finally:
        first.kill()
    assert_made_good(place, 19, commands)


def test_a_killed_passs_lease_is_taken_over_at_once_under_its_own_lock_and_under_no_other(
    opensearch_2: OpenSearchNode, tmp_path: Path
) -> None:
    """A copy of its lock file is another one."""
    consumer, commands = kit.new_consumer(), tmp_path / "told"
    place = Place(opensearch_2.url, consumer, lock=tmp_path / "x.lock")
    first = Pass(place, 19, commands, stops_at=19)
    assert first.stopped()
    first.kill()
    assert holder(opensearch_2, place) == first.pid
    copied = tmp_path / "copied.lock"
    shutil.copy2(tmp_path / "x.lock", copied)
    assert run_here(place._replace(lock=copied), 19, commands)[0] == AnotherPass.exit_code
    assert run_here(place, 19, commands) == DONE
    assert_made_good(place, 19, commands)


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("steals", [False, True], ids=["leases are kept", "leases are stolen all the time"])
def test_eight_at_once_end_with_one_content(
    opensearch_2: OpenSearchNode, tmp_path: Path, steals: bool
) -> None:
    place, commands = Place(opensearch_2.url, kit.new_consumer(), steals=steals), tmp_path / "told"
    codes = [ended.ended().code for ended in [Pass(place, 7, commands) for _ in range(8)]]
    assert set(codes) <= {0, AnotherPass.exit_code}
    while run_here(place, 7, commands) != DONE:
        assert steals, "nobody holds the lease any more"
    assert_made_good(place, 7, commands)


class OvertakenBeforeReading(TransportInFront):
    """Another pass begins right after an index was made, before its maker looks at what it has become."""

    def __init__(self, store: OpenSearchStore, take_over: Callable[[], object]) -> None:
        super().__init__(store)
        self._take_over = take_over
        self._made: str | None = None

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if method == "GET" and target.partition("?")[0] == self._made:
            self._made = None
            self._take_over()
        reply = super().send(method, target, body, timeout)
        if method == "PUT" and target.startswith("/ctisync-"):
            self._made = target
        return reply


def test_whoever_is_overtaken_while_he_makes_a_generation_ends_with_4(opensearch_2: OpenSearchNode) -> None:
    """The new one has dropped it as a stray; that it is gone is no reason to doubt the server."""
    consumer = kit.new_consumer()
    with closing(kit.open_store(opensearch_2)) as store, closing(kit.open_store(opensearch_2)) as other:
        kit.initialise(store, consumer, [record("CVE-1", 1)], 10)

        def take_over() -> None:
            with other.writer(consumer):
                pass

        OvertakenBeforeReading(store, take_over)
        with pytest.raises(AnotherPass):
            kit.initialise(store, consumer, [record("CVE-2", 20)], 20)
        assert kit.lines(other, consumer) == [record("CVE-1", 1).line]
