"""A signal where a pass waits for somebody: it ends in time, and what it holds is let go if that can be."""

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing

import pytest

from tests.cli.conftest import Ctisync
from tests.signals.passes import PROMISED, Ended, OpenSearchPasses, SqlitePasses, awaited, stopped
from tests.support import feed_failures
from tests.support.delay import seconds_to_the_end
from tests.support.feed_failures import Failure
from tests.support.opened import has_open

TERM, INT = signal.SIGTERM, signal.SIGINT
RETRY = {"Retry-After": "50"}


def assert_stopped(
    ended: Ended, number: signal.Signals, then: str = "; the next pass continues from here"
) -> None:
    assert ended.message == f"ctisync: stopped by signal {number:d}{then}\n"
    assert ended.code == 128 + number
    assert ended.seconds <= PROMISED


def assert_ended_at_once(
    ended: Ended, number: signal.Signals, then: str = "the next pass continues from here"
) -> None:
    expected = f"ctisync: stopped by signal {number:d}; {then}; stopped at once\n"
    assert (ended.message, ended.code) == (expected, 128 + number)
    assert ended.seconds <= PROMISED


def assert_goes_on(passes: SqlitePasses | OpenSearchPasses) -> None:
    """The next pass ends as one does that nobody has disturbed."""
    passes.feed.heal()
    passes.manager.failures.clear()
    again = passes.run()
    assert (again.returncode, again.stderr) == (0, "")
    assert passes.content() == (passes.last_offset, passes.expected)
    assert passes.commands()[-1:] == [passes.last_offset]


@pytest.mark.parametrize("number", [TERM, INT])
def test_in_a_download_that_drips(sqlite: SqlitePasses, number: signal.Signals) -> None:
    sqlite.feed.fail("snapshot", feed_failures.stall(60, after=0.5))
    running = sqlite.start()
    awaited(lambda: any(path.stat().st_size for path in sqlite.folder.glob("[!.]*.part")))

    assert_stopped(stopped(running, number), number)

    assert sqlite.is_unlocked()
    assert sqlite.half_loaded() == 0
    assert_goes_on(sqlite)
    ranges = [request.headers.get("range", "") for request in sqlite.feed.requests_for("snapshot")]
    assert ranges[0] == ""
    assert ranges[1].startswith("bytes="), "the download goes on where it was"


def test_in_a_range_that_does_not_come(sqlite: SqlitePasses) -> None:
    sqlite.feed.fail("changes", feed_failures.stall(60, after=0.5))
    running = sqlite.start()
    awaited(lambda: sqlite.feed.requests_for("changes"))

    assert_stopped(stopped(running, TERM), TERM)

    assert sqlite.content() == (sqlite.snapshot_offset, sqlite.comparable_at(sqlite.snapshot_offset))
    assert sqlite.is_unlocked()
    assert_goes_on(sqlite)


@pytest.mark.parametrize(
    "how", [feed_failures.stall(60, after=0.5), feed_failures.status(503, RETRY)], ids=["stalls", "retries"]
)
def test_in_the_wait_for_a_range_that_is_prefetched(sqlite: SqlitePasses, how: Failure) -> None:
    first = sqlite.snapshot_offset + 1000
    sqlite.feed.fail(lambda request: request.kind == "changes" and request.range[0] == first, how)
    running = sqlite.start()
    awaited(lambda: len(sqlite.feed.requests_for("changes")) == 2)
    awaited(lambda: sqlite.content()[0] == first)

    assert_stopped(stopped(running, TERM), TERM)

    assert sqlite.content() == (first, sqlite.comparable_at(first))
    assert sqlite.is_unlocked()
    assert_goes_on(sqlite)


def test_in_the_wait_before_another_try(sqlite: SqlitePasses) -> None:
    sqlite.feed.fail("changes", feed_failures.status(503, RETRY))
    running = sqlite.start()
    awaited(lambda: sqlite.feed.requests_for("changes"))
    time.sleep(0.3)

    assert_stopped(stopped(running, TERM), TERM)

    assert sqlite.is_unlocked()
    assert_goes_on(sqlite)


