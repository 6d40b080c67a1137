"""T7: small archives that come to a great deal. Each ends at a limit long before it fills memory or disk."""

import struct
from itertools import chain, repeat

from tests.feed.crafted_zip import write_pieces
from tests.hostile.confined import Confined
from tests.hostile.lines import GOOD, ndjson, of

MIB = 1 << 20
ROOM = {"CTISYNC_LIMITS__RATIO": "2000"}
"""So that another limit is met first."""


def test_ten_megabytes_that_come_to_ten_gigabytes_of_records_are_refused_by_their_ratio(
    confined: Confined,
) -> None:
    """With the sizes of the whole, which nobody believes."""
    record = of(b'{"text":"' + b"x" * MIB + b'"}') + b"\n"
    assert write_pieces(confined.snapshot, repeat(record, 10_240), crc=0) > 10 << 30
    assert confined.snapshot.stat().st_size < 12 << 20
    confined.assert_refused(r"has a compression ratio above 200 \(limits\.ratio\)")


def test_gigabytes_of_zeros_are_refused_by_the_length_of_their_line(confined: Confined) -> None:
    write_pieces(confined.snapshot, repeat(bytes(MIB), 10_240), crc=0)
    confined.assert_refused(r"a line of more than \d+ bytes \(limits\.line_bytes\)")


def test_records_beyond_the_limit_of_their_bytes_are_refused_however_they_are_packed(
    confined: Confined,
) -> None:
    record = of(b'{"text":"' + b"x" * MIB + b'"}') + b"\n"
    write_pieces(confined.snapshot, repeat(record, 300), crc=0)
    confined.assert_refused(
        r"more than 200000000 bytes \(limits\.unzipped_bytes\)",
        CTISYNC_LIMITS__UNZIPPED_BYTES="200000000",
        **ROOM,
    )


def test_gigabytes_of_newlines_are_refused_by_the_limit_of_their_bytes(confined: Confined) -> None:
    write_pieces(confined.snapshot, chain([ndjson(GOOD)], repeat(b"\n" * MIB, 10_240)), crc=0)
    confined.assert_refused(r"limits\.unzipped_bytes", CTISYNC_LIMITS__UNZIPPED_BYTES="30000000", **ROOM)


def test_a_directory_of_a_million_entries_is_refused_before_it_is_read(confined: Confined) -> None:
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 8) + bytes(16) + b"name.txt"
    count = 1_000_000
    end = struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, count * len(entry), 4, 0)
    with confined.snapshot.open("wb") as file:
        file.write(b"PK\x03\x04")
        for _ in range(1000):
            file.write(entry * (count // 1000))
        file.write(b"PK\x05\x06" + end)
    confined.assert_refused(r"more than 1000 entries \(limits\.members\)")
