"""The roles that come along are enough for a whole life on a secured node, and for nothing beyond it."""

import json

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable
from tests.support.secured_node import SecuredNode


def done(command: Ctisync, *arguments: str) -> str:
    """What a command prints that ends well, and complains of nothing."""
    ended = command.run(*arguments)
    assert (ended.returncode, ended.stderr) == (0, ""), (
        f"{arguments}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
    )
    return ended.stdout


def assert_holds(command: Ctisync, feed: FeedSimulator) -> None:
    lines = done(command, "export").encode().splitlines()
    assert [comparable(line) for line in lines] == [comparable(line) for line in feed.expected_lines()]


@pytest.mark.parametrize("key", ["password", "certificate"])
def test_the_role_for_passes_is_enough_for_a_whole_life(
    ctisync: Ctisync, feed: FeedSimulator, node: SecuredNode, key: str
) -> None:
    if key == "certificate":
        shown = node.holder("shown", "ctisync")
        ctisync.environ = {n: v for n, v in ctisync.environ.items() if "STORE" not in n} | shown
    ctisync.environ["CTISYNC_HISTORY"] = "2"

    done(ctisync, "sync", "-q")
    assert_holds(ctisync, feed)
    for seed in range(3):  # more passes than the history keeps, with updates and deletes
        churn(feed.history, 60, seed=seed)
        done(ctisync, "sync", "-q")
    assert_holds(ctisync, feed)
    feed.publish_snapshot()
    done(ctisync, "init-snapshot", "-q")
    assert_holds(ctisync, feed)
    done(ctisync, "verify", "-q", "--deep")
    done(ctisync, "doctor", "-q")
    [history] = json.loads(done(ctisync, "history", "--json"))["consumers"]
    assert len(history["passes"]) == 2
    plan = done(ctisync, "forget", "--consumer", "vd_4.8.0", "--dry-run")
    assert "records, " in plan
    assert "B: ctisync-wazuh-cve-" in plan, "how large it is"
    done(ctisync, "forget", "--consumer", "vd_4.8.0", "--yes")
    assert "has no data of" in done(ctisync, "forget", "--consumer", "vd_4.8.0", "--yes")
    assert ctisync.run("export").returncode == 10


def test_the_role_for_readers_is_enough_to_read_everything_and_to_write_nothing(
    ctisync: Ctisync, reader: Ctisync, feed: FeedSimulator
) -> None:
    done(ctisync, "sync", "-q")
    done(ctisync, "init-snapshot", "-q")  # so that a replaced content is there, too

    assert_holds(reader, feed)
    assert json.loads(done(reader, "status", "--json"))["consumers"][0]["phase"] == "ready"
    done(reader, "status", "--check")
    done(reader, "verify", "-q", "--deep")
    name = json.loads(done(reader, "export").splitlines()[0])["name"]
    assert name in done(reader, "show", name)
    assert "initialised" in done(reader, "history")
    done(reader, "log")

    churn(feed.history, 60)
    refused = reader.run("sync", "-q")

    assert refused.returncode == 3
    assert "no permissions for [indices:" in refused.stderr
    assert done(ctisync, "sync", "-q") == ""
    assert_holds(reader, feed)
