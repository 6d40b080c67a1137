"""What the page shows of a feed: not reachable, busy, refused, gone back, blocked."""

from tests.docs.situations import shown_by, situation
from tests.docs.stage import FEED, Printed, Stage
from tests.support import feed_failures as failures
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import unused_port
from tests.support.lying_feed import FeedRequest, LyingFeed
from tests.support.raw_server import Line, head

BUSY = failures.status(429, {"Retry-After": "3600"})
A_WEB_PAGE = b"<!DOCTYPE html><html>Please sign in</html>"


def block(stage: Stage) -> Printed:
    """A change that cannot be applied, and that the snapshot on offer does not have behind it."""
    stage.follow(30)
    stage.feed.history.poison("CVE-2003-10003")
    churn(stage.feed.history, 40, seed=3)
    return stage.run("sync", "-q")


@situation("unreachable")
def _(stage: Stage) -> Printed:
    nobody = f"http://127.0.0.1:{unused_port()}"
    stage.names[nobody] = FEED
    return stage.run("sync", "-q", CTISYNC_CTI__URL=f"{nobody}/api/v1")


@situation("busy")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    stage.feed.fail("info", BUSY)
    return stage.run("sync", "-q")


@situation("cooldown")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    stage.feed.fail("info", BUSY)
    stage.passes()
    return stage.run("sync", "-q")


@situation("pass-seconds")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    return stage.run("sync", "-q", CTISYNC_LIMITS__PASS_SECONDS="0.001")


@situation("min-rate")
def _(stage: Stage) -> Printed:
    with LyingFeed(stage.feed, {"snapshot": drip}) as slow:
        stage.names[slow.origin] = FEED
        environ = {"CTISYNC_CTI__URL": slow.url, "CTISYNC_CTI__RETRY_BUDGET": "1", "HURRIED_WINDOW": "0.3"}
        return stage.run("sync", "-q", **environ)


def drip(line: Line, request: FeedRequest) -> None:
    line.send(head("200 OK", "Content-Length: 600000000"))
    line.send_for_ever(b"x", every=0.1)


@situation("snapshot-content")
def _(stage: Stage) -> Printed:
    stage.feed.publish_snapshot(body=A_WEB_PAGE)
    return stage.run("sync", "-q")


@situation("snapshot-again")
def _(stage: Stage) -> Printed:
    stage.feed.publish_snapshot(body=A_WEB_PAGE)
    stage.passes()
    return stage.run("sync", "-q")


shown_by("snapshot-limit", "sync", "-q", CTISYNC_LIMITS__LINE_BYTES="1500")


@situation("snapshot-link")
def _(stage: Stage) -> Printed:
    stage.feed.info["last_snapshot_link"] = "https://files.example.com/1901695_1746459961.zip"
    return stage.run("sync", "-q")


@situation("feed-reply")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    stage.feed.fail("changes", failures.without_data(), times=None)
    return stage.run("sync", "-q")


@situation("feed-no-json")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    stage.feed.fail("info", failures.html(), times=None)
    return stage.run("sync", "-q")


@situation("went-back")
def _(stage: Stage) -> Printed:
    stage.follow()
    stage.feed.reset()
    populate(stage.feed.history, 5)
    return stage.run("sync", "-q")


@situation("blocked")
def _(stage: Stage) -> Printed:
    return block(stage).last(2)


@situation("status-blocked")
def _(stage: Stage) -> Printed:
    block(stage)
    return stage.run("status")


@situation("blocked-no-snapshot")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    stage.feed.history.poison("CVE-2003-10003")
    stage.feed.info.update(last_snapshot_link=None, last_snapshot_offset=None)
    return stage.run("sync", "-q").last(2)


@situation("blocked-update")
def _(stage: Stage) -> Printed:
    stage.follow(30)
    stage.feed.history.poison("CVE-2003-10003")
    return stage.run("update", "-q").last(2)


@situation("offset-guessed")
def _(stage: Stage) -> Printed:
    file = stage.home / "cve.ndjson"
    file.write_bytes(b"\n".join(stage.feed.expected_lines()))
    return stage.run("init-snapshot", "-q", "--from", str(file))
