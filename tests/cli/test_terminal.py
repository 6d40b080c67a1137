"""What a person at a terminal reads of a pass; a pipe, a file and a journal get lines for programs."""

import re
from collections.abc import Sequence

import pytest

from tests.cli.conftest import Ctisync
from tests.support import feed_failures as failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator, unused_port
from tests.support.terminal import shown

PAIR = re.compile(r"\b[a-z_]+=\S")


def read(ctisync: Ctisync, *arguments: str) -> tuple[int, list[str]]:
    """The exit code, and the lines of a terminal that shows both streams, without the bars' own orders."""
    code, text = shown(ctisync.command(*arguments), 80, ctisync.environ, ctisync.home)
    return code, [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]


@pytest.fixture(autouse=True)
def dumb(ctisync: Ctisync) -> None:
    """A terminal on which no bar is drawn: what is looked at are the lines."""
    ctisync.environ["TERM"] = "dumb"


def closing(lines: Sequence[str]) -> str:
    return re.sub(r" in [\d.]+ s;", " in 3 s;", lines[-1])


def test_a_person_reads_sentences_and_one_line_that_closes_the_pass(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    offset = feed.history.last_offset
    code, first = read(ctisync, "sync")
    assert code == 0
    assert f"vd_1.0.0/vd_4.8.0: 20 records loaded, at offset {offset:,}." in first
    assert closing(first) == (
        f"vd_1.0.0/vd_4.8.0: a snapshot loaded in 3 s; up to date at offset {offset:,}."
    )
    churn(feed.history, 1234)
    code, second = read(ctisync, "sync")
    assert code == 0
    assert closing(second) == (
        f"vd_1.0.0/vd_4.8.0: 1,234 changes applied in 3 s; up to date at offset {feed.history.last_offset:,}."
    )
    code, third = read(ctisync, "sync")
    assert (code, third) == (
        0, [f"vd_1.0.0/vd_4.8.0: nothing new; up to date at offset {feed.history.last_offset:,}."]
    )  # fmt: skip
    feed.history.create("CVE-NEW")
    assert "1 change applied" in closing(read(ctisync, "update")[1])
    for line in (*first, *second):
        assert not PAIR.search(line), line


def test_an_initialisation_says_how_far_the_feed_is_ahead(ctisync: Ctisync, feed: FeedSimulator) -> None:
    offset = feed.history.last_offset
    feed.history.create("CVE-NEW")
    _, lines = read(ctisync, "init-snapshot")
    assert closing(lines) == (
        f"vd_1.0.0/vd_4.8.0: a snapshot loaded in 3 s; at offset {offset:,}, 1 offset behind the feed."
    )


def test_with_v_a_person_reads_details_and_with_q_nothing(ctisync: Ctisync, feed: FeedSimulator) -> None:
    _, lines = read(ctisync, "sync", "-v")
    assert any("the feed is at offset" in line for line in lines)
    assert [line for line in lines if PAIR.search(line)] == []
    feed.history.create("CVE-NEW")
    assert read(ctisync, "sync", "-q") == (0, [])


def test_a_warning_is_a_sentence_with_what_to_type(ctisync: Ctisync, feed: FeedSimulator) -> None:
    read(ctisync, "sync", "-q")
    feed.history.create("CVE-NEW")
    with CommandManagerStandIn() as manager:
        manager.fail(500, times=9)
        ctisync.environ["CTISYNC_COMMAND_MANAGER__URL"] = manager.url
        code, lines = read(ctisync, "sync", "-q")
    assert code == 8
    message = "warning: vd_1.0.0/vd_4.8.0: the Command Manager did not accept the command for offset "
    assert lines[0].startswith(message)
    assert [line for line in lines if PAIR.search(line)] == []


def test_a_feed_that_offers_nothing_is_one_line(ctisync: Ctisync, feed: FeedSimulator) -> None:
    with FeedSimulator() as empty:
        ctisync.environ["CTISYNC_CTI__URL"] = empty.url
        empty.history.create("CVE-1")
        code, lines = read(ctisync, "sync")
    assert (code, lines) == (0, ["warning: vd_1.0.0/vd_4.8.0: the feed offers no snapshot yet."])


def test_a_pass_that_fails_is_not_shown_as_a_good_one(ctisync: Ctisync, feed: FeedSimulator) -> None:
    feed.fail("info", failures.status(503), times=100)
    code, lines = read(ctisync, "sync")
    assert code == 5
    assert lines[-2].startswith("ctisync: vd_1.0.0/vd_4.8.0: ")
    assert not any("up to date" in line for line in lines)


def test_a_feed_that_cannot_be_reached_is_shown_at_once_and_the_next_try_is_counted_down(
    ctisync: Ctisync,
) -> None:
    """Five minutes without a word look like a program that hangs."""
    nobody = f"http://127.0.0.1:{unused_port()}/api/v1"
    ctisync.environ |= {
        "TERM": "xterm",
        "CTISYNC_CTI__URL": nobody,
        "CTISYNC_CTI__RETRY_BUDGET": "3",
        "CTISYNC_CTI__COOLDOWN": "600",
    }
    code, lines = read(ctisync, "sync")
    assert code == 5
    message = r"http://\S+ cannot be reached: .*Connection refused; ctisync tries again for up to 3 s\."
    assert re.fullmatch(message, lines[0])
    assert re.fullmatch(r"next try in ━+ 1 s", lines[1])
    assert sum("tries again" in line for line in lines) == 1, "the same reason is told once"
    assert lines[-1].startswith("try: check cti.url and the network of this host")


def test_where_nobody_looks_each_try_is_a_line(ctisync: Ctisync) -> None:
    ctisync.environ |= {
        "CTISYNC_CTI__URL": f"http://127.0.0.1:{unused_port()}/api/v1",
        "CTISYNC_CTI__RETRY_BUDGET": "3",
    }
    stderr = ctisync.run("sync").stderr
    assert re.findall(r" info +retry  attempt=(\d)", stderr) == ["1", "2"]
    assert "next try" not in stderr


def test_a_newcomer_who_plugs_in_the_cable_is_not_kept_waiting(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.environ["CTISYNC_CTI__COOLDOWN"] = "600"
    assert ctisync.run("sync", CTISYNC_CTI__URL=f"http://127.0.0.1:{unused_port()}/api/v1").returncode == 5
    assert ctisync.run("sync").returncode == 0


@pytest.mark.parametrize("log_format", ["text", "json", "journal"])
def test_a_chosen_format_is_written_at_a_terminal_too(
    ctisync: Ctisync, feed: FeedSimulator, log_format: str
) -> None:
    _, lines = read(ctisync, "sync", "--log-format", log_format)
    assert "pass-ended" in lines[-1]
    assert "up-to-date" in lines[-1]
