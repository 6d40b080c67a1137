"""A ZIP is read to its true end and checked there, or refused in words that tell what is wrong with it."""

import io
import struct
import tracemalloc
import zipfile
import zlib
from contextlib import nullcontext
from pathlib import Path

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import MAX_OFFSET
from ctisync.errors import SnapshotRefused
from ctisync.feed.http.budget import PIECE, PassLimits
from ctisync.feed.snapshot.compressed import BEST, Ratio
from ctisync.feed.snapshot.file import open_file
from ctisync.feed.snapshot.zip_stream import Archive, Content
from ctisync.system.clock import SystemClock
from tests.feed.crafted_zip import MEMBER, joined, patched, write_wrapped, zip64_extra
from tests.support.feed_simulator import zipped
from tests.support.records import made_up, record

OTHER_EXTRA = struct.pack("<HHI", 0x7875, 4, 7)
"""An extra field of another kind than zip64."""
LINES = b"".join(each.line + b"\n" for each in made_up(2000))


def _content(archive: bytes) -> bytes:
    return b"".join(joined(Archive(io.BytesIO(archive)).contents()))


def test_the_library_reads_what_the_crafted_archives_are_made_from() -> None:
    with zipfile.ZipFile(io.BytesIO(patched(LINES))) as archive:
        assert archive.read(MEMBER) == LINES


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_member_is_read_whole_in_bounded_pieces(compression: int) -> None:
    member = Archive(io.BytesIO(zipped({MEMBER: LINES}, compression)))
    pieces = list(joined(member.contents()))
    assert b"".join(pieces) == LINES
    assert max(map(len, pieces)) <= PIECE
    assert [info.filename for info in member.members] == [MEMBER]


def test_a_member_written_as_a_stream_has_its_sizes_in_the_directory_alone() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    target = Pipe()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, LINES)
    assert _content(target.getvalue()) == LINES


def test_a_member_with_zip64_fields_is_read() -> None:
    target = io.BytesIO()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(MEMBER, "w", force_zip64=True) as member,
    ):
        member.write(LINES)
    assert _content(target.getvalue()) == LINES


def test_other_files_and_folders_in_the_archive_are_left_alone() -> None:
    members = {"folder/": b"", "readme.txt": b"words", f"folder/{MEMBER}": LINES, "z.md": b"more"}
    assert _content(zipped(members)) == LINES
    assert _content(zipped(members, zipfile.ZIP_STORED)) == LINES


def test_bytes_in_front_of_the_archive_do_no_harm() -> None:
    assert _content(b"#!/bin/sh\n" + zipped({MEMBER: LINES})) == LINES


@pytest.mark.parametrize(
    ("members", "words"),
    [
        pytest.param({}, "has 0.*nothing", id="empty"),
        pytest.param({"folder/": b""}, "has 0", id="folders alone"),
        pytest.param({"readme.txt": b"x"}, "has 0.*readme.txt", id="no JSON"),
    ],
)
def test_an_archive_without_a_member_of_records_is_refused_by_names(
    members: dict[str, bytes], words: str
) -> None:
    with pytest.raises(SnapshotRefused, match=words):
        _ = Archive(io.BytesIO(zipped(members))).members


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"crc": 7}, f"has CRC {zlib.crc32(LINES):08x}, declared is 00000007"),
        ({"size": len(LINES) + 400}, "size"),
        ({"size": len(LINES) - 400}, "size"),
        ({"packed": 7}, "packed size"),
        ({"flags": 1}, "encrypted"),
        ({"method": 93}, "method 93"),
        ({"method": 14}, "method 14"),
    ],
    ids=str,
)
def test_a_header_that_lies_is_refused_by_what_it_lies_about(fields: dict[str, int], words: str) -> None:
    with pytest.raises(SnapshotRefused, match=words):
        _content(patched(LINES, **fields))


def test_a_wrong_crc_shows_only_after_all_pieces_were_handed_out() -> None:
    handed_out: list[bytes] = []
    with pytest.raises(SnapshotRefused, match="CRC"):
        handed_out.extend(joined(Archive(io.BytesIO(patched(LINES, crc=7))).contents()))
    assert b"".join(handed_out) == LINES


