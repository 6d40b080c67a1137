"""`serve`: clients that speak only the API get the same content as from the feed, and begin anew only if they
must."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ctisync.core.trust import Trust
from ctisync.core.wire import change_texts
from ctisync.settings.model import MirrorSettings
from ctisync.signatures import SigningKey
from tests.mirror.parts import MINISIGN, PUBLIC, Mirror
from tests.mirror.serving import PATH, Served, Wazuh5, Wazuh414, WazuhClient
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        populate(simulator.history, 20)
        simulator.publish_snapshot()
        churn(simulator.history, 1500)
        yield simulator


@pytest.fixture
def mirror(feed: FeedSimulator, tmp_path: Path) -> Mirror:
    one = Mirror(tmp_path, feed)
    one.publish()
    return one


@pytest.fixture
def served(mirror: Mirror) -> Iterator[Served]:
    with Served(mirror) as server:
        yield server


@pytest.fixture(params=[Wazuh414, Wazuh5], ids=["4.14", "5.x"])
def client(request: pytest.FixtureRequest, served: Served) -> WazuhClient:
    one: WazuhClient = request.param(served.client)
    return one


def truth(feed: FeedSimulator) -> dict[str, int]:
    return {name: json.loads(line)["offset"] for name, line in feed.expected_records().items()}


def publish(mirror: Mirror, feed: FeedSimulator, changes: int, seed: int = 2) -> None:
    churn(feed.history, changes, seed)
    mirror.publish()
    mirror.clock.advance(seconds=2)


def test_a_client_follows_the_feed_and_loads_the_snapshot_once(
    client: WazuhClient, mirror: Mirror, feed: FeedSimulator
) -> None:
    for seed, changes in enumerate((0, 1, 999, 1000, 1001, 2500, 0, 3)):
        publish(mirror, feed, changes, seed)
        assert client.run()
        assert client.content == truth(feed)
        assert client.run()
    assert client.loads == 1


def test_a_gap_at_the_end_of_the_feed_is_no_reason_to_load_the_snapshot(
    client: WazuhClient, mirror: Mirror, feed: FeedSimulator
) -> None:
    feed.history.gap(1700)
    publish(mirror, feed, 0)
    for _ in range(4):
        assert client.run()
        assert client.content == truth(feed)
    publish(mirror, feed, 5)
    assert client.run()
    assert client.content == truth(feed)
    assert client.loads == 1


def test_below_the_floor_a_client_loads_the_newer_snapshot(
    client: WazuhClient, served: Served, mirror: Mirror, feed: FeedSimulator
) -> None:
    client.run()
    mirror.settings = MirrorSettings(snapshot_age=0.0, keep_snapshots=1, keep_changes=0.0)
    churn(feed.history, 3000, 3)
    feed.publish_snapshot()
    mirror.clock.advance(days=1)
    publish(mirror, feed, 100)
    served.consumer()
    assert served.changes(client.offset, client.offset + 1000).status_code == 410
    assert client.run()
    assert client.content == truth(feed)
    assert client.loads == 2


def test_a_client_that_begins_at_the_highest_line_of_the_oldest_snapshot_finds_all_changes(
    served: Served, mirror: Mirror, feed: FeedSimulator
) -> None:
    """A snapshot's last changes are deletes, so that its highest line is far below its offset."""
    for name in feed.history.names()[:5]:
        feed.history.delete(name)
    feed.history.gap(3000)
    feed.publish_snapshot()
    mirror.settings = MirrorSettings(snapshot_age=0.0, keep_snapshots=1, keep_changes=0.0)
    mirror.clock.advance(days=1)
    publish(mirror, feed, 10)
    client = Wazuh414(served.client)
    assert client.run()
    assert client.content == truth(feed)
    assert client.loads == 1


def test_an_older_copy_makes_clients_wait_and_keep_what_they_have(
    client: WazuhClient, served: Served, mirror: Mirror, feed: FeedSimulator, tmp_path: Path
) -> None:
    old = mirror.copied()
    publish(mirror, feed, 700)
    assert client.run()
    newer = mirror.root.rename(tmp_path / "newer")
    old.rename(mirror.root)
    mirror.clock.advance(seconds=2)
    before = dict(client.content)
    assert not client.run()
    assert (client.content, client.loads) == (before, 1)
    # A client that has asked before may still ask for changes: those are answered.
    reply = served.changes(client.offset - 700, client.offset)
    assert reply.status_code == 200
    assert reply.json()["data"][-1]["offset"] == client.offset
    (waits,) = served.log.named("serve-waits")
    assert "older copy" in waits["why"]
    mirror.root.rename(tmp_path / "older")
    newer.rename(mirror.root)
    publish(mirror, feed, 20)
    assert client.run()
    assert (client.content, client.loads) == (truth(feed), 1)


