"""`serve` and its enemies: clients that ask for what is not theirs or never read, a folder that changes."""

import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from ctisync.core.wire import change_texts
from ctisync.mirror import serve_http
from tests.mirror.parts import Mirror
from tests.mirror.serving import PATH, Served
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator

MIB: Final = 1 << 20
LARGE: Final = "CVE-LARGE"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """With replies and a snapshot that no buffer of a socket takes."""
    chance = random.Random(1)
    with FeedSimulator() as feed:
        populate(feed.history, 5)
        for _ in range(8):
            feed.history.create(f"{LARGE}-{_}", {"text": chance.randbytes(MIB).hex()})
        feed.publish_snapshot()
        churn(feed.history, 1200)
        mirror = Mirror(tmp_path_factory.mktemp("whole"), feed)
        mirror.publish()
        yield mirror


@pytest.fixture
def served(mirror: Mirror) -> Iterator[Served]:
    with Served(mirror) as server:
        assert server.consumer().status_code == 200
        yield server
        assert server.log.named("serve-failed") == []


@pytest.fixture
def small_range(whole: Mirror) -> tuple[int, int]:
    return whole.feed.history.last_offset - 300, whole.feed.history.last_offset


def connected(served: Served, receive: int = 0) -> socket.socket:
    """`receive`: bytes of its buffer."""
    client = socket.socket()
    if receive:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    try:
        client.connect(served.address)
    except OSError:
        client.close()
        raise
    return client


def sent(served: Served, request: str) -> bytes:
    """The whole reply to a request as it is written here."""
    with connected(served) as client:
        client.sendall(request.encode("latin-1"))
        return b"".join(iter(lambda: client.recv(MIB), b""))


def status_of(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


RANGES: Final = [
    "bytes=0-0",
    "bytes=5-9",
    "bytes=-7",
    "bytes=-0",
    "bytes=-99999999999999",
    "bytes=5-",
    "bytes=9-5",
    "bytes=99999999999999-",
    "bytes=0-99999999999999",
    "bytes=" + "9" * 4000 + "-",
    "bytes=0-1,3-4",
    "bytes=" + ",".join(f"{number}-" for number in range(1200)),
    "bytes=-",
    "bytes=a-b",
    "octets=0-1",
    "bytes 0-1",
    "bytes=\u0661-\u0662",
]


def test_a_range_is_that_part_of_the_snapshot_or_refused(served: Served, mirror: Mirror) -> None:
    link = served.data()["last_snapshot_link"]
    content = next(mirror.place.glob("s-*")).read_bytes()
    statuses = set()
    for text in RANGES:
        reply = served.get(link, headers={"Range": text.encode()})
        statuses.add(reply.status_code)
        if reply.status_code == 206:
            span, _, size = reply.headers["content-range"].removeprefix("bytes ").partition("/")
            first, last = map(int, span.split("-"))
            assert int(size) == len(content)
            assert reply.content == content[first : last + 1]
        elif reply.status_code == 200:
            assert reply.content == content
        else:
            assert reply.status_code in (400, 416)
            assert len(reply.content) < 1000
    assert {206, 416} <= statuses


def test_a_download_that_broke_goes_on_where_it_was_also_after_the_next_snapshot(
    mirror: Mirror, whole: Mirror
) -> None:
    """The name of a snapshot has its digest, so that a part can only be of the same file."""
    with Served(mirror) as served:
        link = served.data()["last_snapshot_link"]
        content = served.get(link).content
        etag = served.client.head(link).headers["etag"]
        for validator in (etag, '"another"', "Tue, 01 Jan 2030 00:00:00 GMT"):
            reply = served.get(link, headers={"Range": "bytes=1000000-", "If-Range": validator})
            assert content[:1_000_000] + reply.content == content


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "Forwarded", "X-Forwarded-Proto"])
def test_links_are_those_of_the_url_whatever_a_client_says(served: Served, header: str) -> None:
    true = served.data()
    for forged in ("evil.example", "evil.example:1/x", "host=evil.example", "a\tb", ""):
        reply = sent(
            served, f"GET {PATH} HTTP/1.1\r\nHost: h\r\n{header}: {forged}\r\nConnection: close\r\n\r\n"
        )
        assert b"evil" not in reply
        if status_of(reply) == 200:
            assert true["last_snapshot_link"].encode() in reply