@pytest.mark.parametrize("how", ["stall", "drip"])
def test_in_a_command_that_nobody_answers(sqlite: SqlitePasses, how: str) -> None:
    sqlite.manager.fail(how)  # type: ignore[arg-type]  # one of its failures
    running = sqlite.start()
    awaited(lambda: sqlite.manager.requests)

    assert_stopped(stopped(running, INT), INT)

    assert sqlite.content() == (sqlite.last_offset, sqlite.expected)
    assert sqlite.is_command_due()
    assert_goes_on(sqlite)


def test_while_another_program_locks_the_database(sqlite: SqlitePasses) -> None:
    """SQLite waits for 30 s, and no handler of Python's runs meanwhile."""
    assert sqlite.run().returncode == 0
    with closing(sqlite3.connect(sqlite.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        running = sqlite.start("init-snapshot", "-q")
        # It opens this one to begin to write.
        awaited(lambda: has_open(running.pid, f"{sqlite.database}.lock"))
        time.sleep(1)

        assert_ended_at_once(stopped(running, TERM), TERM, "run the same command again")

    assert sqlite.run().returncode == 0
    assert sqlite.content() == (sqlite.last_offset, sqlite.expected)


def test_what_a_killed_load_of_a_content_that_was_current_has_left_is_gone_after_the_next_pass(
    sqlite: SqlitePasses,
) -> None:
    """The next pass has nothing to write, and `status` would say `loading` for ever."""
    sqlite.publish()
    assert sqlite.run().returncode == 0
    running = sqlite.start("init-snapshot", "-q")
    awaited(sqlite.half_loaded)
    running.kill()
    running.communicate()

    assert sqlite.run().returncode == 0

    assert sqlite.half_loaded() == 0
    status = json.loads(sqlite.run("status", "--json").stdout)
    assert status["consumers"][0]["phase"] == "ready"


def test_an_export_to_a_reader_that_reads_no_more(sqlite: SqlitePasses) -> None:
    assert sqlite.run().returncode == 0
    running = sqlite.start("export")
    assert running.stdout is not None
    assert running.stdout.read(1) == b"{"
    time.sleep(0.5)

    running.send_signal(TERM)
    assert seconds_to_the_end(running, time.monotonic()) <= PROMISED
    running.communicate()
    assert running.returncode == 128 + TERM


def test_an_export_to_a_file_leaves_the_file_that_was_there(opensearch: OpenSearchPasses) -> None:
    assert opensearch.run().returncode == 0
    output = opensearch.folder / "export.ndjson"
    output.write_text("of before\n")
    opensearch.node_proxy.rate = 50_000
    slow = opensearch.start("export", "--output", str(output))
    awaited(lambda: len(opensearch.files()) == 2)
    opensearch.node_proxy.hang()

    assert_stopped(stopped(slow, TERM), TERM, then="")

    opensearch.node_proxy.go_on()
    assert opensearch.files() == {output.name}
    assert output.read_text() == "of before\n"


def test_while_opensearch_answers_no_more(opensearch: OpenSearchPasses) -> None:
    """The way out is what asks it most: it gets two seconds."""
    opensearch.feed.fail("changes", feed_failures.stall(60, after=0.5))
    running = opensearch.start()
    awaited(lambda: opensearch.feed.requests_for("changes"))
    opensearch.node_proxy.hang()

    assert_stopped(stopped(running, TERM), TERM)

    opensearch.node_proxy.go_on()  # and what was sent on the way out may arrive: the lease is let go, or not
    assert_goes_on(opensearch)
    assert opensearch.lease() is None
    assert list(opensearch.aliases().values()) == [{opensearch.index}]


def test_in_a_load_that_opensearch_does_not_take_any_more(opensearch: OpenSearchPasses) -> None:
    running = opensearch.start()
    awaited(opensearch.aliases)
    opensearch.node_proxy.hang()
    time.sleep(0.3)

    assert_stopped(stopped(running, INT), INT)

    opensearch.node_proxy.go_on()
    assert_goes_on(opensearch)
    assert list(opensearch.aliases().values()) == [{opensearch.index}]


def test_a_second_signal_ends_it_at_once(opensearch: OpenSearchPasses) -> None:
    opensearch.feed.fail("changes", feed_failures.stall(60, after=0.5))
    running = opensearch.start()
    awaited(lambda: opensearch.feed.requests_for("changes"))
    opensearch.node_proxy.hang()

    ended = stopped(running, TERM, INT, pause=0.5)

    assert_ended_at_once(ended, TERM)
    assert ended.seconds < 1.8, "the way out alone takes two"
    opensearch.node_proxy.go_on()
    assert_goes_on(opensearch)
    assert list(opensearch.aliases().values()) == [{opensearch.index}]


def test_the_two_signals_of_timeout_are_one(opensearch: OpenSearchPasses) -> None:
    """It signals its child, and then the group of processes that the child is in."""
    opensearch.feed.fail("changes", feed_failures.stall(60, after=0.5))
    timed = _TimedCtisync(opensearch.ctisync)

    running = timed.start("sync", "-q")
    awaited(lambda: opensearch.feed.requests_for("changes"))
    _, message = running.communicate(timeout=120)

    assert message.decode().count("ctisync: stopped by signal 15; the next pass continues from here\n") == 1
    assert "at once" not in message.decode()
    assert opensearch.lease() is None
    assert_goes_on(opensearch)


class _TimedCtisync(Ctisync):
    """`timeout 6 ctisync ...`"""

    main_module = None

    def __init__(self, untimed: Ctisync) -> None:
        super().__init__(untimed.home)
        self.environ = untimed.environ

    def command(self, *arguments: str) -> list[str]:
        return ["timeout", "6", *super().command(*arguments)]


def download_under_way(passes: SqlitePasses, *command: str) -> "subprocess.Popen[bytes]":
    """Half of the snapshot is here, the rest does not come."""
    passes.feed.fail("snapshot", feed_failures.stall(60, after=0.5))
    running = passes.start(*command)
    awaited(lambda: any(path.stat().st_size for path in passes.folder.glob("[!.]*.part")))
    return running


@pytest.mark.parametrize("number", [signal.SIGKILL, INT])
def test_an_init_snapshot_that_was_stopped_is_done_by_the_next_sync(
    sqlite: SqlitePasses, number: signal.Signals
) -> None:
    """An operator who has asked for it would find the old content, and `status` would be content with it."""
    assert sqlite.run().returncode == 0
    sqlite.publish()
    ended = stopped(download_under_way(sqlite, "init-snapshot", "-q"), number)
    if number == INT:
        assert ended.message == (
            "ctisync: stopped by signal 2; the next ctisync sync continues the initialisation of "
            "vd_1.0.0/vd_4.8.0; --keep cancels it\n"
        )
    waiting = sqlite.run("status").stdout
    assert "a new initialisation" in waiting
    assert "ctisync sync --keep" in waiting
    assert "a new initialisation is pending" in sqlite.ctisync.run("status", "--check").stdout
    sqlite.feed.heal()
    sqlite.feed.requests.clear()

    assert_goes_on(sqlite)

    (request,) = sqlite.feed.requests_for("snapshot")
    assert request.headers["range"].startswith("bytes="), "the half download is gone on with"
    assert "asked for" not in sqlite.run("status").stdout


def test_a_requested_initialisation_that_was_stopped_is_cancelled_with_keep(sqlite: SqlitePasses) -> None:
    assert sqlite.run().returncode == 0
    sqlite.publish()
    stopped(download_under_way(sqlite, "init-snapshot", "-q"), TERM)
    sqlite.feed.requests.clear()

    assert sqlite.run("sync", "-q", "--keep").returncode == 0

    assert sqlite.feed.requests_for("snapshot") == []
    assert list(sqlite.folder.glob("[!.]*.part")) == []
    assert "asked for" not in sqlite.run("status").stdout


def test_a_snapshot_that_somebody_gave_is_nothing_that_a_later_pass_goes_on_with(
    sqlite: SqlitePasses,
) -> None:
    assert sqlite.run().returncode == 0
    archive = str(sqlite.feed.publish_snapshot("ndjson"))
    ended = stopped(download_under_way(sqlite, "init-snapshot", "-q", "--from", archive), INT)
    assert ended.message == "ctisync: stopped by signal 2; run the same command again\n"


def test_what_is_no_pass_promises_no_pass(sqlite: SqlitePasses) -> None:
    sqlite.feed.fail("info", feed_failures.stall(60, after=0.5))
    running = sqlite.start("status", "--remote")
    awaited(lambda: sqlite.feed.requests_for("info"))
    assert stopped(running, INT).message == "ctisync: stopped by signal 2\n"
