"""What somebody has packed with gzip or zstd is read as it is, and bounded as a ZIP is."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import zstandard

from ctisync.core import wire
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.errors import SnapshotRefused
from ctisync.feed.http.budget import PIECE
from ctisync.feed.http.replies import Damaged, gunzipped
from ctisync.feed.snapshot import records as archive
from ctisync.feed.snapshot.compressed import is_packed, plain_or_unpacked
from tests.support.records import made_up

LINES: Final = b"\n".join(record.line for record in made_up(200))


def zstd(content: bytes) -> bytes:
    """As its command line packs a pipe: the frame does not say how long it is."""
    with io.BytesIO() as target:
        with zstandard.ZstdCompressor(write_checksum=True).stream_writer(target, closefd=False) as writer:
            writer.write(content)
        return target.getvalue()


PACK: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.compress, "zstd": zstd}
both = pytest.mark.parametrize("name", PACK)


def content_of(packed: bytes, limits: Limits = USUAL_LIMITS) -> bytes:
    file = io.BytesIO(packed)
    assert is_packed(file)
    file.seek(0)
    return b"".join(plain_or_unpacked(file, limits))


@both
def test_several_in_a_row_are_one_content(name: str) -> None:
    half = len(LINES) // 2
    packed = PACK[name](LINES[:half]) + PACK[name](b"") + PACK[name](LINES[half:])
    assert content_of(packed) == LINES


@both
def test_what_is_cut_off_anywhere_is_refused(name: str) -> None:
    packed = PACK[name](LINES)
    for end in {*range(4, 40), *range(40, len(packed), 997), *range(len(packed) - 12, len(packed))}:
        with pytest.raises(SnapshotRefused, match=rf"the snapshot's {name} is incomplete"):
            content_of(packed[:end])


@both
def test_a_flipped_bit_never_becomes_content(name: str) -> None:
    packed = PACK[name](LINES)
    for at in range(20, len(packed), 499):
        broken = bytearray(packed)
        broken[at] ^= 16
        with pytest.raises(SnapshotRefused, match=rf"the snapshot's {name} is (damaged|incomplete)"):
            content_of(bytes(broken))


@both
def test_what_follows_and_is_not_packed_is_damage(name: str) -> None:
    with pytest.raises(SnapshotRefused, match="damaged"):
        content_of(PACK[name](LINES) + b"trailing, and no packed byte")


@both
def test_a_bomb_is_refused_by_its_ratio_long_before_its_end(name: str) -> None:
    packed = PACK[name](bytes(300 << 20))
    pieces: list[int] = []
    with pytest.raises(SnapshotRefused, match=r"a compression ratio above 200 \(limits.ratio\)") as caught:
        pieces.extend(map(len, plain_or_unpacked(io.BytesIO(packed), USUAL_LIMITS)))
    assert sum(pieces) <= 100 << 20
    assert max(pieces) <= PIECE
    assert "raise limits.ratio" in (caught.value.hint or "")


@both
def test_what_comes_out_counts_for_the_limit_of_a_snapshot(name: str) -> None:
    packed = PACK[name](LINES)
    with pytest.raises(SnapshotRefused, match=r"limits\.unzipped_bytes"):
        list(archive.records(io.BytesIO(packed), 10**6, Limits(unzipped_bytes=len(LINES) - 1)))


def test_a_frame_that_would_take_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    with io.BytesIO() as target:
        with compressor.stream_writer(target, closefd=False) as writer:
            writer.write(LINES)
        packed = target.getvalue()
    with pytest.raises(SnapshotRefused, match="zstd is damaged"):
        content_of(packed)


def test_a_piece_is_bounded_whatever_one_packed_byte_comes_to() -> None:
    def chunks() -> Iterator[bytes]:
        yield zlib.compress(bytes(50 << 20), wbits=31)

    assert max(map(len, gunzipped(chunks()))) <= PIECE
    with pytest.raises(Damaged):
        list(gunzipped(iter([b"no gzip"])))


@pytest.mark.parametrize("ending", ["ndjson", "ndjson.gz", "json.zst", "zip"])
def test_the_name_of_a_packed_file_says_its_offset_too(ending: str) -> None:
    assert wire.offset_in_name(f"/x/1901695_1746459961.{ending}") == 1901695