@pytest.mark.parametrize(
    "path",
    [
        "/store/contexts/vd_1.0.0/consumers/vd_4.8.0/../../../../../../../../../etc/passwd",
        "/store/contexts/vd_1.0.0/consumers/vd_4.8.0/..%2f..%2f..%2f..%2fetc%2fpasswd/x.zip",
        "/store/contexts/vd_1.0.0/consumers/vd_4.8.0/%2e%2e/%2e%2e/x.zip",
        "/store/contexts/../consumers/../x/x.zip",
        "/store/contexts/vd_1.0.0/consumers/vd_4.8.0/head.json",
        "/store/contexts/vd_1.0.0/consumers/vd_4.8.0/" + "0" * 64 + "/x.zip",
        "/vd_1.0.0/vd_4.8.0/head.json",
        "/.ctisync/vd_1.0.0.vd_4.8.0.json",
        "//etc/passwd",
        "/etc/passwd",
        "http://evil.example/etc/passwd",
        "/api/v1/catalog/contexts/vd_1.0.0%2f/consumers/vd_4.8.0",
        "/api/v1/catalog/contexts/vd_1.0.0/consumers/vd_4.8.0%00",
    ],
)
def test_no_path_leads_to_another_file(served: Served, path: str) -> None:
    reply = sent(served, f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert status_of(reply) in (400, 404)
    assert b"root:" not in reply
    assert b"sha256" not in reply


@pytest.mark.parametrize(
    "request_text",
    [
        f"GET {PATH}/changes?{'a=1&' * 5000} HTTP/1.1\r\nHost: h\r\n\r\n",
        f"GET {PATH} HTTP/1.1\r\nHost: h\r\nX: {'a' * 100_000}\r\n\r\n",
        f"GET {PATH} HTTP/1.1\r\nHost: h\r\n" + "".join(f"X-{n}: 1\r\n" for n in range(2000)) + "\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + "\r\n\r\n",
        f"GET {PATH} HTTP/9.9\r\nHost: h\r\n\r\n",
        f"GET {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        f"GET {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["query", "header", "headers", "TLS", "version", "length", "smuggled"],
)
def test_a_request_that_is_none_is_refused_and_the_next_client_served(
    served: Served, request_text: str
) -> None:
    reply = sent(served, request_text.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
    assert status_of(reply) in (400, 431, 505)
    assert served.consumer().status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_written(served: Served, method: str) -> None:
    for path in (PATH, f"{PATH}/changes", "/healthz"):
        assert served.client.request(method, path).status_code == 405


def test_numbers_that_are_none_are_refused_by_name(served: Served) -> None:
    reply = served.get(f"{PATH}/changes", params={"from_offset": "-1", "to_offset": "9" * 3000})
    assert (reply.status_code, reply.json()) == (400, {"error": "from_offset must be an integer, from 0 on"})
    assert served.changes(1000, 2001).status_code == 422


def test_clients_that_read_nothing_cost_a_piece_each_and_delay_nobody(
    served: Served, small_range: tuple[int, int]
) -> None:
    """Thirty replies of 16 MB are open: they share what was read of the folder."""
    large = f"GET {PATH}/changes?from_offset=1000&to_offset=2000 HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    assert len(served.changes(1000, 2000).content) > 16 * MIB
    before = resident()
    clients = [connected(served, receive=4096) for _ in range(30)]
    for client in clients:
        client.sendall(large)
    for client in clients:
        assert client.recv(10) == b"HTTP/1.1 2"
    for _ in range(3):
        assert served.changes(*small_range).status_code == 200
    grown = resident() - before
    for client in clients:
        client.close()
    assert grown < 100 * MIB, f"{grown >> 20} MiB"


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_client_that_does_not_end_its_request_is_left(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_http, "_IDLE", 0.05)
    with Served(mirror) as served, connected(served) as silent, connected(served) as slow:
        slow.sendall(f"GET {PATH} HTTP/1.1\r\nHost: h\r\nX-Slow: ".encode())
        assert silent.recv(10) == b""
        assert slow.recv(10) == b""


def test_a_download_ends_after_the_stop_and_new_clients_are_refused(mirror: Mirror) -> None:
    with Served(mirror) as served:
        link = served.data()["last_snapshot_link"]
        content = served.get(link).content
        with connected(served, receive=4096) as client, connected(served) as idle:
            client.sendall(f"GET {link.removeprefix(served.url)} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            received = client.recv(1000)
            served.begin_stop()
            assert idle.recv(10) == b"", "it is closed when the stop has begun"
            with pytest.raises(OSError, match="refused"):
                connected(served)
            received += b"".join(iter(lambda: client.recv(MIB), b""))
    assert received.endswith(content)


def test_a_client_that_never_reads_does_not_hold_up_the_end(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_http, "_GRACE", 0.05)
    served = Served(mirror)
    with served:
        link = served.data()["last_snapshot_link"]
        client = connected(served, receive=4096)
        client.sendall(f"GET {link.removeprefix(served.url)} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert client.recv(5) == b"HTTP/"
        served.begin_stop()
        served.wait()
        client.close()


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def segments(mirror: Mirror) -> list[Path]:
    return sorted(mirror.place.glob("c-*"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: os.truncate(path, 1 << 40),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"),
        lambda path: path.unlink() or path.symlink_to("/etc/passwd"),
        as_pipe,
        lambda path: path.unlink() or path.mkdir(),
    ],
    ids=["missing", "empty", "cut", "without end", "flipped", "link", "pipe", "folder"],
)
def test_damaged_changes_are_never_sent_and_clients_wait_until_they_are_whole_again(
    served: Served, mirror: Mirror, small_range: tuple[int, int], damage: Callable[[Path], None]
) -> None:
    path = segments(mirror)[-1]
    content = path.read_bytes()
    damage(path)
    assert served.changes(*small_range).status_code == 500
    assert served.consumer().status_code == 503
    assert served.get("/healthz").status_code == 503
    assert len(served.log.named("serve-waits")) == 1
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    path.write_bytes(content)
    assert served.consumer().status_code == 200
    assert served.changes(*small_range).status_code == 200


def test_a_manifest_whose_files_are_damaged_is_never_announced(mirror: Mirror) -> None:
    chance = random.Random(1)
    for path in sorted(mirror.place.iterdir()):
        content = path.read_bytes()
        at = chance.randrange(len(content))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with Served(mirror) as served:
            named = path in segments(mirror) or not path.name.startswith("c-")
            assert served.consumer().status_code == (503 if named else 200), path.name
            assert served.changes(1000, 2000).status_code == 500
            path.write_bytes(content)
            assert served.consumer().status_code == 200


def test_while_the_head_is_damaged_clients_wait_and_what_they_asked_for_before_is_answered(
    served: Served, mirror: Mirror, small_range: tuple[int, int]
) -> None:
    head = mirror.place / "head.json"
    for content in (b"", b"{}", b"[" * 4000, head.read_bytes() + b" ", bytes(5000)):
        good = head.read_bytes()
        head.write_bytes(content)
        assert served.consumer().status_code == 503
        assert served.changes(*small_range).status_code == 200
        head.write_bytes(good)
        assert served.consumer().status_code == 200


def test_a_folder_that_goes_away_or_becomes_a_link_makes_clients_wait_until_it_is_back(
    served: Served, mirror: Mirror, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    for place in (mirror.root, mirror.place):
        place.rename(away)
        assert served.consumer().status_code == 503
        if place is mirror.place:
            place.symlink_to(away)
            assert served.consumer().status_code == 503
            place.unlink()
        away.rename(place)
        assert served.consumer().status_code == 200


def test_a_snapshot_that_was_announced_stays_what_it_was(served: Served, mirror: Mirror) -> None:
    """Its name may be of another file later, or of none."""
    link = served.data()["last_snapshot_link"]
    content = served.get(link).content
    path = next(mirror.place.glob("s-*"))
    path.unlink()
    assert served.get(link).content == content
    path.symlink_to("/etc/passwd")
    assert served.get(link).content == content


def test_changes_are_whole_while_the_publisher_prunes(whole: Mirror, tmp_path: Path) -> None:
    """The open segment has another name after each pass; the old one may be gone."""
    mirror = Mirror(tmp_path, whole.feed)
    shutil.copytree(whole.root, mirror.root)
    with Served(mirror) as served:
        served.consumer()
        old = set(segments(mirror))
        churn(whole.feed.history, 50, seed=3)
        mirror.publish()
        for path in old - {mirror.place / name for name in named(mirror)}:
            path.unlink()
        last = whole.feed.history.last_offset
        with ThreadPoolExecutor(12) as pool:
            replies = list(pool.map(lambda _: served.changes(last - 300, last), range(12)))
        assert {reply.status_code for reply in replies} == {200}
        expected = len(whole.feed.history.served(last - 300, last))
        assert {len(change_texts(reply.content)) for reply in replies} == {expected}


def named(mirror: Mirror) -> set[str]:
    """The files of the manifest."""
    info = mirror.reader()
    info.consumer_info()
    return info._manifest.files
