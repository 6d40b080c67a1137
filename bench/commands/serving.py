"""`ctisync serve`: many clients at once, and many downloads of the snapshot at once.

Each client has a connection, asks for the consumer and then for changes in steps of `--changes`. All of them
begin together. The clients run in this process: on two cores, it and the server have one each.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from statistics import quantiles
from typing import Final, NamedTuple

from bench.client import Client
from bench.feed.served import ServedFeed
from bench.places import SOURCES
from bench.processes import BenchFailed
from bench.report import Outcome, new_table
from bench.workshop import Workshop

CLIENTS: Final = 500
RANGES: Final = 4
"""Requests for changes of each client."""
DOWNLOADS: Final = 50
TARGETS: Final = {
    "requests, s": 5.0,
    "p99, s": 2.0,
    "errors": 0.0,
    "peak, MB": 100.0,
    "downloads, GB a CPU s": 5.0,
    "downloads, MB more": 5.0,
}
_PATH: Final = "/api/v1/catalog/contexts/vd_1.0.0/consumers/vd_4.8.0"
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_LINK: Final = re.compile(rb'"last_snapshot_link":"http://[^/]+(/[^"]+)"')
_PIECE: Final = 1 << 20


class Server(NamedTuple):
    """A process that serves. Sizes in MB (a million bytes)."""

    pid: int
    port: int

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self, field: str = "VmRSS") -> float:
        """`VmHWM`: the peak since `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(rf"{field}:\s+(\d+)", status)[0]) * 1024 / 1e6

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    with workshop.new_folder() as home, workshop.feed(steps=RANGES) as feed:
        assert feed.changes is not None
        feed.tell(last_offset=feed.changes.facts.steps[-1])
        Client(home, feed).run("mirror", str(home / "mirror"), "-q")
        with _serving(home) as server:
            figures = _requests(server, feed, options.changes) | _downloads(server, feed)
    title = f"serve: {CLIENTS} clients, {CLIENTS * (RANGES + 1)} requests; {DOWNLOADS} downloads"
    table = new_table(f"{title} of {feed.snapshot.zip_bytes / 1e6:.0f} MB", "", "measured", "target")
    for name, value in figures.items():
        target = TARGETS.get(name)
        table.add_row(name, f"{value:.3g}", "" if target is None else f"{target:g}")
    return Outcome(table, figures, {"serve": figures})


@contextmanager
def _serving(home: Path) -> Iterator[Server]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": SOURCES}
    command = [sys.executable, "-m", "ctisync", "serve", str(home / "mirror"), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env=environ, cwd=home, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            match = re.search(rb"url=http://127.0.0.1:(\d+)", process.stderr.readline())
            if match is None or b"serve-loaded" not in process.stderr.readline():
                raise BenchFailed("ctisync serve has not begun")
            yield Server(process.pid, int(match[1]))
        finally:
            process.terminate()


def _requests(server: Server, feed: ServedFeed, step: int) -> dict[str, float]:
    assert feed.changes is not None
    first = feed.changes.facts.first_offset
    steps = range(first, first + RANGES * step, step)
    paths = [_PATH, *(f"{_PATH}/changes?from_offset={each}&to_offset={each + step}" for each in steps)]
    before = server.cpu()
    server.forget_peak()
    seconds, received, errors = asyncio.run(_clients(server.port, paths))
    return {
        "requests, s": max(end for _, end in seconds),
        "p99, s": quantiles([end - begin for begin, end in seconds], n=100)[-1],
        "errors": float(errors),
        "received, MB": received / 1e6,
        "server, CPU s": server.cpu() - before,
        "peak, MB": server.resident("VmHWM"),
    }


async def _clients(port: int, paths: list[str]) -> tuple[list[tuple[float, float]], int, int]:
    """Of each request when it began and ended, in seconds; bytes and errors of all."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]
    seconds: list[tuple[float, float]] = []
    began, received, errors = time.monotonic(), 0, 0

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: int) -> None:
        nonlocal received, errors
        for path in (paths[0], *paths[1 + turn :], *paths[1 : 1 + turn]):
            begin = time.monotonic() - began
            writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            left = int(length[1]) if length else 0
            errors += not head.startswith(b"HTTP/1.1 200") or left < 14
            received += left
            while left:
                left -= len(await reader.read(min(left, _PIECE)))
            seconds.append((begin, time.monotonic() - began))
        writer.close()

    await asyncio.gather(*(one(*pair, number % RANGES) for number, pair in enumerate(connections)))
    return seconds, received, errors


def _downloads(server: Server, feed: ServedFeed) -> dict[str, float]:
    link = _LINK.search(_received(server.port, _PATH)[0])
    assert link is not None
    server.forget_peak()
    before, resident, began = server.cpu(), server.resident(), time.monotonic()
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        sizes = list(pool.map(lambda _: _received(server.port, link[1].decode())[1], range(DOWNLOADS)))
    if set(sizes) != {feed.snapshot.zip_bytes}:
        raise BenchFailed(f"downloads of {set(sizes)} bytes instead of {feed.snapshot.zip_bytes}")
    return {
        "downloads, s": time.monotonic() - began,
        "downloads, GB a CPU s": sum(sizes) / 1e9 / max(server.cpu() - before, 0.01),
        "downloads, MB more": server.resident("VmHWM") - resident,
    }


def _received(port: int, path: str) -> tuple[bytes, int]:
    """The begin of a reply, and the size of its body, which is not kept."""
    buffer, begin, size = bytearray(_PIECE), b"", 0
    with create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        while number := connection.recv_into(buffer):
            if b"\r\n\r\n" not in begin:
                begin += buffer[:number]
            size += number
    return begin, size - len(begin.partition(b"\r\n\r\n")[0]) - 4
