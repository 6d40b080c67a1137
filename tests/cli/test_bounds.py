"""Cool-downs, limits and links as the shell sees them: the exit code, two lines, nothing asked or sent."""

import json
import re
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import CONSUMER_KEYS, Ctisync
from tests.support import feed_failures as failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.printed_error import assert_two_lines

BUSY = failures.status(429, {"Retry-After": "3600"})

CONTRACT = [
    "context",
    "consumer",
    "phase",
    "offset",
    "last_offset",
    "behind",
    "last_snapshot_link",
    "snapshot_offset",
    "records",
    "pending_command",
    "checked_at",
    "updated_at",
    "blocked_by",
]
"""The fields of a consumer in `status --json`, which other software relies on."""


@pytest.fixture
def cooling(ctisync: Ctisync, feed: FeedSimulator) -> Ctisync:
    """A content that is behind a feed which has asked to be left alone for an hour."""
    assert ctisync.run("sync", "-q").returncode == 0
    churn(feed.history, 30)
    ctisync.environ["CTISYNC_CTI__COOLDOWN"] = "600"
    feed.fail("info", BUSY)
    assert ctisync.run("sync", "-q").returncode == 5
    feed.requests.clear()
    return ctisync


@pytest.mark.parametrize("command", ["sync", "update", "init-snapshot"])
def test_a_pass_inside_a_cooldown_asks_nothing_and_says_until_when(
    cooling: Ctisync, feed: FeedSimulator, command: str
) -> None:
    ended = cooling.run(command, "-q")

    assert ended.returncode == 5
    assert_two_lines(ended.stderr, "vd_1.0.0/vd_4.8.0: cool-down of the feed until 20", "--tolerate-cooldown")
    assert "answers 429" in ended.stderr
    assert f"or at once: ctisync {command} --now" in ended.stderr
    assert feed.requests == []


@pytest.mark.parametrize("command", ["sync", "update", "init-snapshot"])
def test_an_operator_ends_it_with_now(cooling: Ctisync, feed: FeedSimulator, command: str) -> None:
    assert cooling.run(command, "-q", "--now").returncode == 0
    assert feed.requests_for("info")
    assert "cool-down" not in cooling.run("status").stdout


def test_a_cool_down_is_of_the_server_that_requested_it_and_no_other(
    cooling: Ctisync, feed: FeedSimulator
) -> None:
    """A way round a feed that is down for a day would be no way round."""
    mirror = feed.url.replace("127.0.0.1", "localhost")
    assert "cool-down" not in cooling.run("status", CTISYNC_CTI__URL=mirror).stdout
    assert cooling.run("sync", "-q", CTISYNC_CTI__URL=mirror).returncode == 0


def test_the_setting_that_wants_none_ends_it(cooling: Ctisync, feed: FeedSimulator) -> None:
    assert "cool-down" not in cooling.run("status", CTISYNC_CTI__COOLDOWN="0").stdout
    assert cooling.run("sync", "-q", CTISYNC_CTI__COOLDOWN="0").returncode == 0


def test_status_and_doctor_say_how_to_end_it(cooling: Ctisync) -> None:
    ended = cooling.run("doctor")
    assert "ctisync sync --now" in ended.stdout
    assert "--now" in cooling.run("status").stdout


@pytest.mark.parametrize("command", ["sync", "update", "init-snapshot"])
def test_cron_is_not_bothered_by_it(cooling: Ctisync, feed: FeedSimulator, command: str) -> None:
    quiet = cooling.run(command, "-q", "--tolerate-cooldown")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    ended = cooling.run(command, "--tolerate-cooldown")
    assert "outcome=cooldown" in ended.stderr
    assert feed.requests == []


def test_status_shows_it_and_its_document_does_not_change(cooling: Ctisync) -> None:
    assert "cool-down" in cooling.run("status").stdout
    (consumer,) = json.loads(cooling.run("status", "--json").stdout)["consumers"]
    assert consumer.keys() == CONSUMER_KEYS


def test_a_snapshot_that_a_person_brings_is_loaded_during_a_cool_down(
    cooling: Ctisync, feed: FeedSimulator
) -> None:
    link = feed.publish_snapshot()
    assert cooling.run("init-snapshot", "-q", "--from", link).returncode == 0
    assert [request.kind for request in feed.requests] == ["snapshot"]


def test_an_owed_command_goes_out_inside_it(ctisync: Ctisync, feed: FeedSimulator) -> None:
    with CommandManagerStandIn() as manager:
        ctisync.environ["CTISYNC_COMMAND_MANAGER__URL"] = manager.url
        ctisync.environ["CTISYNC_CTI__COOLDOWN"] = "600"
        manager.fail(400, times=2)
        assert ctisync.run("sync", "-q").returncode == 8
        feed.fail("info", BUSY)
        assert ctisync.run("sync", "-q").returncode == 5
        assert manager.commands == []
        manager.failures.clear()

        assert ctisync.run("sync", "-q").returncode == 5

        assert [command.offset for command in manager.commands] == [str(feed.history.last_offset)]


