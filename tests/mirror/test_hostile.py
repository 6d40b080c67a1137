"""A folder that is damaged, incomplete or made by an enemy: a reader has the truth, or an error."""

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import zstandard
from msgspec.structs import replace

from ctisync.core.manifest import (
    FORMAT,
    Head,
    Manifest,
    MirrorFile,
    encoded,
    head_of,
    manifest_name,
    manifest_of,
    segment_name,
)
from ctisync.core.model import OffsetRange
from ctisync.errors import CtisyncError, FeedRefused, FeedUnreachable
from tests.mirror.parts import CONSUMER, Content, Mirror, published, read_all

BOMB: Final = 300 << 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    with published(tmp_path_factory.mktemp("whole")) as mirror:
        yield mirror


@pytest.fixture
def truth(whole: Mirror) -> Content:
    return read_all(whole.reader())


def manifest(mirror: Mirror) -> Manifest:
    head = head_of((mirror.place / "head.json").read_bytes())
    return manifest_of((mirror.place / head.manifest.name).read_bytes(), str(CONSUMER))


def publish(mirror: Mirror, changed: Manifest) -> None:
    """Make this the manifest, with a head that fits."""
    place_manifest(mirror.place, changed)


def place_manifest(folder: Path, changed: Manifest) -> str:
    """The same in the folder of a consumer; returns the manifest's name."""
    text = encoded(changed)
    digest = hashlib.sha256(text).hexdigest()
    name = manifest_name(changed.serial, digest)
    (folder / name).write_bytes(text)
    head = Head(format=FORMAT, manifest=MirrorFile(name=name, size=len(text), sha256=digest))
    (folder / "head.json").write_bytes(encoded(head))
    return name


def with_segment(mirror: Mirror, packed: bytes, **fields: Any) -> None:
    """Publish other bytes for the first segment, with a manifest that names them rightly."""
    old = manifest(mirror)
    first, *rest = old.segments
    digest = hashlib.sha256(packed).hexdigest()
    first = replace(first, **{"size": len(packed), "sha256": digest, **fields})
    first = replace(first, name=segment_name(first, digest))
    (mirror.place / first.name).write_bytes(packed)
    publish(mirror, replace(old, segments=(first, *rest)))


def first_lines(mirror: Mirror) -> list[bytes]:
    packed = (mirror.place / manifest(mirror).segments[0].name).read_bytes()
    return zstandard.ZstdDecompressor().decompress(packed).splitlines(keepends=True)


def files(mirror: Mirror) -> list[Path]:
    return sorted(mirror.place.iterdir())


def test_any_byte_flipped_is_the_truth_or_an_error(mirror: Mirror, truth: Content) -> None:
    chance, refused = random.Random(1), 0
    for path in files(mirror):
        content = path.read_bytes()
        places = range(len(content)) if len(content) < 200 else sorted(chance.sample(range(len(content)), 60))
        for at in places:
            path.write_bytes(
                content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
            )
            with pytest.raises(CtisyncError) as caught:
                assert read_all(mirror.reader()) == truth
            assert caught.value.exit_code in (5, 6)
            refused += 1
        path.write_bytes(content)
    assert refused > 200
    assert read_all(mirror.reader()) == truth


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda path: os.truncate(path, path.stat().st_size // 2), FeedRefused),
        (lambda path: os.truncate(path, 0), FeedRefused),
        (lambda path: path.write_bytes(path.read_bytes() + b"\n"), FeedRefused),
        (lambda path: path.unlink(), FeedUnreachable),
    ],
    ids=["cut", "empty", "grown", "missing"],
)
def test_each_file_that_is_not_whole_is_an_error(
    mirror: Mirror, damage: Callable[[Path], None], error: type[CtisyncError]
) -> None:
    for path in files(mirror):
        content = path.read_bytes()
        damage(path)
        with pytest.raises(error):
            read_all(mirror.reader())
        path.write_bytes(content)


def test_links_pipes_and_folders_in_place_of_files_are_refused_and_not_waited_for(
    mirror: Mirror, tmp_path: Path
) -> None:
    for path in files(mirror):
        moved = path.rename(tmp_path / path.name)
        for put in (path.symlink_to, lambda _, path=path: os.mkfifo(path), lambda _, path=path: path.mkdir()):
            put(moved)
            with pytest.raises(CtisyncError) as caught:
                read_all(mirror.reader())
            assert caught.value.exit_code == 6
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        moved.rename(path)


def test_a_link_in_place_of_the_consumers_folder_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    moved = mirror.place.rename(tmp_path / "elsewhere")
    mirror.place.symlink_to(moved)
    with pytest.raises(FeedRefused):
        read_all(mirror.reader())


@pytest.mark.parametrize("name", ["/etc/passwd", "../../../../etc/passwd", "M-1.json", "m-1-\u0000.json", ""])
def test_a_head_with_another_name_for_the_manifest_is_refused(mirror: Mirror, name: str) -> None:
    head = msgspec.json.decode((mirror.place / "head.json").read_bytes())
    head["manifest"]["name"] = name
    (mirror.place / "head.json").write_bytes(msgspec.json.encode(head) + b"\n")
    with pytest.raises(FeedRefused):
        mirror.reader().consumer_info()


