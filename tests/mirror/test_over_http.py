"""A mirror on a web server, which may lie: a reader has the truth, or an error that says what to do."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

import pytest

from ctisync.core.model import OffsetRange
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import (
    AccessRefused,
    ConfigurationError,
    CtisyncError,
    FeedRefused,
    FeedUnreachable,
    SnapshotRefused,
)
from ctisync.feed.mirror import MirrorFeed
from ctisync.ports import Feed
from ctisync.settings import CtiSettings, Settings, StoreSettings
from ctisync.signatures import SigningKey
from ctisync.wiring import opened_feed
from tests.mirror.parts import CONSUMER, MINISIGN, PUBLIC, Content, Mirror, published, read_all
from tests.support.authority import Authority
from tests.support.feed_history import churn
from tests.support.web_folder import Lie, WebFolder, answer, instead

KINDS: Final = ("head.json", "m-", "c-", "s-")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    with published(tmp_path_factory.mktemp("whole"), records=400) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def truth(whole: Mirror) -> Content:
    return read_all(whole.reader())


@pytest.fixture
def web(mirror: Mirror) -> Iterator[WebFolder]:
    with WebFolder(mirror.root) as server:
        yield server


@pytest.fixture
def opened(web: WebFolder, mirror: Mirror) -> Callable[..., AbstractContextManager[Feed]]:
    """The feed of a pass over the server, with these settings of `cti`."""
    store = mirror.home / "store"
    store.mkdir()

    def open_feed(**cti: object) -> AbstractContextManager[Feed]:
        fields = {"url": f"mirror+{web.url}", "retry_budget": 0.0, **cti}
        settings = Settings(
            cti=CtiSettings(**fields),  # type: ignore[arg-type]
            store=StoreSettings(url=f"sqlite:///{store}/a.db"),
        )
        return opened_feed(settings, CONSUMER, mirror.clock, mirror.log)

    return open_feed


Opened = Callable[..., AbstractContextManager[MirrorFeed]]


def read(opened: Opened, **cti: object) -> Content:
    with opened(**cti) as feed:
        return read_all(feed)


def test_a_reader_has_what_the_folder_has(opened: Opened, truth: Content, web: WebFolder) -> None:
    info, changes, snapshot = read(opened)
    assert (info, changes, snapshot) == truth
    with opened() as feed:
        results, size = feed.diagnose()
    assert [each.health for each in results] == ["ok", "ok"]
    assert size == len(snapshot)


def test_an_idle_pass_is_one_request_until_the_head_changes(
    opened: Opened, web: WebFolder, mirror: Mirror
) -> None:
    with opened() as feed:
        first = feed.consumer_info()
        feed.tidy()
    web.requests.clear()
    for _ in range(2):
        with opened() as feed:
            assert feed.consumer_info() == first
            assert feed.received == 0
            feed.tidy()
    assert [(each.name, each.status) for each in web.requests] == [("head.json", 304)] * 2
    mirror.clock.sleep(60.0)
    mirror.publish()
    with opened() as feed:
        assert feed.consumer_info().mirror != first.mirror
        feed.tidy()
    web.requests.clear()
    with opened() as feed:
        feed.consumer_info()
    assert web.names == ["head.json"]


def test_an_idle_pass_over_a_signed_mirror_is_one_request_too_and_checks_the_signature(
    opened: Opened, web: WebFolder, mirror: Mirror
) -> None:
    mirror.key = SigningKey(MINISIGN / "plain.key")
    mirror.publish()
    with opened(trusted_keys=(PUBLIC,)) as feed:
        feed.consumer_info()
        feed.tidy()
    web.requests.clear()
    with opened(trusted_keys=(PUBLIC,)) as feed:
        feed.consumer_info()
    assert [(each.name, each.status) for each in web.requests] == [("head.json", 304)]
    another = (MINISIGN / "password.pub").read_text().splitlines()[1]
    with opened(trusted_keys=(another,)) as feed, pytest.raises(FeedRefused, match="trusted_keys"):
        feed.consumer_info()


def test_what_is_kept_of_the_last_pass_may_be_damaged(opened: Opened, truth: Content, mirror: Mirror) -> None:
    with opened() as feed:
        feed.consumer_info()
        feed.tidy()
    (note,) = (mirror.home / "store").glob("*.json")
    content = note.read_bytes()
    for at in range(0, len(content), 97):
        note.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with opened() as feed:
            assert feed.consumer_info() == truth[0]
    note.write_bytes(content[:-20])
    assert read(opened) == truth


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_missing_is_an_incomplete_copy_and_never_a_cooldown(
    opened: Opened, web: WebFolder, kind: str, status: int
) -> None:
    web.lies[kind] = answer(status, b"no such key")
    with pytest.raises(FeedUnreachable, match="not complete") as caught:
        read(opened)
    assert caught.value.cooldown is None
    assert "curl" in str(caught.value.hint)
    if kind in ("m-", "c-"):
        assert web.names.count("head.json") > 1


def test_a_file_that_was_pruned_meanwhile_is_read_by_the_newer_head(
    opened: Opened, web: WebFolder, mirror: Mirror
) -> None:
    with opened() as feed:
        info = feed.consumer_info()
        assert info.last_offset is not None
        (last,) = mirror.place.glob(f"c-*-{info.last_offset}-*.zst")
        last.unlink()
        churn(mirror.feed.history, 3)
        mirror.publish()
        last_five = OffsetRange(info.last_offset - 5, info.last_offset)
        assert len(feed.changes(last_five)) == 5


LIES: Final[dict[str, tuple[Lie, tuple[type[CtisyncError], ...]]]] = {
    "flipped": (instead(lambda content: content[:-1] + b"?"), (FeedRefused,)),
    "short": (instead(lambda content: content[:-1]), (FeedRefused,)),
    "long": (instead(lambda content: content + b" "), (FeedRefused,)),
    "html": (instead(lambda _: b"<html>welcome</html>"), (FeedRefused,)),
    "empty": (answer(200), (FeedRefused,)),
    "204": (answer(204), (FeedRefused, FeedUnreachable)),
    "304": (answer(304), (FeedRefused, FeedUnreachable)),
    "400": (answer(400), (FeedRefused,)),
    "401": (answer(401, b"who"), (AccessRefused,)),
    "403 for now": (answer(403, Retry_After=60), (FeedUnreachable,)),
    "429": (answer(429, Retry_After=60), (FeedUnreachable,)),
    "500": (answer(500), (FeedUnreachable,)),
    "cut": (
        lambda handler, content: handler.cut(content, len(content) // 2),
        (FeedRefused, FeedUnreachable),
    ),
    "reset": (lambda handler, _: handler.reset(), (FeedUnreachable,)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_is_refused(
    opened: Opened, web: WebFolder, truth: Content, kind: str, lie: str
) -> None:
    web.lies[kind], errors = LIES[lie]
    with pytest.raises(errors):
        read(opened)
    web.lies.clear()
    assert read(opened) == truth


def test_the_bytes_decide_and_not_the_encoding_that_the_server_names(
    opened: Opened, web: WebFolder, truth: Content
) -> None:
    for kind in KINDS[:-1]:
        web.lies[kind] = instead(lambda content: content, Content_Encoding="gzip")
    assert read(opened) == truth


def test_files_without_an_end_are_read_no_further_than_their_limit(opened: Opened, web: WebFolder) -> None:
    for kind in KINDS[:-1]:
        web.lies = {kind: instead(lambda _: bytes(20 << 20))}
        with opened() as feed:
            with pytest.raises(FeedRefused, match="cannot be used"):
                read_all(feed)
            assert feed.received < 4 << 20


def test_a_busy_server_is_asked_again_within_the_budget(
    opened: Opened, web: WebFolder, truth: Content
) -> None:
    failures = 3

    def busy(handler: object, content: bytes) -> None:
        nonlocal failures
        failures -= 1
        if failures == 0:
            web.lies.clear()
        answer(503)(handler, content)  # type: ignore[arg-type]

    web.lies[""] = busy
    assert read(opened, retry_budget=60.0) == truth


def test_a_server_that_fails_for_long_gets_a_cooldown(opened: Opened, web: WebFolder) -> None:
    web.lies[""] = answer(503)
    with pytest.raises(FeedUnreachable) as caught:
        read(opened)
    assert caught.value.cooldown == 600.0


def test_the_snapshot_goes_on_where_it_was_interrupted_also_in_the_next_pass(
    opened: Opened, web: WebFolder, truth: Content
) -> None:
    half = len(truth[2]) // 2
    web.lies["s-"] = lambda handler, content: handler.cut(content, half)
    with pytest.raises(FeedUnreachable):
        read(opened)
    web.lies.clear()
    web.requests.clear()
    assert read(opened) == truth
    (again,) = (each for each in web.requests if each.name.startswith("s-"))
    assert (again.status, again.headers["Range"]) == (206, f"bytes={half}-")


def test_a_damaged_snapshot_is_not_downloaded_again_while_it_is_the_same(
    opened: Opened, web: WebFolder, truth: Content, mirror: Mirror
) -> None:
    web.lies["s-"] = instead(lambda content: content[:-1] + b"?", ETag='"1"')
    with pytest.raises(SnapshotRefused) as caught:
        read(opened)
    assert caught.value.body == ('"1"', len(truth[2]))
    info = truth[0]
    assert info.snapshot is not None
    refused = RefusedSnapshot(info.snapshot.link, *caught.value.body, "it is damaged")
    with opened() as feed:
        with pytest.raises(SnapshotRefused, match="still offers") as again:
            feed.fetch_snapshot(info.snapshot, refused, lambda: None)
        assert again.value.body is None
        web.lies.clear()
        assert feed.fetch_snapshot(info.snapshot, refused, lambda: None).size == len(truth[2])


def test_only_a_snapshot_is_redirected_and_only_to_allowed_hosts(
    opened: Opened, web: WebFolder, mirror: Mirror, truth: Content
) -> None:
    with WebFolder(mirror.root) as other:
        place = f"http://localhost:{other.port}/{CONSUMER}/"

        def elsewhere(handler: object, _: bytes) -> None:
            name = handler.path.rpartition("/")[2]  # type: ignore[attr-defined]
            handler.send(302, b"", {"Location": place + name})  # type: ignore[attr-defined]

        web.lies["s-"] = elsewhere
        with pytest.raises(SnapshotRefused, match="not the feed's host"):
            read(opened)
        assert other.requests == []
        assert read(opened, allowed_hosts=(f"localhost:{other.port}",)) == truth
        web.lies = {"head.json": elsewhere}
        with pytest.raises(ConfigurationError, match="redirect"):
            read(opened, allowed_hosts=(f"localhost:{other.port}",))


def test_over_https_only_a_trusted_server_is_read_and_a_wrong_scheme_is_named(
    opened: Opened, mirror: Mirror, truth: Content
) -> None:
    authority = Authority(mirror.home / "authority")
    with WebFolder(mirror.root, authority.issue("mirror")) as web, WebFolder(mirror.root) as plain:
        place = f"localhost:{web.port}"
        assert read(opened, url=f"mirror+https://{place}", ca_file=authority.file) == truth
        with pytest.raises(AccessRefused, match="certificate"):
            read(opened, url=f"mirror+https://{place}")
        with pytest.raises(AccessRefused, match=r"begins with mirror\+http://") as caught:
            read(opened, url=f"mirror+http://{place}")
        assert f"mirror+https://{place}" in str(caught.value.hint)
        with pytest.raises(AccessRefused, match=r"begins with mirror\+https://"):
            read(opened, url=f"mirror+https://localhost:{plain.port}", ca_file=authority.file)


def test_doctor_sends_each_request_once(opened: Opened, web: WebFolder) -> None:
    web.lies[""] = answer(503)
    with opened(retry_budget=300.0) as feed:
        results, size = feed.diagnose()
    assert [each.health for each in results] == ["failed"]
    assert size is None
    assert len(web.requests) == 1
