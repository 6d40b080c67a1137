"""Whoever follows a copy of the mirror has what one that asks the feed has, at each step, on both stores."""

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mirror.conftest import Far
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode
from tests.support.web_folder import WebFolder


@pytest.fixture(params=["sqlite", "web", "opensearch"])
def both(far: Far, request: pytest.FixtureRequest) -> Iterator[Far]:
    """The reader on each kind of store, of a copy, of a web server, and of a mirror of the mirror. The one
    that asks the feed itself has SQLite."""
    if request.param == "sqlite":
        yield far
        return
    if request.param == "web":
        with WebFolder(far.folder) as server:
            far.far.environ["CTISYNC_CTI__URL"] = f"mirror+{server.url}"
            yield far
        return
    with WebFolder(far.folder) as server:
        far.relay_by(f"mirror+{server.url}")
        yield from on_opensearch(far, request)


def on_opensearch(far: Far, request: pytest.FixtureRequest) -> Iterator[Far]:
    node: OpenSearchNode = request.getfixturevalue("opensearch_2")
    far.far.environ |= {
        "CTISYNC_STORE__URL": node.url,
        "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
        "CTISYNC_CONSUMERS": json.dumps([{"index": f"mirror-{uuid.uuid4().hex[:12]}"}]),
    }
    node.wipe()
    yield far
    node.wipe()


def test_snapshot_increments_deletes_gaps_and_a_poisoned_change_come_through(both: Far) -> None:
    far, history = both, both.feed.history
    far.in_step()
    for seed in (2, 3):
        churn(history, 700, seed=seed)
        far.in_step()
    history.gap(2500)
    churn(history, 5, seed=4)
    far.in_step()
    assert [each["count"] for each in far.manifest()["segments"]].count(0) >= 1, "a gap as long as a segment"

    poison = history.poison(history.names()[0])
    churn(history, 5, seed=5)
    far.in_step(code=6)
    history.mend(poison)
    far.feed.publish_snapshot()
    churn(history, 5, seed=6)
    far.in_step()


def test_a_reset_of_the_feed_comes_through_by_a_command(both: Far) -> None:
    far = both
    far.in_step()
    far.feed.reset(first_offset=500)
    populate(far.feed.history, 12)
    far.feed.publish_snapshot()
    far.feed.info["inserted_at"] = "2026-11-30T00:00:00Z"
    assert far.mirror().returncode == 6
    far.near.environ["CTISYNC_ON_FEED_RESET"] = "init"
    assert far.mirror().returncode == 0
    far.carry()
    before = far.far.run("export").stdout
    refused = far.far.run("sync", CTISYNC_ON_FEED_RESET="init")
    assert (refused.returncode, far.far.run("export").stdout) == (6, before)
    assert "init-snapshot" in refused.stderr
    for host in (far.far, far.direct):
        assert host.run("init-snapshot").returncode == 0
    far.in_step()


def test_a_copy_that_is_merely_older_changes_nothing_and_never_loads(far: Far) -> None:
    far.mirror()
    far.carry()
    old = far.copy.with_name("old")
    shutil.copytree(far.copy, old)
    churn(far.feed.history, 30, seed=2)
    far.feed.publish_snapshot()
    far.in_step()
    before, state = far.far.run("export").stdout, status(far)
    ended = far.far.run("sync", CTISYNC_CTI__URL=old.as_uri(), CTISYNC_ON_FEED_RESET="init")
    assert ended.returncode == 0
    assert "the mirror is behind" in ended.stderr
    assert far.far.run("export").stdout == before
    assert status(far)["checked_at"] == state["checked_at"]
    assert status(far)["last_offset"] == state["last_offset"]


def status(far: Far) -> dict[str, Any]:
    one: dict[str, Any] = json.loads(far.far.run("status", "--json").stdout)["consumers"][0]
    return one


def another_change(feed: FeedSimulator) -> None:
    feed.history.edit(feed.history.last_offset, inserted_at="2026-11-30T00:00:00Z")


def another_consumer(feed: FeedSimulator) -> None:
    feed.info["id"] = 5


@pytest.mark.parametrize("alter", [another_change, another_consumer])
def test_another_history_is_refused_and_the_content_stays(
    far: Far, alter: Callable[[FeedSimulator], None]
) -> None:
    far.in_step()
    alter(far.feed)
    churn(far.feed.history, 30, seed=2)
    far.feed.publish_snapshot()
    shutil.rmtree(far.folder)
    assert far.mirror().returncode == 0
    far.carry()
    before = far.far.run("export").stdout
    ended = far.far.run("sync")
    assert ended.returncode == 6
    assert "another history" in ended.stderr
    assert far.far.run("export").stdout == before
    assert far.far.run("init-snapshot").returncode == 0
    assert far.far.run("sync").returncode == 0


def test_behind_the_floor_a_newer_snapshot_is_loaded(far: Far) -> None:
    far.in_step()
    far.near.environ |= {"CTISYNC_MIRROR__KEEP_SNAPSHOTS": "1", "CTISYNC_MIRROR__KEEP_CHANGES": "0"}
    churn(far.feed.history, 2500, seed=2)
    far.feed.publish_snapshot()
    churn(far.feed.history, 20, seed=3)
    assert far.mirror().returncode == 0
    far.carry()
    floor = far.manifest()["floor"]
    assert floor > status(far)["offset"]
    refused = far.far.run("update")
    assert refused.returncode == 6
    assert str(status(far)["offset"]) in refused.stderr
    far.in_step()