def test_a_spent_budget_is_remembered_unless_the_setting_says_no(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    feed.fail("info", failures.status(500), times=None)
    assert ctisync.run("sync", "-q", CTISYNC_CTI__COOLDOWN="0").returncode == 5
    assert ctisync.run("sync", "-q", CTISYNC_CTI__COOLDOWN="600").returncode == 5
    feed.heal()
    feed.requests.clear()
    ended = ctisync.run("sync", "-q", CTISYNC_CTI__COOLDOWN="600")
    assert ended.returncode == 5
    assert "cool-down of the feed until" in ended.stderr
    assert feed.requests == []


@pytest.mark.parametrize(
    ("setting", "value", "code", "message", "hint"),
    [
        ("SNAPSHOT_BYTES", "100", 6, "limits.snapshot_bytes is 100", "raise limits.snapshot_bytes"),
        (
            "UNZIPPED_BYTES",
            "100",
            6,
            "limits.unzipped_bytes",
            "raise limits.unzipped_bytes, then: ctisync init",
        ),
        ("LINE_BYTES", "10", 6, "limits.line_bytes", "raise limits.line_bytes"),
        ("JSON_DEPTH", "1", 6, "limits.json_depth", "init-snapshot"),
        ("REPLY_BYTES", "10", 6, "larger than 10 bytes", "raise limits.reply_bytes"),
        ("PASS_SECONDS", "0.000001", 5, "limits.pass_seconds", "raise limits.pass_seconds"),
    ],
)
def test_a_feed_beyond_a_limit_is_reported_with_the_setting_and_the_content_stays(
    ctisync: Ctisync, feed: FeedSimulator, setting: str, value: str, code: int, message: str, hint: str
) -> None:
    ctisync.run("sync", "-q")
    before = ctisync.run("export").stdout
    feed.history.create("CVE-2024-77", {"deep": {"er": ["x" * 200_000]}})
    feed.publish_snapshot()

    ended = ctisync.run("init-snapshot", "-q", **{f"CTISYNC_LIMITS__{setting}": value})

    assert ended.returncode == code
    assert_two_lines(ended.stderr, message, hint)
    assert ctisync.run("export").stdout == before
    assert ctisync.run("init-snapshot", "-q").returncode == 0


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("PATCH_OPERATIONS", "1", "2 operations, more than 1"),
        ("PATCH_COPIED_BYTES", "1", "the copies are larger than"),
        ("LINE_BYTES", "10", "more than limits.line_bytes"),
    ],
)
def test_a_change_beyond_a_limit_blocks_until_the_limit_is_raised(
    ctisync: Ctisync, feed: FeedSimulator, setting: str, value: str, reason: str
) -> None:
    ctisync.run("sync", "-q")
    name = next(iter(feed.expected_records()))
    operations = [
        {"op": "add", "path": "/one", "value": {}},
        {"op": "copy", "from": "/one", "path": "/two"},
    ]
    feed.history.update(name, operations)
    feed.files.clear()

    ended = ctisync.run("update", "-q", **{f"CTISYNC_LIMITS__{setting}": value})

    assert ended.returncode == 6
    assert reason in ended.stderr


def test_a_link_to_another_host_is_refused_until_it_is_allowed(ctisync: Ctisync, feed: FeedSimulator) -> None:
    with FeedSimulator() as other:
        feed.publish_snapshot(host=other)
        place = urlsplit(other.origin).netloc
        secret = {"CTISYNC_CTI__TOKEN": "canary-token"}

        ended = ctisync.run("sync", "-q", **secret)

        assert ended.returncode == 6
        assert_two_lines(ended.stderr, f"leads to {place}, which is not the feed's", "set cti.allowed_hosts")
        assert other.requests == []

        allowed = ctisync.run("sync", "-q", CTISYNC_CTI__ALLOWED_HOSTS=f'["{place}"]', **secret)
        assert allowed.returncode == 0
        assert [request.kind for request in other.requests] == ["snapshot"]
        assert "canary-token" not in str(other.requests)
        assert "canary-token" in str(feed.requests)


def test_status_says_which_command_was_accepted_last_and_when_the_feed_answered_last(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    """Without it, nobody knows whether readers were told of the content that is there."""
    with CommandManagerStandIn() as manager:
        ctisync.environ["CTISYNC_COMMAND_MANAGER__URL"] = manager.url
        assert ctisync.run("sync", "-q").returncode == 0
    feed.fail("info", failures.status(503), times=9)
    assert ctisync.run("sync", "-q").returncode == 5
    (status,) = json.loads(ctisync.run("status", "--json").stdout)["consumers"]
    assert status["accepted"].keys() == {"offset", "at"}
    assert status["accepted"]["offset"] == status["offset"] == feed.history.last_offset
    assert status["checked_at"] <= status["accepted"]["at"] <= status["tried_at"]
    shown = ctisync.run("status").stdout
    assert re.search(rf"command accepted +for offset {feed.history.last_offset:,}, just now", shown)
    assert re.search(r"last check +tried just now, answered just now", shown)
