"""The crontab line, as cron runs it: silent when all is well, and idle where systemd's timer is active."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.shell import ROOT, run, tools
from tests.support import feed_failures as failures
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator

TEXT = (ROOT / "examples" / "crontab").read_text()
TIMER = "ctisync.timer"

# Answers one question, as systemctl does for a timer in that state; no other is asked.
SYSTEMCTL = """#!/bin/sh
test "$*" = "is-active --quiet ctisync.timer" || { echo "unknown: $*"; exit 0; }
echo "Failed to connect to bus: No such file or directory" >&2
exit {ends_with}
"""
ACTIVE, INACTIVE, NO_BUS = 0, 3, 1


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        populate(simulator.history, 20)
        simulator.publish_snapshot()
        yield simulator


class Host:
    """One with cron: what cron itself sets, and the programs in one folder, so that no systemctl of the
    machine which the tests run on is found."""

    def __init__(self, folder: Path, feed: FeedSimulator) -> None:
        self.folder = folder
        self.bin = tools(folder / "bin", "ctisync.cli")
        for tool in ("awk", "cksum"):
            program = shutil.which(tool)
            assert program is not None
            (self.bin / tool).symlink_to(program)
        self.is_called("alpha")
        self.has("sleep", f'#!/bin/sh\necho "$1" >> {folder}/slept\n')
        self.state = folder / "state"
        self.state.mkdir()
        self.environ = {
            **dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", TEXT)),
            "HOME": str(folder),
            "LOGNAME": "ctisync",
            "PATH": str(self.bin),
            "STATE_DIRECTORY": str(self.state),
            "CTISYNC_CTI__URL": feed.url,
        }

    def has(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def is_called(self, name: str) -> None:
        """`uname -n` says so."""
        self.has("uname", f'#!/bin/sh\ntest "$*" = -n && echo {name}\n')

    def has_timer(self, ends_with: int | None) -> None:
        if ends_with is None:
            (self.bin / "systemctl").unlink()
        else:
            self.has("systemctl", SYSTEMCTL.replace("{ends_with}", str(ends_with)))

    def cron(self) -> str:
        """What it mails: all that the line prints."""
        done = run(command(), self.environ, self.folder)
        return done.stdout + done.stderr

    @property
    def passed(self) -> bool:
        return (self.state / "ctisync.db").exists()

    @property
    def slept(self) -> list[int]:
        file = self.folder / "slept"
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def host(tmp_path: Path, feed: FeedSimulator) -> Host:
    return Host(tmp_path, feed)


def command() -> str:
    (entry,) = [line for line in TEXT.splitlines() if re.match(r"[0-9*]", line)]
    _, _, _, _, _, user, typed = entry.split(maxsplit=6)
    assert user == "ctisync"
    return typed


def test_cron_ends_no_command_half_way() -> None:
    assert "%" not in command(), "cron would take the rest for its input"
    assert TEXT.endswith("\n"), "cron does not read a last line without an end"


@pytest.mark.parametrize("timer", [INACTIVE, NO_BUS, None], ids=["inactive", "no-bus", "no-systemd"])
def test_a_pass_is_run_where_no_timer_is_active_and_a_good_one_mails_nothing(
    host: Host, timer: int | None
) -> None:
    host.has_timer(timer)
    assert host.cron() == ""
    assert host.passed
    (seconds,) = host.slept
    assert 0 <= seconds < 600


def test_hosts_and_users_do_not_ask_the_feed_in_the_same_second(host: Host) -> None:
    """A random number that begins with the time is the same one on all hosts whose clocks are right."""
    host.has_timer(None)
    host.has("ctisync", "#!/bin/sh\n")
    for name, user in [("alpha", "ctisync"), ("alpha", "ctisync"), ("beta", "ctisync"), ("alpha", "other")]:
        host.is_called(name)
        host.environ["LOGNAME"] = user
        assert host.cron() == ""
    first, again, *others = host.slept
    assert first == again, "one host keeps its minute"
    assert len({first, *others}) == 3


def test_many_hosts_are_spread_over_the_whole_ten_minutes(host: Host) -> None:
    host.has_timer(None)
    host.has("ctisync", "#!/bin/sh\n")
    for number in range(40):
        host.is_called(f"web-{number:02}")
        host.cron()
    assert len(host.slept) == 40
    assert min(host.slept) < 100
    assert 500 <= max(host.slept) < 600


def test_cron_stands_aside_where_the_timer_is_active(host: Host, feed: FeedSimulator) -> None:
    host.has_timer(ACTIVE)
    assert host.cron() == ""
    assert not host.passed
    assert (host.slept, feed.requests) == ([], [])


def test_the_timer_of_the_page_is_the_one_of_the_examples() -> None:
    assert TIMER in command()
    assert (ROOT / "examples" / "systemd-timer" / TIMER).is_file()


def test_trouble_is_mailed(host: Host) -> None:
    host.has_timer(None)
    host.environ["CTISYNC_CTI__URL"] = "nonsense"
    assert "ctisync: " in host.cron()


def test_a_feed_that_asks_for_a_pause_is_mailed_once_and_not_each_hour(
    host: Host, feed: FeedSimulator
) -> None:
    host.has_timer(None)
    assert host.cron() == ""
    feed.fail("info", failures.status(429, {"Retry-After": "7200"}))
    assert "it asks for a pause of 7200 s" in host.cron()
    assert host.cron() == ""