@pytest.mark.parametrize("percent", range(0, 100, 4))
def test_an_archive_cut_anywhere_is_refused(percent: int) -> None:
    archive = zipped({MEMBER: LINES})
    with pytest.raises(SnapshotRefused):
        _content(archive[: len(archive) * percent // 100])


@pytest.mark.parametrize("flip", [0x01, 0x55, 0xFF])
def test_a_flipped_byte_anywhere_is_refused_or_does_no_harm(tmp_path: Path, flip: int) -> None:
    """On a real file: seeking to nowhere fails in other ways there than in memory."""
    archive = zipped({MEMBER: LINES[:5000]})
    path = tmp_path / "damaged.zip"
    refused = 0
    for place in range(len(archive)):
        damaged = bytearray(archive)
        damaged[place] ^= flip
        path.write_bytes(damaged)
        with path.open("rb") as file:
            try:
                assert b"".join(joined(Archive(file).contents())) == LINES[:5000]
            except SnapshotRefused:
                refused += 1
    assert refused > len(archive) * 0.8


@pytest.mark.parametrize("offset", [0, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_zip64_directory_that_lies_anywhere_is_refused(tmp_path: Path, offset: int) -> None:
    archive = zipped({MEMBER: LINES[:5000]})
    directory, end = archive.index(b"PK\x01\x02"), archive.index(b"PK\x05\x06")
    record64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, end - directory, offset)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    wrapped = bytearray(archive[:end] + record64 + locator + archive[end:])
    struct.pack_into("<I", wrapped, len(wrapped) - 6, 0xFFFFFFFF)
    path = tmp_path / "zip64.zip"
    path.write_bytes(wrapped)
    with path.open("rb") as file, pytest.raises(SnapshotRefused):
        list(joined(Archive(file).contents()))


def test_a_directory_that_points_nowhere_is_refused() -> None:
    archive = bytearray(zipped({MEMBER: LINES}))
    struct.pack_into("<4s", archive, 0, b"XXXX")
    with pytest.raises(SnapshotRefused, match="not where"):
        _content(bytes(archive))


@pytest.mark.parametrize(
    ("declared", "actual", "extra", "same"),
    [
        (5, 5, b"", True),
        (5, 6, b"", False),
        (5, (1 << 32) + 5, b"", True),
        (5, (2 << 32) + 5, b"", True),
        (5, (1 << 32) + 6, b"", False),
        (5, (1 << 32) + 5, zip64_extra(5), False),
        (5, (1 << 32) + 5, OTHER_EXTRA, True),
        (5, (1 << 32) + 5, OTHER_EXTRA + zip64_extra(5), False),
        (5, (1 << 32) + 5, OTHER_EXTRA + b"\x01", True),
        ((1 << 32) + 5, (1 << 32) + 5, zip64_extra((1 << 32) + 5), True),
        ((1 << 32) + 5, 5, zip64_extra((1 << 32) + 5), False),
    ],
)
@pytest.mark.parametrize("which", ["size", "packed size"])
def test_a_size_may_be_wrapped_only_to_the_32_bits_that_it_has(
    which: str, declared: int, actual: int, extra: bytes, same: bool
) -> None:
    info, content = zipfile.ZipInfo(MEMBER), Content(io.BytesIO(), MEMBER, 0, BEST, Ratio(1))
    info.extra, info.CRC = extra, 0
    if which == "size":
        info.file_size, content.size = declared, actual
    else:
        info.compress_size, content.packed = declared, actual
    with nullcontext() if same else pytest.raises(SnapshotRefused, match=f"the {which} of {MEMBER}"):
        content.check(info)


def test_a_stored_member_that_ends_early_is_refused() -> None:
    archive = zipped({MEMBER: LINES}, zipfile.ZIP_STORED)
    file = io.BytesIO(archive)
    member = Archive(file)
    assert len(member.members) == 1
    file.truncate(1000)
    with pytest.raises(SnapshotRefused, match="truncated"):
        list(joined(member.contents()))


def test_a_well_packed_member_never_fills_the_memory() -> None:
    archive = zipped({MEMBER: b" " * (200 << 20)})
    tracemalloc.start()
    for piece in joined(Archive(io.BytesIO(archive), Limits(ratio=2000)).contents()):
        assert len(piece) <= PIECE
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_an_archive_over_4_gib_without_zip64_fields_is_read_to_its_true_end(tmp_path: Path) -> None:
    """Real snapshots are written so (the size that `zipfile` believes is 4 MB here)."""
    line = record("CVE-2024-1", 7, b'{"text":"' + b"x" * (4 << 20) + b'"}').line + b"\n"
    path = tmp_path / "1901695_1746459961.zip"
    size = write_wrapped(path, line, times=1025)
    assert size > 1 << 32
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[0].file_size == size - (1 << 32)
    pass_limits = PassLimits(SystemClock(), Limits(ratio=2000))
    assert sum(len(batch) for batch in open_file(path, pass_limits).records(MAX_OFFSET)) == 1025


def test_a_bomb_is_refused_by_its_ratio_long_before_its_end() -> None:
    archive = zipped({MEMBER: b" " * (400 << 20)})
    sizes: list[int] = []
    with pytest.raises(SnapshotRefused, match=r"a compression ratio above 200 \(limits.ratio\)") as caught:
        sizes.extend(map(len, joined(Archive(io.BytesIO(archive)).contents())))
    assert sum(sizes) <= 100 << 20
    assert "init-snapshot" in str(caught.value.hint)


def test_a_little_that_is_packed_well_is_no_bomb() -> None:
    assert (
        sum(map(len, joined(Archive(io.BytesIO(zipped({MEMBER: b" " * (90 << 20)}))).contents()))) == 90 << 20
    )


def test_more_entries_than_allowed_are_refused() -> None:
    members = {MEMBER: b"{}", **{f"{number}.txt": b"" for number in range(5)}}
    assert [info.filename for info in Archive(io.BytesIO(zipped(members)), Limits(members=6)).members] == [
        MEMBER
    ]
    with pytest.raises(SnapshotRefused, match=r"more than 5 entries \(limits.members\)"):
        _ = Archive(io.BytesIO(zipped(members)), Limits(members=5)).members


def test_a_directory_of_any_size_never_fills_the_memory() -> None:
    many = zipped({f"{number:06}{'x' * 200}": b"" for number in range(20_000)})
    tracemalloc.start()
    with pytest.raises(SnapshotRefused, match=r"limits\.members"):
        _ = Archive(io.BytesIO(many)).members
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
