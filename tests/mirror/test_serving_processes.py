"""`ctisync serve` as its users run it: feed, mirror, server and follower, each a process; how it ends."""

import hashlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from ctisync.cli import main
from tests.mirror.conftest import Far
from tests.mirror.serving import PATH
from tests.support.authority import Authority
from tests.support.feed_history import churn, populate
from tests.support.records import comparable

LISTEN: Final = ("--listen", "127.0.0.1:0")


@contextmanager
def serving(far: Far, *options: str) -> Iterator[tuple["subprocess.Popen[bytes]", str, str]]:
    """The process, and the URL and the address that it prints."""
    server = far.near.start("serve", str(far.folder), *options)
    assert server.stderr is not None
    try:
        match = re.search(rb"serve-started  url=(\S+) listen=(\S+)", server.stderr.readline())
        assert match is not None, server.stderr.read()
        yield server, match[1].decode(), match[2].decode()
    finally:
        server.kill()
        server.communicate()


def follow(far: Far, code: int = 0) -> None:
    """The mirror and both readers go on; they then have the same records."""
    assert (ended := far.mirror()).returncode == 0, ended.stderr
    exports = []
    for host in (far.far, far.direct):
        ended = host.run("sync")
        assert ended.returncode == code, ended.stderr
        exports.append([comparable(line) for line in host.run("export").stdout.encode().splitlines()])
    assert exports[0] == exports[1]


def test_a_sync_from_the_server_has_what_a_direct_one_has_at_each_step(far: Far) -> None:
    history = far.feed.history
    far.mirror()
    with serving(far, *LISTEN) as (_, url, _):
        far.far.environ["CTISYNC_CTI__URL"] = f"{url}/api/v1"
        follow(far)
        for seed in (2, 3):
            churn(history, 700, seed=seed)
            follow(far)
        history.gap(2500)
        churn(history, 5, seed=4)
        follow(far)
        poison = history.poison(history.names()[0])
        churn(history, 5, seed=5)
        follow(far, code=6)
        history.mend(poison)
        far.feed.publish_snapshot()
        churn(history, 5, seed=6)
        follow(far)

        far.feed.reset(first_offset=500)
        populate(far.feed.history, 12)
        far.feed.publish_snapshot()
        far.feed.info["inserted_at"] = "2026-11-30T00:00:00Z"
        for host in (far.near, far.far, far.direct):
            host.environ["CTISYNC_ON_FEED_RESET"] = "init"
        follow(far)


def test_over_tls_a_follower_checks_the_certificate(far: Far, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server")
    far.mirror()
    options = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    with serving(far, *LISTEN, *options) as (_, url, _):
        assert url.startswith("https://127.0.0.1:")
        far.far.environ["CTISYNC_CTI__URL"] = f"{url}/api/v1"
        assert far.far.run("sync").returncode == 3
        far.far.environ["CTISYNC_CTI__CA_FILE"] = str(authority.file)
        follow(far)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_download_ends_after_a_signal_and_then_the_server(far: Far, number: signal.Signals) -> None:
    for name in ("CVE-LARGE-1", "CVE-LARGE-2", "CVE-LARGE-3", "CVE-LARGE-4", "CVE-LARGE-5"):
        far.feed.history.create(name, {"text": hashlib.shake_256(name.encode()).hexdigest(1 << 20)})
    far.feed.publish_snapshot()
    assert far.mirror().returncode == 0
    with serving(far, *LISTEN) as (server, url, _):
        link = httpx.get(url + PATH, trust_env=False).json()["data"]["last_snapshot_link"]
        with httpx.stream("GET", link, trust_env=False, timeout=60) as reply:
            pieces = reply.iter_raw(1000)
            received = next(pieces)
            server.send_signal(number)
            received += b"".join(pieces)
        assert len(received) == int(reply.headers["content-length"])
        _, stderr = server.communicate(timeout=60)
        assert server.returncode == 128 + number
        assert f"stopped by signal {number}".encode() in stderr


def test_links_begin_with_the_url_that_is_set(far: Far) -> None:
    far.mirror()
    options = ("--listen", "0.0.0.0:0", "--url", "https://cti.example/wazuh/")
    with serving(far, *options) as (_, url, address):
        assert url == "https://cti.example/wazuh"
        reply = httpx.get(f"http://{address}{PATH}", trust_env=False)
        assert reply.json()["data"]["last_snapshot_link"].startswith("https://cti.example/wazuh/store/")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--listen", "8080"), 2, "is not HOST:PORT"),
        (("--listen", "127.0.0.1:99999"), 2, "is not HOST:PORT"),
        (("--listen", "0.0.0.0:8080"), 2, "--url must name one"),
        (("--listen", "[::]:8080"), 2, "--url must name one"),
        (("--listen", "no-such-host.invalid:8080"), 3, "cannot listen on"),
        ((*LISTEN, "--url", "cti.example"), 2, "is not the address of a server"),
        ((*LISTEN, "--url", "https://u:p@cti.example"), 3, "user name or password"),
        ((*LISTEN, "--tls-key", "k.pem"), 2, "--tls-key needs --tls-cert"),
        ((*LISTEN, "--tls-cert", "/no/such.pem"), 3, "No such file"),
    ],
)
def test_what_cannot_be_served_so_is_refused(
    far: Far, options: tuple[str, ...], code: int, words: str
) -> None:
    far.folder.mkdir()
    ended = far.near.run("serve", str(far.folder), *options)
    assert ended.returncode == code
    assert words in ended.stderr


def test_an_address_in_use_is_3(far: Far) -> None:
    far.folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        address = f"127.0.0.1:{occupied.getsockname()[1]}"
        ended = far.near.run("serve", str(far.folder), "--listen", address)
    assert ended.returncode == 3
    assert "in use" in ended.stderr


def test_a_folder_that_is_not_there_is_3_and_what_to_type_makes_it(far: Far) -> None:
    ended = far.near.run("serve", str(far.folder), *LISTEN)
    assert ended.returncode == 3
    assert f"try: ctisync mirror {far.folder}" in ended.stderr


def test_an_encrypted_key_is_refused_without_a_question(far: Far, tmp_path: Path) -> None:
    pair = Authority(tmp_path / "ca").issue("server", passphrase=b"secret")
    far.folder.mkdir()
    ended = far.near.run(
        "serve", str(far.folder), *LISTEN, "--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)
    )
    assert ended.returncode == 3


def test_without_aiohttp_it_is_3_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["serve", str(tmp_path)]) == 3
    assert "-m pip install 'aiohttp>=3.14,<4'" in capsys.readouterr().err