def test_the_age_is_that_of_the_feeds_answer(far: Far) -> None:
    far.in_step()
    assert status(far)["checked_at"][:19] == far.manifest()["checked_at"][:19]
    assert far.far.run("status", "--check", "--warn-age", "1h").returncode == 0
    assert far.far.run("status", "--check", "--warn-age", "0s").returncode == 1
    before = status(far)["checked_at"]
    assert far.far.run("sync").returncode == 0
    assert status(far)["checked_at"] == before, "nobody has asked the feed since"


def test_a_damaged_copy_is_6_an_incomplete_one_5_and_the_next_copy_heals(far: Far) -> None:
    far.in_step()
    before = far.far.run("export").stdout
    churn(far.feed.history, 30, seed=2)
    assert far.mirror().returncode == 0
    far.carry()
    newest = far.place / far.manifest()["segments"][-1]["name"]
    content = newest.read_bytes()
    newest.write_bytes(content[:-1] + b"x")
    assert far.far.run("sync").returncode == 6
    newest.unlink()
    assert far.far.run("sync").returncode == 5
    assert far.far.run("export").stdout == before
    assert "cooldown" not in far.far.run("status", "--json").stdout.replace('"cooldown": null', "")
    far.in_step()


def test_doctor_looks_at_the_folder(far: Far) -> None:
    far.in_step()
    assert "the mirror" in far.far.run("doctor").stdout
    shutil.rmtree(far.copy)
    gone = far.far.run("doctor")
    assert gone.returncode == 2
    assert "not complete" in gone.stdout


def test_a_dry_run_says_offsets_and_bytes_and_writes_nothing(far: Far) -> None:
    first = far.mirror("--dry-run")
    assert (first.returncode, far.folder.exists()) == (0, False)
    assert "add the snapshot of offset 1,030, of " in first.stdout
    far.mirror()
    before = {path: path.stat().st_mtime_ns for path in far.folder.rglob("*")}
    churn(far.feed.history, 30, seed=2)
    second = far.mirror("--dry-run")
    assert "changes of " in second.stdout
    assert {path: path.stat().st_mtime_ns for path in far.folder.rglob("*")} == before


def test_a_cooldown_is_kept_in_the_folder(far: Far) -> None:
    far.feed.fail("info", failures.status(429, {"Retry-After": "600"}), times=None)
    far.near.environ["CTISYNC_CTI__COOLDOWN"] = "600"
    assert far.mirror().returncode == 5
    far.feed.heal()
    far.feed.requests.clear()
    refused = far.mirror()
    assert refused.returncode == 5
    assert "cool-down" in refused.stderr
    assert far.feed.requests == []
    assert far.mirror("--now").returncode == 0


@pytest.mark.parametrize("url", ["file:///cti", "mirror+https://localhost:9/cti"])
def test_a_mirror_has_no_plans(far: Far, url: str) -> None:
    ended = far.far.run("plans", CTISYNC_CTI__URL=url)
    assert ended.returncode == 3
    assert "cti.url is a mirror" in ended.stderr


@pytest.mark.parametrize(
    ("url", "form"),
    [
        *((url, "file:///") for url in ("file://host/cti", "file:cti", "file:///cti?a=b", "file:///a%00b")),
        *((f"mirror+{url}", "https://") for url in ("ftp://a/cti", "https:///cti", "https://a/cti?b", "a")),
        ("mirror+https://user:word@a/cti", "cti.token"),
    ],
)
def test_an_address_of_no_mirror_is_a_mistake_in_the_settings(far: Far, url: str, form: str) -> None:
    ended = far.far.run("config", "check", CTISYNC_CTI__URL=url)
    assert ended.returncode == 3
    assert form in ended.stderr + ended.stdout
    assert "word@" not in ended.stderr + ended.stdout


def test_a_secret_that_goes_to_a_mirror_without_tls_is_pointed_out(far: Far) -> None:
    ended = far.far.run(
        "config", "check", CTISYNC_CTI__URL="mirror+http://mirror.example/cti", CTISYNC_CTI__TOKEN="s3cret"
    )
    assert "cti.token goes over the network without TLS" in ended.stderr + ended.stdout


def test_commands_treat_a_web_mirror_as_a_folder(far: Far) -> None:
    far.mirror()
    with WebFolder(far.folder) as server:
        far.far.environ["CTISYNC_CTI__URL"] = f"mirror+{server.url}"
        for words in (["sync", "--dry-run"], ["sync"], ["verify"], ["init-snapshot"]):
            assert (ended := far.far.run(*words)).returncode == 0, (words, ended.stdout, ended.stderr)
        lines = far.far.run("doctor").stdout.splitlines()
        assert [line.split()[0] for line in lines if " mirror " in line] == ["ok", "ok"], lines
        for words in (["init-snapshot", "--from"], ["verify", "--against"]):
            refused = far.far.run(*words, f"{server.url}/5_1.zip")
            assert (refused.returncode, "downloads nothing" in refused.stderr) == (2, True), refused.stderr
    status = json.loads(far.far.run("status", "--json").stdout)["consumers"][0]
    assert status["checked_at"][:19] == far.manifest()["checked_at"][:19]


def test_config_check_accepts_a_folder(far: Far) -> None:
    assert far.far.run("config", "check").returncode == 0
