"""A bug ends the pass over one consumer and nothing else: the others are passed over, and all who are told of
a pass are told of this one."""

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Final

import pytest

from ctisync.backends import StoreSettings
from ctisync.cli.invocation import Invocation
from ctisync.commands.passes import run_passes
from ctisync.console import Console
from ctisync.core.pass_report import Ended
from ctisync.errors import BUG
from ctisync.settings.model import HookSettings, Settings
from ctisync.system.clock import SystemClock
from ctisync.system.process import StopRequested
from tests.cli.conftest import DEADLINE, Ctisync
from tests.cli.test_afterwards import figures, hook_calls, hooked, pings
from tests.support import feed_failures as failures
from tests.support.feed_simulator import FeedSimulator
from tests.support.http_proxy import HttpProxy

__all__ = ["pings"]

BUGS: Final = {
    "a division": "1 / 0",
    "no memory": "raise MemoryError",
    "no stack": "def deeper(): deeper()\n        deeper()",
    "a broken pipe that is not standard output": "raise BrokenPipeError",
    "an odd text": "raise ValueError('a\\x1b[2J\\nHOOK_FORGED=1\\u202e')",
}

BROKEN: Final = """
import sys
from ctisync import cli
from ctisync.feed.client import CtiFeed

ask = CtiFeed.consumer_info

def broken(feed):
    if feed._consumer.name == "broken":
        {bug}
    return ask(feed)

CtiFeed.consumer_info = broken
sys.exit(cli.main())
"""

CONSUMERS: Final = json.dumps([{"consumer": "broken", "index": "broken"}, {}])


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_silences_no_alarm_and_stops_no_other_consumer(
    ctisync: Ctisync, pings: HttpProxy, bug: str
) -> None:
    file = ctisync.home / "ctisync.prom"
    hooks = hooked(ctisync, "error", "update")
    ctisync.environ |= {"CTISYNC_CONSUMERS": CONSUMERS, "CTISYNC_PING_URL": pings.url}
    program = ctisync.home / "program.py"
    program.write_text(BROKEN.format(bug=BUGS[bug]))

    ended = run(
        [sys.executable, str(program), "sync", "-q", "--metrics", str(file)],
        env=ctisync.environ,
        cwd=ctisync.home,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert ended.returncode == BUG
    message, hint = ended.stderr.splitlines()
    assert message.startswith("ctisync: vd_1.0.0/broken: a bug in ctisync ")
    assert hint == "  try: run the same command with -v, and report its output"
    failed, good = hook_calls(hooks)
    assert (failed["HOOK_REASON"], failed["HOOK_EXIT_CODE"]) == ("error", "1")
    assert failed["HOOK_OUTCOME"] == "unexpected"
    assert failed["HOOK_WHY"] == message.removeprefix("ctisync: ")
    assert "HOOK_FORGED" not in failed
    assert (good["HOOK_REASON"], good["HOOK_CONSUMER"]) == ("update", "vd_1.0.0/vd_4.8.0")
    assert figures(file)["ctisync_pass_exit_code"] == {"vd_1.0.0/broken": 1, "vd_1.0.0/vd_4.8.0": 0}
    bodies = [(request.target, request.body.decode()) for request in pings.received]
    assert bodies == [("/start", "sync"), ("/fail", failed["HOOK_WHY"])]
    history = json.loads(ctisync.run("history", "--json", "--consumer", "broken").stdout)
    [remembered] = history["consumers"][0]["passes"]
    assert (remembered["outcome"], remembered["why"]) == ("unexpected", failed["HOOK_WHY"])


def test_a_retry_after_beyond_all_calendars_is_the_feeds_trouble_and_no_bug(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    wish = {"Retry-After": "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"}
    feed.fail("info", failures.status(429, wish), times=100)
    file = hooked(ctisync, "error")
    assert ctisync.run("sync", "-q").returncode == 5
    assert [call["HOOK_EXIT_CODE"] for call in hook_calls(file)] == ["5"]


def test_a_signal_within_an_import_is_a_signal_and_no_bug(tmp_path: Path) -> None:
    """Python before 3.12 puts a RuntimeError in its place when a class is being made."""
    mark = tmp_path / "told"
    settings = Settings(
        store=StoreSettings(url=f"sqlite:///{tmp_path}/ctisync.db"),
        hooks=HookSettings(on_error=("touch", str(mark))),
        state_dir=tmp_path,
    )

    def stopped(*_: object) -> Ended:
        raise RuntimeError("Error calling __set_name__") from StopRequested(15, 0.0)

    console = Console(sys.stderr, SystemClock())
    invocation = Invocation(
        settings=settings,
        consumers=settings.followed,
        clock=SystemClock(),
        console=console,
    )
    with pytest.raises(StopRequested):
        run_passes(invocation, stopped)
    assert not mark.exists()
