"""The records: each line is a function of seed and number alone, so that any of them can be made again."""

import math
import random
from collections.abc import Iterator
from typing import Final

from bench.feed.blocks import Blocks, Family, make_blocks

FIRST_OFFSET: Final = 100_000
MEAN_BYTES: Final = 12_000
MOST_BYTES: Final = 270_000

_SIGMA: Final = 0.9
_MU: Final = math.log(MEAN_BYTES) - _SIGMA**2 / 2
"""Of the logarithm of a line's bytes: a median of 8 KB, and one line in some thousands above 200."""

_LINES: Final = 15_485_863
_OFFSETS: Final = 32_452_843
"""Primes: steps of them go once round any smaller number of records, so that nothing comes in order."""


class Records:
    """`line(n)` for n = 0, 1, ...; those of the snapshot are the first `count` of them."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self._seed = seed
        self._blocks: Blocks = make_blocks(seed)

    def lines(self) -> Iterator[bytes]:
        """The snapshot's, in no order of names or offsets."""
        return (self.line(step * _LINES % self.count) for step in range(self.count))

    def name(self, number: int) -> str:
        return f"CVE-{1999 + number % 27}-{10_000 + number}"

    def offset(self, number: int) -> int:
        """Of record `number` in the snapshot; all of them lie in (FIRST_OFFSET, FIRST_OFFSET + count]."""
        return FIRST_OFFSET + 1 + number * _OFFSETS % self.count

    def line(self, number: int) -> bytes:
        chance = random.Random(self._seed << 40 | number)
        payload = self._payload(number, chance)
        return (
            b'{"name":"%b","offset":%d,"version":%d,"inserted_at":"2024-02-29T20:%02d:14.%06dZ","payload":%b}'
            % (
                self.name(number).encode(),
                self.offset(number),
                chance.randrange(1, 30),
                chance.randrange(60),
                chance.randrange(1_000_000),
                payload,
            )
        )

    def _payload(self, number: int, chance: random.Random) -> bytes:
        blocks = self._blocks
        wanted = min(int(chance.lognormvariate(_MU, _SIGMA)), MOST_BYTES)
        description, spanish = self._descriptions(chance)
        cna = b'"cna":{%b,"descriptions":[%b],"metrics":[%b],"references":[%b]}' % (
            _affected(chance, chance.choice(blocks.families), 1),
            b",".join((description, spanish)),
            chance.choice(blocks.metrics),
            b",".join(
                reference % (chance.getrandbits(20), chance.getrandbits(16))
                for reference in chance.choices(blocks.references, k=chance.randint(1, 8))
            ),
        )
        text = (
            b'{"containers":{"adp":[%b],%b},"cveMetadata":{"assignerOrgId":"%08x-6fd0-4d92-ae1c-%012x",'
            b'"cveId":"%b","datePublished":"2024-02-%02dT18:%02d:59Z","state":"PUBLISHED"},'
            b'"dataType":"CVE_RECORD","dataVersion":"5.0"}'
        )
        return text % (
            b",".join(self._containers(chance, wanted - len(cna) - 400, description)),
            cna,
            chance.getrandbits(32),
            chance.getrandbits(48),
            self.name(number).encode(),
            chance.randrange(1, 29),
            chance.randrange(60),
        )

    def _descriptions(self, chance: random.Random) -> tuple[bytes, bytes]:
        english = b" ".join(chance.choices(self._blocks.english, k=chance.randint(1, 5)))
        spanish = b" ".join(chance.choices(self._blocks.spanish, k=chance.randint(1, 5)))
        return b'{"lang":"en","value":"%b"}' % english, b'{"lang":"es","value":"%b"}' % spanish

    def _containers(self, chance: random.Random, room: int, description: bytes) -> Iterator[bytes]:
        """What distributors add: containers of one family each, until the room, in bytes, is filled."""
        while room > 600:
            family = chance.choice(self._blocks.families)
            share = room if room < 3000 or chance.random() < 0.4 else int(room * chance.uniform(0.3, 0.9))
            count = max(1, int((share - 200 - len(description)) / family.mean_bytes))
            container = b'{%b,"descriptions":[%b],"metrics":[%b],"providerMetadata":{"shortName":"%b"}}' % (
                _affected(chance, family, count),
                chance.choice(self._descriptions(chance)),
                chance.choice(self._blocks.metrics),
                family.vendor,
            )
            yield container
            room -= len(container)


def _affected(chance: random.Random, family: Family, count: int) -> bytes:
    """So many entries of the family, of which several share their version."""
    size = len(family.entries) // 2
    start = chance.randrange(size)
    rounds, rest = divmod(count, size)
    chosen = family.entries[start : start + size] * rounds + family.entries[start : start + rest]
    versions = [chance.getrandbits(20) for _ in range(2 + count)]
    numbers = tuple(chance.choices(versions, k=family.places * count))
    return b'"affected":[%b]' % (b",".join(chosen) % numbers)
