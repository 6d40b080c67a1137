"""T7: archives as large as the feed's, with the sizes that the feed writes: whole, or not at all."""

import random
from collections.abc import Iterator
from typing import Final

import pytest

from tests.feed.crafted_zip import write_pieces
from tests.hostile.confined import Confined
from tests.hostile.lines import of
from tests.support.figures import figure
from tests.support.records import cve_name

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

GIB: Final = 1 << 30
RECORDS: Final = 2100


def filler() -> bytes:
    """2.6 MB of text, of which 1 byte in 140 is needed: less than limits.ratio would refuse."""
    chance = random.Random(41)
    part = b"The same words again and again, as in advisories. " * 320
    return b"".join(b"%060x" % chance.getrandbits(240) + part for _ in range(163))


def records() -> Iterator[bytes]:
    text = filler()
    for number in range(RECORDS):
        head, tail = of(b'{"text":"\0"}', name=b'"%s"' % cve_name(number).encode()).split(b"\0")
        yield head
        yield text
        yield tail + b"\n"


def test_five_gibibytes_whose_size_was_wrapped_to_32_bits_are_loaded_to_the_last_record(
    confined: Confined,
) -> None:
    size = write_pieces(confined.snapshot, records())
    assert size > 5 * GIB
    packed = confined.snapshot.stat().st_size

    loaded = confined.load()

    assert confined.count() == RECORDS
    compared = confined.run("verify", "--against", str(confined.snapshot))
    assert (compared.code, compared.stderr) == (0, "")
    figure(
        f"T7 a member of {size / GIB:.2f} GiB in a ZIP of {packed >> 20} MiB, its size wrapped: loaded in "
        f"{loaded.seconds:.0f} s, peak {loaded.peak:.0f} MiB; compared record by record in "
        f"{compared.seconds:.0f} s, peak {compared.peak:.0f} MiB"
    )


def test_one_bad_line_behind_a_million_good_ones_refuses_them_all(confined: Confined) -> None:
    good = b"".join(of(name=b'"N%d"' % number) + b"\n" for number in range(1_000_000))
    write_pieces(confined.snapshot, [good, of(offset=b"-1") + b"\n"])
    confined.assert_refused("line 1000001 of the snapshot is not a record: its offset -1 is out of range")
