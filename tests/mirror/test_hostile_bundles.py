"""A bundle that is damaged or made by an enemy: an import has the truth, or an error, and reads no more than
that takes."""

import io
import random
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from ctisync.core.bundle import BLOCK, END, Member, header
from ctisync.core.manifest import WrongMirror
from ctisync.errors import FeedRefused
from ctisync.feed import tar_files
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.mirror import MirrorFeed
from ctisync.feed.snapshot.spool import SpoolFolder
from ctisync.feed.tar_files import TarFiles
from ctisync.mirror.bundle import Bundler
from ctisync.wiring import mirror_files
from tests.mirror.parts import CONSUMER, Content, published, read_all
from tests.support.clock import FakeClock
from tests.support.log import KeptLog

FOLDERS: Final = (CONSUMER.context, CONSUMER.name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle with a snapshot and two segments."""
    with published(tmp_path_factory.mktemp("whole")) as mirror:
        files = mirror_files(mirror.root)
    target = io.BytesIO()
    Bundler(lambda name: files.opened(FOLDERS, name), CONSUMER).write(None, target, KeptLog())
    return target.getvalue()


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], Content]:
    """All that a bundle of these bytes has."""

    def read(content: bytes) -> Content:
        path = tmp_path / "bundle.tar"
        path.write_bytes(content)
        with path.open("rb") as file:
            return read_all(feed_of(TarFiles(file, "bundle.tar"), tmp_path))

    return read


def feed_of(files: TarFiles, home: Path) -> MirrorFeed:
    return MirrorFeed(files, CONSUMER, SpoolFolder(home / "a.lock", PassLimits(FakeClock()), KeptLog()))


def members(content: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as made:
        return [(each, made.extractfile(each).read()) for each in made]  # type: ignore[union-attr]


def tar(*parts: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """As another program writes it, with the end that ours has."""
    text = b""
    for info, content in parts:
        text += info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % BLOCK)
    return text + END


def test_a_bundle_is_written_in_one_way(whole: bytes, read: Callable[[bytes], Content]) -> None:
    assert tar(*members(whole)) == whole
    _, changes, _ = read(whole)
    assert len(changes) == 1205


def test_any_byte_flipped_is_the_truth_or_an_error(whole: bytes, read: Callable[[bytes], Content]) -> None:
    truth, chance, refused = read(whole), random.Random(1), 0
    headers = [at for at in range(0, len(whole), BLOCK) if whole[at + 257 : at + 262] == b"ustar"]
    places = [at + chance.randrange(BLOCK) for at in headers for _ in range(20)]
    places += [chance.randrange(len(whole)) for _ in range(200)]
    for at in places:
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << chance.randrange(8)
        with suppress(FeedRefused):
            refused += 1
            assert read(bytes(spoilt)) == truth, at
            refused -= 1
    assert refused > 250


def test_a_bundle_that_is_cut_or_grown_is_refused(whole: bytes, read: Callable[[bytes], Content]) -> None:
    chance = random.Random(2)
    for end in [0, 1, BLOCK, len(whole) - 1, len(whole) - BLOCK, *chance.sample(range(len(whole)), 60)]:
        with pytest.raises(FeedRefused):
            read(whole[:end])
    for more in (b"x", bytes(BLOCK), whole):
        with pytest.raises(FeedRefused):
            read(whole + more)


def of_kind(kind: bytes) -> Callable[[tarfile.TarInfo], None]:
    def alter(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "/etc/passwd"

    return alter


def named(name: str) -> Callable[[tarfile.TarInfo], None]:
    def alter(info: tarfile.TarInfo) -> None:
        info.name = name

    return alter


def owned(info: tarfile.TarInfo) -> None:
    info.uname = "root"


def executable(info: tarfile.TarInfo) -> None:
    info.mode = 0o4755


KINDS: Final = {
    "link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "pipe": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
    "folder": tarfile.DIRTYPE,
    "sparse": tarfile.GNUTYPE_SPARSE,
    "long name": tarfile.GNUTYPE_LONGNAME,
    "further headers": tarfile.XHDTYPE,
    "headers of all": tarfile.XGLTYPE,
}
NAMES: Final = (
    "/etc/passwd",
    "../head.json",
    "vd_1.0.0/../head.json",
    "vd_1.0.0/vd_4.8.0/../head.json",
    "vd_1.0.0//head.json",
    "./vd_1.0.0/vd_4.8.0/head.json",
    "head.json",
    "VD_1.0.0/vd_4.8.0/head.json",
    "vd_1.0.0/vd_4.8.0/sub/head.json",
    "vd_1.0.0/vd_4.8.0/.ctisync",
)
ALTERED: Final = {
    **{name: of_kind(kind) for name, kind in KINDS.items()},
    **{name: named(name) for name in NAMES},
    "owned": owned,
    "executable": executable,
}


@pytest.mark.parametrize("name", ALTERED)
def test_other_than_plain_files_at_their_places_are_refused(
    whole: bytes, read: Callable[[bytes], Content], name: str
) -> None:
    """Also where the rest is a good bundle."""
    info = tarfile.TarInfo("vd_1.0.0/vd_4.8.0/more")
    ALTERED[name](info)
    for parts in ([(info, b""), *members(whole)], [*members(whole), (info, b"")]):
        with pytest.raises(FeedRefused):
            read(tar(*parts))


def test_a_name_that_is_there_twice_is_refused(whole: bytes, read: Callable[[bytes], Content]) -> None:
    first, *rest = members(whole)
    for parts in ([first, first, *rest], [first, *rest, first]):
        with pytest.raises(FeedRefused, match="twice"):
            read(tar(*parts))


def test_each_file_that_is_left_out_is_an_error_that_waiting_does_not_heal(
    whole: bytes, read: Callable[[bytes], Content]
) -> None:
    every, (_, truth, _) = members(whole), read(whole)
    for info, _ in every:
        rest = [each for each in every if each[0] is not info]
        if "/s-" in info.name:
            with pytest.raises(AssertionError):  # the answer offers no snapshot
                read(tar(*rest))
        elif "/c-" in info.name:
            after = int(info.name.split("-")[2])  # what follows the one that is missing
            _, changes, _ = read(tar(*rest))
            assert changes == [each for each in truth if each.offset > after]
        else:
            with pytest.raises(FeedRefused, match="it has no"):
                read(tar(*rest))


@pytest.mark.parametrize("size", [1 << 32, (8 << 30) - 1])
def test_a_size_beyond_the_end_is_not_believed(
    whole: bytes, read: Callable[[bytes], Content], size: int
) -> None:
    block = header(Member("vd_1.0.0/vd_4.8.0/more", size, 0))
    with pytest.raises(FeedRefused, match="cut off"):
        read(whole[: -len(END)] + block + END)


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-0000000001\0", b" " * 12])
def test_a_size_that_is_written_otherwise_is_refused(
    whole: bytes, read: Callable[[bytes], Content], size: bytes
) -> None:
    block = bytearray(whole[:BLOCK])
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(FeedRefused):
        read(bytes(block) + whole[BLOCK:])


def test_a_bundle_of_headers_alone_is_read_no_further_than_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_files, "_MOST_MEMBERS", 100)
    path = tmp_path / "many.tar"
    path.write_bytes(b"".join(header(Member(f"a/b/{number}", 0, 0)) for number in range(101)))
    with path.open("rb") as file, pytest.raises(FeedRefused, match="too many"):
        TarFiles(file, "many.tar")


def test_a_file_without_an_end_is_no_bundle(tmp_path: Path) -> None:
    path = tmp_path / "endless.tar"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    with path.open("rb") as file, pytest.raises(FeedRefused):
        TarFiles(file, "endless.tar")


def test_a_file_that_answers_differently_the_second_time_is_refused(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar"
    path.write_bytes(whole)
    with path.open("rb") as file:
        reader = feed_of(TarFiles(file, "bundle.tar"), tmp_path)
        info = reader.consumer_info()
        path.write_bytes(bytes(len(whole)))
        assert info.snapshot is not None
        with pytest.raises(FeedRefused):
            reader.fetch_snapshot(info.snapshot, None, lambda: None)


def test_a_file_whose_name_is_too_long_for_a_tar_is_not_packed() -> None:
    with pytest.raises(WrongMirror, match="tar"):
        header(Member(f"{'a' * 100}/{'b' * 100}/{'c' * 100}", 1, 0))
    with pytest.raises(WrongMirror, match="tar"):
        header(Member("a/b/c", 8 << 30, 0))
