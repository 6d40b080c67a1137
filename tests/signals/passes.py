"""Passes as real processes that get signals; feed and store lie behind lines that can be slow or hang."""

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ctisync.stores.sqlite.compression import register
from tests.cli.conftest import Ctisync
from tests.support.command_manager import CommandManagerStandIn
from tests.support.delay import seconds_to_the_end
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import comparable
from tests.support.tcp_proxy import TcpProxy

PROMISED: Final = 5.0
"""Seconds from a signal to the end of the process."""

SLOW: Final = 1_500_000
"""Bytes a second from the feed, so that a download and each range take a while."""


class Ended(NamedTuple):
    """How a pass ended, and how many seconds after its (first) signal; see `seconds_to_the_end`."""

    code: int
    seconds: float
    message: str


class Passes:
    """A consumer with 250 records in a snapshot, 2,600 changes after it, and the command that follows."""

    def __init__(
        self, folder: Path, feed: FeedSimulator, manager: CommandManagerStandIn, proxy: TcpProxy
    ) -> None:
        self.feed = feed
        self.manager = manager
        self.proxy = proxy
        self.folder = folder / "state"
        self.ctisync = Ctisync(folder)
        populate(feed.history, 250)
        self.publish()
        self.snapshot_offset = feed.history.last_offset
        churn(feed.history, 2600)
        self.expected = self.comparable_at(feed.history.last_offset)
        self.ctisync.environ |= {
            "CTISYNC_CTI__URL": proxy.url + urlsplit(feed.url).path,
            "CTISYNC_CTI__RETRY_BUDGET": "60",
            "CTISYNC_STATE_DIR": str(self.folder),
            "CTISYNC_COMMAND_MANAGER__URL": manager.url,
        }
        self.folder.mkdir(exist_ok=True)

    @property
    def last_offset(self) -> int:
        return self.feed.history.last_offset

    def publish(self) -> None:
        """A snapshot of now, behind the slow line."""
        link = self.feed.publish_snapshot("ndjson")
        self.feed.info["last_snapshot_link"] = self.proxy.url + urlsplit(link).path

    def comparable_at(self, offset: int) -> list[Any]:
        return [comparable(line) for line in self.feed.expected_lines(offset)]

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        return self.ctisync.start(*(command or ("sync", "-q")))

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return self.ctisync.run(*(command or ("sync", "-q")))

    def commands(self) -> list[int]:
        return [int(command.offset) for command in self.manager.commands]

    def files(self) -> set[str]:
        """What lies in the state folder, but for the lock files, which stay."""
        return {path.name for path in self.folder.iterdir() if path.suffix != ".lock"}

    def is_unlocked(self) -> bool:
        """Whether no lock file names a holder."""
        return all(b"pid" not in path.read_bytes() for path in self.folder.glob("*.lock"))


def stopped(running: "subprocess.Popen[bytes]", *numbers: signal.Signals, pause: float = 0.0) -> Ended:
    """Send the signals, one after the other, and wait for the end."""
    began = time.monotonic()
    for place, number in enumerate(numbers):
        time.sleep(pause if place else 0)
        running.send_signal(number)
    seconds = seconds_to_the_end(running, began)
    _, message = running.communicate()
    return Ended(running.returncode, seconds, message.decode())


def awaited(what: Callable[[], object], seconds: float = 120.0) -> None:
    """Until it is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


class SqlitePasses(Passes):
    """On a file; `database` may be copied and looked into."""

    @property
    def database(self) -> Path:
        return self.folder / "ctisync.db"

    def wipe(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()

    def is_begun(self) -> bool:
        """Whether there are tables; a pass may have ended with the file just made."""
        if not self.database.exists():
            return False
        with closing(sqlite3.connect(self.database)) as database:
            [(version,)] = database.execute("PRAGMA user_version")
            return bool(version)

    def content(self) -> tuple[int, list[Any]]:
        """The stored offset and the live content, as a reader of the view finds them."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            database.execute("BEGIN")
            [(offset,)] = database.execute("SELECT offset FROM consumer_state")
            register(database)
            rows = database.execute("SELECT ctisync_line(line) FROM content ORDER BY name")
            return offset, [comparable(line.encode()) for (line,) in rows]

    def is_command_due(self) -> bool:
        """Whether readers still have to be told of the feed's last offset."""
        if not self.is_begun():
            return True
        with closing(sqlite3.connect(self.database)) as database:
            rows = database.execute("SELECT offset, owed_offset FROM consumer_state").fetchall()
            return rows != [(self.last_offset, None)]

    def half_loaded(self) -> int:
        """Generations beside the live one."""
        if not self.is_begun():
            return 0
        with closing(sqlite3.connect(self.database)) as database:
            live = "SELECT ifnull(generation, 0) FROM consumers"
            query = f"SELECT count(*) FROM generations WHERE id NOT IN ({live})"  # noqa: S608
            [(count,)] = database.execute(query)
            return int(count)


class OpenSearchPasses(Passes):
    """On a node that is reached through `node_proxy`."""

    index: Final = "signals-cve"

    def __init__(
        self,
        folder: Path,
        feed: FeedSimulator,
        manager: CommandManagerStandIn,
        proxy: TcpProxy,
        node: OpenSearchNode,
        node_proxy: TcpProxy,
    ) -> None:
        super().__init__(folder, feed, manager, proxy)
        self.node = node
        self.node_proxy = node_proxy
        consumers = [{"context": self.feed.context, "consumer": self.feed.consumer, "index": self.index}]
        self.ctisync.environ |= {
            "CTISYNC_STORE__URL": node_proxy.url,
            "CTISYNC_CONSUMERS": json.dumps(consumers),
        }

    def wipe(self) -> None:
        self.node.wipe()
        for path in self.folder.iterdir():
            path.unlink()

    def content(self) -> tuple[int, list[Any]]:
        self.node.request("POST", f"/{self.index}/_refresh")
        search = {"size": 2000, "sort": ["name"], "query": {"match_all": {}}}
        hits = self.node.request("POST", f"/{self.index}/_search", search)["hits"]["hits"]
        lines = [comparable(json.dumps(hit["_source"], ensure_ascii=False).encode()) for hit in hits]
        return int(self.entry()["offset"]), lines

    def entry(self) -> dict[str, Any]:
        """The consumer's field of the state document; empty when there is none."""
        if "wazuh-context" not in self.node.request("GET", "/_alias"):
            return {}
        if not self.node.request("GET", "/wazuh-context/_count")["count"]:
            self.node.request("POST", "/wazuh-context/_refresh")
        if not self.node.request("GET", "/wazuh-context/_count")["count"]:
            return {}
        document = self.node.request("GET", f"/wazuh-context/_doc/{self.feed.context}")["_source"]
        state: dict[str, Any] = document.get(self.feed.consumer, {})
        return state

    def lease(self) -> Any:
        return self.entry().get("ctisync", {}).get("lease")

    def aliases(self) -> dict[str, set[str]]:
        """Each generation, and the aliases that point to it."""
        indices = self.node.request("GET", f"/ctisync-{self.index}-*/_alias?allow_no_indices=true")
        return {name: set(index["aliases"]) for name, index in indices.items()}
