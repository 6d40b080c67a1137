"""What the page says to type: the situation in which it is typed, and whether it has helped."""

import time
from collections.abc import Iterator

from tests.docs.situations import recipe
from tests.docs.situations_feed import BUSY, block
from tests.docs.situations_node import CONSUMER, fill_up, without_shards
from tests.docs.situations_sqlite import damage
from tests.docs.stage import LAST_OFFSET, Stage
from tests.stores import opensearch_kit as kit
from tests.support import feed_failures as failures
from tests.support.records import comparable


def assert_in_step(stage: Stage) -> None:
    """The content is value for value what the feed holds."""
    exported = stage.run("export").text.encode().splitlines()
    assert [comparable(line) for line in exported] == [
        comparable(line) for line in stage.feed.expected_lines()
    ]


def snapshots(stage: Stage) -> int:
    """How often one was downloaded; a look asks for its first byte alone."""
    return sum(request.headers.get("range") != "bytes=0-0" for request in stage.feed.requests_for("snapshot"))


@recipe("first-look")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    yield
    assert snapshots(stage) == 1


@recipe("first-look-at-the-timer")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    yield


@recipe("more-of-the-log")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    yield


@recipe("check-limits")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    yield


@recipe("disk")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    yield


@recipe("timer-stop")
def _(stage: Stage) -> Iterator[None]:
    yield


@recipe("timer-start")
def _(stage: Stage) -> Iterator[None]:
    yield


@recipe("holder")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    stage.feed.fail("changes", failures.stall(60))
    running = stage.ctisync.start("sync", "-q")
    while not stage.feed.requests_for("changes"):
        time.sleep(0.02)
    stage.names[str(running.pid)] = "4711"
    yield
    running.communicate(timeout=120)
    assert running.returncode == 143
    assert stage.passes() == 0


@recipe("lease", node=True)
def _(stage: Stage) -> Iterator[None]:
    stage.follow()
    kit.put_lease(stage.node, CONSUMER, owner="ctisync")
    yield
    assert '"owner":"ctisync"' in stage.typed


@recipe("cooldown")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    stage.feed.fail("info", BUSY)
    assert stage.passes() == 5
    yield
    first, second = stage.typed.split("store  ")[1:]
    assert "cool-down" in first
    assert "35 behind" in second
    assert "cool-down" in stage.run("status").text, "to ask is not to end it"


@recipe("blocked")
def _(stage: Stage) -> Iterator[None]:
    assert block(stage).code == 6
    yield
    assert f"/{LAST_OFFSET}_" in stage.typed
    assert '{"name":"CVE-2003-10003"' in stage.typed
    assert '"path":"/there/is/nothing/here"' in stage.typed


@recipe("damaged")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    damage(stage)
    yield
    assert_in_step(stage)


@recipe("owner")
def _(stage: Stage) -> Iterator[None]:
    stage.follow()
    yield
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (stage.state, *stage.state.iterdir())}
    assert len(owners) == 1


@recipe("red", node=True)
def _(stage: Stage) -> Iterator[None]:
    stage.follow()
    without_shards(stage, "wazuh-cve")
    yield
    assert "red    open   ctisync-wazuh-cve-" in stage.typed
    assert '"index" : "ctisync-wazuh-cve-' in stage.typed


@recipe("lift-block", node=True)
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    fill_up(stage)
    assert stage.passes() == 7
    yield
    assert_in_step(stage)


@recipe("forget")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    stage.environ["CTISYNC_CONSUMERS"] = '[{"consumer": "another"}]'
    yield
    assert "not configured" not in stage.run("status").text
    assert not any(b"CVE-" in file.read_bytes() for file in stage.database.parent.glob("ctisync.db*"))


@recipe("move-to-opensearch", node=True)
def _(stage: Stage) -> Iterator[None]:
    del stage.environ["CTISYNC_STORE__URL"]
    stage.follow(30)
    yield
    stage.use_store(stage.node.url)
    assert_in_step(stage)
    assert snapshots(stage) == 1, "nothing is downloaded again"


@recipe("start-again-sqlite")
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    yield
    assert_in_step(stage)
    assert snapshots(stage) == 2


@recipe("start-again-opensearch", node=True)
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    content = kit.document(stage.node, CONSUMER) | {"of others": {"offset": 7}}
    content["vd_4.8.0"]["ctisync"]["schema"] = 2
    kit.put_document(stage.node, CONSUMER, content)
    assert stage.passes() == 3
    yield
    assert_in_step(stage)
    assert snapshots(stage) == 2
    assert kit.document(stage.node, CONSUMER)["of others"] == {"offset": 7}


@recipe("remove-from-opensearch", node=True)
def _(stage: Stage) -> Iterator[None]:
    stage.follow(30)
    content = kit.document(stage.node, CONSUMER) | {"of others": {"offset": 7}}
    kit.put_document(stage.node, CONSUMER, content)
    yield
    left = str(stage.node.request("GET", "/_alias?expand_wildcards=all"))
    assert "wazuh-context" in left
    assert "wazuh-cve" not in left
    assert "ctisync-history" not in left
    assert kit.document(stage.node, CONSUMER)["of others"] == {"offset": 7}
    assert "empty" in stage.run("status").text


@recipe("remove-files")
def _(stage: Stage) -> Iterator[None]:
    stage.follow()
    yield
    assert not stage.state.exists()


@recipe("without-a-network")
def _(stage: Stage) -> Iterator[None]:
    (snapshot,) = stage.feed.files.values()
    (stage.home / "1901695_1746459961.zip").write_bytes(snapshot.body)
    yield
    assert_in_step(stage)
    assert stage.feed.requests == []
