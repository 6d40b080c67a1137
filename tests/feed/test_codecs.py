"""Whatever inflates a snapshot: the same bytes come out of it, and the same damage is found."""

import io
import os
import random
import zlib

import pytest

from ctisync.core.limits import USUAL_LIMITS
from ctisync.errors import SnapshotRefused
from ctisync.feed.http.budget import PIECE
from ctisync.feed.snapshot.compressed import BEST, ISAL, ZLIB, Codec
from ctisync.feed.snapshot.zip_stream import Archive
from tests.feed.crafted_zip import MEMBER, joined
from tests.support.feed_simulator import zipped
from tests.support.records import made_up

CONTENT = b"".join(record.line + b"\n" for record in made_up(40))


def inflated(archive: bytes, codec: Codec) -> bytes | None:
    """None: refused."""
    try:
        return b"".join(joined(Archive(io.BytesIO(archive), USUAL_LIMITS, codec).contents()))
    except SnapshotRefused:
        return None


@pytest.mark.skipif("TEST_WITHOUT_WHEELS" in os.environ, reason="it is left out")
def test_the_quick_codec_is_there_and_is_what_is_used() -> None:
    """Where it was not installed the load would take longer, and nobody would notice."""
    assert ISAL is not None
    assert BEST is ISAL


@pytest.mark.parametrize("codec", [ZLIB, BEST], ids=["zlib", "isal"])
def test_a_snapshot_comes_out_as_it_went_in_by_either_codec_and_in_pieces(codec: Codec) -> None:
    large = CONTENT * 200
    pieces = list(joined(Archive(io.BytesIO(zipped({MEMBER: large})), USUAL_LIMITS, codec).contents()))
    assert b"".join(pieces) == large
    assert max(map(len, pieces)) <= PIECE
    assert len(pieces) > 1


def test_a_zip_with_a_flipped_bit_is_refused_by_both_codecs_or_by_none() -> None:
    chance = random.Random(11)
    archive = zipped({MEMBER: CONTENT})
    refused = 0
    for _ in range(2000):
        damaged = bytearray(archive)
        place = chance.randrange(len(damaged))
        damaged[place] ^= 1 << chance.randrange(8)
        outcomes = {inflated(bytes(damaged), codec) for codec in (ZLIB, BEST)}
        assert len(outcomes) == 1, place
        refused += None in outcomes
    assert refused > 1000


def test_a_zip_that_is_cut_anywhere_is_refused_by_both_codecs() -> None:
    archive = zipped({MEMBER: CONTENT})
    for size in range(len(archive)):
        assert {inflated(archive[:size], codec) for codec in (ZLIB, BEST)} == {None}, size


def test_random_bytes_in_the_place_of_packed_ones_are_refused_by_both_codecs() -> None:
    chance = random.Random(12)
    archive = zipped({MEMBER: CONTENT})
    begin = archive.index(MEMBER.encode()) + len(MEMBER)
    end = archive.index(b"PK\x01\x02")
    for _ in range(500):
        damaged = archive[:begin] + chance.randbytes(end - begin) + archive[end:]
        assert {inflated(damaged, codec) for codec in (ZLIB, BEST)} == {None}


def test_a_crc_is_reckoned_on_from_piece_to_piece_by_both_codecs() -> None:
    for codec in (ZLIB, BEST):
        crc = 0
        for start in range(0, len(CONTENT), 1000):
            crc = codec.crc32(CONTENT[start : start + 1000], crc)
        assert crc == zlib.crc32(CONTENT)
