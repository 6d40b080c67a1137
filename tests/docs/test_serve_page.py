"""docs/serve.md: what it lets you type serves and follows a mirror; the unit lets the server do little."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.docs import page
from tests.docs.reader import Reader
from tests.docs.shell import ROOT
from tests.docs.test_units import EXPOSURE, analysed, needs_seccomp, needs_systemd
from tests.mirror.serving import PATH
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable
from tests.support.unit_filter import values

PAGE: Final = (ROOT / "docs" / "serve.md").read_text()
TYPED: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "sh") if block.names}
UNIT: Final = ROOT / "examples" / "systemd-serve" / "ctisync-serve.service"
START: Final = "ctisync serve /srv/cti --listen 127.0.0.1:8080"


@pytest.fixture
def feed() -> Iterator[FeedSimulator]:
    with FeedSimulator() as simulator:
        populate(simulator.history, 10)
        simulator.publish_snapshot()
        churn(simulator.history, 40)
        yield simulator


@contextmanager
def served(command: list[str], home: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The process, which gets a free port, and its address."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "STATE_DIRECTORY": str(home),
    }
    with subprocess.Popen(command, env=environ, cwd=home, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            match = re.search(r"listen=(\S+)", server.stderr.readline())
            assert match is not None
            assert "serve-loaded" in server.stderr.readline()
            yield server, match[1]
        finally:
            server.kill()


def test_a_host_that_reaches_only_the_server_has_the_records_of_the_feed(
    tmp_path: Path, feed: FeedSimulator
) -> None:
    assert TYPED["serve"] == f"ctisync mirror /srv/cti\n{START}\n"
    outside, inside = Reader(tmp_path / "outside", feed), Reader(tmp_path / "inside", None)
    outside.names["/srv/cti"] = folder = str(tmp_path / "srv")
    outside.types("ctisync mirror /srv/cti")
    command = [sys.executable, "-m", "ctisync", "serve", folder, "--listen", "127.0.0.1:0"]
    with served(command, outside.home) as (_, address):
        inside.names["127.0.0.1:8080"] = address
        inside.types(TYPED["client"])
        exported = inside.types("ctisync export").encode().splitlines()
    assert [comparable(each) for each in exported] == list(map(comparable, feed.expected_lines()))


@needs_systemd
def test_systemd_takes_the_unit_and_the_server_may_do_little(tmp_path: Path) -> None:
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("/usr/local/bin/ctisync", "/bin/true"))
    assert analysed(tmp_path, "verify", "--man=no", f"./{UNIT.name}") == ""
    analysis = analysed(tmp_path, "security", "--offline=yes", f"./{UNIT.name}")
    (exposure,) = re.findall(rf"exposure level for {UNIT.name}: ([\d.]+)", analysis)
    assert float(exposure) <= EXPOSURE


@needs_systemd
@needs_seccomp
def test_the_server_needs_no_system_call_that_the_unit_refuses(tmp_path: Path, feed: FeedSimulator) -> None:
    (start,) = values(UNIT.read_text(), "ExecStart")
    assert start == f"/usr/local/bin/{START} --log-format journal"
    outside = Reader(tmp_path / "outside", feed)
    outside.types(f"ctisync mirror {tmp_path / 'srv'}")
    serve = ["-m", "ctisync", "serve", str(tmp_path / "srv"), "--listen", "127.0.0.1:0"]
    command = [sys.executable, "-m", "tests.support.unit_filter", str(UNIT), sys.executable, *serve]
    with served(command, outside.home) as (server, address), httpx.Client(trust_env=False) as client:
        data = client.get(f"http://{address}{PATH}").json()["data"]
        assert client.get(data["last_snapshot_link"]).status_code == 200
        query = {"from_offset": data["last_offset"] - 9, "to_offset": data["last_offset"]}
        assert client.get(f"http://{address}{PATH}/changes", params=query).status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 143