def test_files_without_an_end_are_read_no_further_than_their_limit(mirror: Mirror) -> None:
    for path in files(mirror):
        content = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(1 << 40)
        reader = mirror.reader()
        with pytest.raises(FeedRefused):
            read_all(reader)
        assert reader.received < 40 << 20
        path.write_bytes(content)


def test_a_manifest_that_would_be_too_large_is_not_even_read(mirror: Mirror) -> None:
    head = head_of((mirror.place / "head.json").read_bytes())
    large = replace(head.manifest, size=5 << 20)
    (mirror.place / "head.json").write_bytes(encoded(replace(head, manifest=large)))
    with pytest.raises(FeedRefused, match="at most"):
        mirror.reader().consumer_info()


def test_a_bomb_is_decompressed_no_further_than_the_manifest_says(mirror: Mirror) -> None:
    packed = zstandard.ZstdCompressor(level=1).compress(bytes(BOMB))
    with_segment(mirror, packed)
    with pytest.raises(FeedRefused, match="bytes of changes"):
        read_all(mirror.reader())


def test_a_manifest_cannot_allow_a_larger_segment(mirror: Mirror) -> None:
    old = manifest(mirror)
    first, *rest = old.segments
    publish(mirror, replace(old, segments=(replace(first, raw_size=BOMB), *rest)))
    with pytest.raises(FeedRefused):
        mirror.reader().consumer_info()


def spoilt(edit: Callable[[list[bytes]], list[bytes]]) -> Callable[[Mirror], None]:
    def spoil(mirror: Mirror) -> None:
        text = b"".join(edit(first_lines(mirror)))
        with_segment(mirror, zstandard.ZstdCompressor().compress(text), raw_size=len(text))

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        spoilt(lambda lines: lines[:-1]),
        spoilt(lambda lines: [*lines, lines[-1]]),
        spoilt(lambda lines: [lines[1], lines[0], *lines[2:]]),
        spoilt(lambda lines: [*lines[:5], lines[5].replace(b'"offset":', b'"offset":9'), *lines[6:]]),
        spoilt(lambda lines: [*lines[:5], b"\n", *lines[5:]]),
        spoilt(lambda lines: [*lines[:5], b"[]\n", *lines[6:]]),
        spoilt(lambda lines: [*lines[:5], b'{"offset":' + b"[" * 100_000 + b"\n", *lines[6:]]),
        spoilt(lambda lines: [*lines[:-1], lines[-1].rstrip()]),
        spoilt(lambda lines: [lines[0].replace(b'"inserted_at":"2', b'"inserted_at":"3'), *lines[1:]]),
        lambda mirror: with_segment(mirror, b"no zstd"),
        lambda mirror: with_segment(mirror, b"\x28\xb5\x2f\xfd" + bytes(40)),
    ],
    ids=[
        "a line less",
        "one twice",
        "exchanged",
        "elsewhere",
        "empty line",
        "an array",
        "deep",
        "cut",
        "another time",
        "no zstd",
        "damaged zstd",
    ],
)
def test_a_segment_that_is_not_as_the_manifest_says_is_refused(
    mirror: Mirror, spoil: Callable[[Mirror], None]
) -> None:
    spoil(mirror)
    reader = mirror.reader()
    info = reader.consumer_info()
    assert info.mirror is not None
    with pytest.raises(FeedRefused):
        reader.changes(OffsetRange(info.mirror.floor, info.mirror.floor + 1000))


def test_a_deep_payload_and_many_values_are_refused_as_of_the_feed(mirror: Mirror) -> None:
    lines = first_lines(mirror)
    deep = b'{"payload":' + b'{"a":' * 600 + b"1" + b"}" * 600 + b","
    spoilt(lambda _: [*lines[:5], deep + lines[5][1:], *lines[6:]])(mirror)
    with pytest.raises(FeedRefused):
        mirror.reader().changes(OffsetRange(1000, 2000))


def test_a_disk_that_answers_differently_the_second_time_is_refused(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is used from the copy whose bytes were hashed."""
    reader = mirror.reader()
    info = reader.consumer_info()
    assert info.snapshot is not None
    file = reader.fetch_snapshot(info.snapshot, None, lambda: None)
    (mirror.place / info.snapshot.link).write_bytes(b"another")
    names = [record.name for batch in file.records(10_000) for record in batch]
    assert len(names) == 5
    with pytest.raises(FeedRefused):
        reader.fetch_snapshot(info.snapshot, None, lambda: None)


def test_a_folder_that_is_not_there_can_be_tried_again(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(FeedUnreachable) as caught:
        mirror.reader(tmp_path / "nowhere").consumer_info()
    assert caught.value.cooldown is None
    assert "mount" in str(caught.value.hint)
