"""The feed's server as the benches see it: started, told what to say, ended."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from bench.feed.files import Changes, Snapshot
from bench.feed.server import Served
from bench.places import ROOT, SOURCES


class ServedFeed(NamedTuple):
    """`snapshot` and, if any, `changes` over HTTP at `origin`."""

    origin: str
    snapshot: Snapshot
    changes: Changes | None

    @property
    def url(self) -> str:
        """What `cti.url` is set to."""
        return f"{self.origin}/api/v1"

    def tell(self, *, last_offset: int | None = None, bytes_per_second: float | None = None) -> None:
        """From now on the feed ends at that offset (default: the snapshot's), and is so slow (not at all)."""
        served = Served(self.snapshot.facts.offset if last_offset is None else last_offset, bytes_per_second)
        connection = http.client.HTTPConnection(urlsplit(self.origin).netloc, timeout=10)
        connection.request("PUT", "/", msgspec.json.encode(served))
        connection.getresponse().read()
        connection.close()


@contextmanager
def served(snapshot: Snapshot, changes: Changes | None = None) -> Iterator[ServedFeed]:
    command = [sys.executable, "-m", "bench.feed.server", str(snapshot.path), str(snapshot.facts.offset)]
    if changes is not None:
        command.append(str(changes.folder))
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={"PYTHONPATH": SOURCES},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the bench alone, which ends it
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield ServedFeed(server.stdout.readline().strip(), snapshot, changes)
        finally:
            server.stdin.close()