def test_what_clients_were_sent_is_remembered_over_a_restart_and_can_be_forgotten(
    served: Served, mirror: Mirror, feed: FeedSimulator, tmp_path: Path
) -> None:
    before, old = served.data()["last_offset"], mirror.copied()
    publish(mirror, feed, 700)
    last_offset = served.data()["last_offset"]
    mirror.root = old
    with Served(mirror) as restarted:
        assert restarted.consumer().status_code == 503
        assert restarted.changes(1000, 2000).status_code == 200
        reply = restarted.changes(last_offset - 1000, last_offset)
        assert reply.status_code == 500, "a part of them would be taken for all of them"
        (waits,) = restarted.log.named("serve-waits")
        assert waits["hint"].endswith(f"rm {restarted.memory}")
        restarted.memory.unlink()
        assert restarted.data()["last_offset"] == before


def test_a_feed_that_began_anew_is_announced_although_its_last_offset_is_lower(
    served: Served, mirror: Mirror, feed: FeedSimulator
) -> None:
    client = Wazuh5(served.client)
    client.run()
    feed.reset(first_offset=1)
    feed.info["id"] = 5
    populate(feed.history, 7, first=900)
    feed.publish_snapshot()
    mirror.on_feed_reset = "init"
    publish(mirror, feed, 50)
    assert client.run()
    assert client.content == truth(feed)
    assert client.loads == 2


def test_updates_without_operations_are_there_unless_they_are_not_wanted(
    served: Served, mirror: Mirror, feed: FeedSimulator
) -> None:
    begin = feed.history.last_offset
    name = feed.history.names()[0]
    empty = [feed.history.update(name, []), feed.history.update(name, None)]
    created = feed.history.create_empty("CVE-EMPTY")
    publish(mirror, feed, 0)
    served.consumer()
    for query, offsets in (
        ({}, [*empty, created]),
        ({"with_empties": "true"}, [*empty, created]),
        ({"with_empties": "false"}, [created]),
    ):
        reply = served.changes(begin, begin + 1000, **query)
        assert [change["offset"] for change in reply.json()["data"]] == offsets


def test_changes_are_those_of_the_feed_in_any_range(served: Served, feed: FeedSimulator) -> None:
    served.consumer()
    for after in range(1000, feed.history.last_offset + 1500, 313):
        for width in (1, 7, 687, 688, 999, 1000):
            reply = served.changes(after, after + width)
            direct = served.get(f"{feed.url}{reply.request.url.raw_path.decode().removeprefix('/api/v1')}")
            assert change_texts(reply.content) == change_texts(direct.content)


def test_clients_wait_above_an_age_that_the_feed_itself_has(mirror: Mirror) -> None:
    with Served(mirror, Trust(max_age=timedelta(days=2))) as served:
        assert served.consumer().status_code == 200
        mirror.clock.advance(days=2)
        assert served.consumer().status_code == 503
        assert served.get("/healthz").status_code == 503
        assert served.changes(1000, 2000).status_code == 200
        mirror.publish()
        assert served.consumer().status_code == 200
        assert served.get("/healthz").json() == {"vd_1.0.0/vd_4.8.0": True}


def test_with_trusted_keys_clients_get_only_what_one_of_them_has_signed(mirror: Mirror) -> None:
    with Served(mirror, Trust((PUBLIC,))) as served:
        assert served.consumer().status_code == 503
        (waits,) = served.log.named("serve-waits")
        assert "not trusted" in waits["why"]
        mirror.key = SigningKey(MINISIGN / "plain.key")
        mirror.publish()
        assert served.consumer().status_code == 200
        mirror.key = None
        mirror.publish()
        assert served.consumer().status_code == 503


def test_one_reply_is_of_one_manifest_whatever_the_publisher_does(
    served: Served, mirror: Mirror, feed: FeedSimulator
) -> None:
    for seed in range(5):
        churn(feed.history, 30, seed)
        feed.publish_snapshot()
        mirror.publish()
        data = served.data()
        assert data["last_offset"] == feed.history.last_offset
        assert f"/{data['last_snapshot_offset']}_" in data["last_snapshot_link"]
        assert served.get(data["last_snapshot_link"]).status_code == 200


def test_another_consumer_is_not_there(served: Served) -> None:
    assert served.get(PATH.replace("vd_4.8.0", "vd_5.0.0")).status_code == 404
    assert served.get(PATH.replace("vd_1.0.0", "..")).status_code == 404
