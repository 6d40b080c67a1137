"""What threads of a pass may not do: load a module of ctisync. Its decoders would be built beside others."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode

WATCHED: Final = """
import json, sys, threading

loads, started = [], []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("ctisync"):
            loads.append((threading.current_thread() is threading.main_thread(), name))

begin = threading.Thread.start

def start(thread):
    target = getattr(thread, "_target", None)  # a subclass may have none
    started.append(f"{type(thread).__name__} {thread.name} {getattr(target, '__qualname__', '')}")
    begin(thread)

threading.Thread.start = start
sys.meta_path.insert(0, Watch())
sys.stderr.isatty = lambda: True  # so that there are bars
from ctisync.cli import main
code = main(sys.argv[2:])
with open(sys.argv[1], "w") as told:
    json.dump({"loads": loads, "started": started}, told)
sys.exit(code)
"""


def loaded_by_threads(ctisync: Ctisync, *threads: str) -> list[str]:
    """What a `sync` loads in another thread than the main one; all of these threads are to be at work."""
    told = ctisync.home / "told.json"
    subprocess.run(
        [sys.executable, "-c", WATCHED, told, "sync"],
        env=ctisync.environ | {"TERM": "xterm"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    found = json.loads(told.read_text())
    assert [True, "ctisync.sync.run_pass"] in found["loads"]
    assert [each for each in threads if not any(each in name for name in found["started"])] == []
    return [name for is_main, name in found["loads"] if not is_main]


@pytest.fixture(params=["sqlite", "opensearch"])
def sender(request: pytest.FixtureRequest, ctisync: Ctisync) -> Iterator[str]:
    """The name of the thread that does a part of the store's work, on either store."""
    if request.param == "sqlite":
        yield "ctisync-packing"
        return
    node: OpenSearchNode = request.getfixturevalue("opensearch_2")
    node.wipe()
    ctisync.environ |= {"CTISYNC_STORE__URL": node.url, "CTISYNC_COMMAND_MANAGER__ENABLED": "false"}
    yield "Senders._run"
    node.wipe()


def test_no_thread_of_a_pass_loads_a_module_and_with_it_builds_decoders_beside_others(
    ctisync: Ctisync, feed: FeedSimulator, sender: str
) -> None:
    first = loaded_by_threads(ctisync, "signals", "_RefreshThread", sender)
    churn(feed.history, 2500)
    update = loaded_by_threads(ctisync, "signals", "asking-ahead")

    assert (first, update) == ([], [])
