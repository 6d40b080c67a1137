"""The records: each line is a function of seed and number alone, so that any of them can be made again."""

import math
import random
from collections.abc import Iterator, Sequence
from typing import Final

from bench.feed.blocks import Blocks, Family, make_blocks

FIRST_OFFSET: Final = 100_000
MOST_BYTES: Final = 270_000

_SIGMA: Final = 0.95
_MU: Final = math.log(11_600) - _SIGMA**2 / 2
"""Of the logarithm of a line's bytes: a median of 7 KB, one line in a hundred above 70, a few at the most."""

_FOREIGN: Final = 1 / 3
_ESCAPED: Final = 1 / 3
_DEEPER: Final = 0.2
_DEEPEST: Final = 0.04
"""Shares of the records."""

_TRANSLATIONS: Final = 100
"""One record in so many is none of a CVE: short, and nested to 4."""

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
        if _is_translation(number):
            return f"TID-{number:04d}"
        return f"CVE-{1999 + number % 27}-{10_000 + number}"

    def offset(self, number: int) -> int:
        """Of record `number` in the snapshot; all of them lie in (FIRST_OFFSET, FIRST_OFFSET + count]."""
        return FIRST_OFFSET + 1 + number * _OFFSETS % self.count

    def line(self, number: int) -> bytes:
        chance = random.Random(self._seed << 40 | number)
        payload = self._translation(chance) if _is_translation(number) else self._payload(number, chance)
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

    def _translation(self, chance: random.Random) -> bytes:
        """Real ones are patterns, thus full of backslashes."""
        vendor = chance.choice(self._blocks.families).vendor
        return (
            b'{"action":["replace_vendor","replace_product"],"source":{"product":"^%b \\\\d+(\\\\.\\\\d+)+$",'
            b'"vendor":"^%b$","version":""},"target":["windows"],'
            b'"translation":[{"product":"%b_%d","vendor":"%b"}]}'
        ) % (vendor.capitalize(), vendor, vendor, chance.getrandbits(16), vendor)

    def _payload(self, number: int, chance: random.Random) -> bytes:
        blocks = self._blocks
        size = min(int(chance.lognormvariate(_MU, _SIGMA)), MOST_BYTES - 5000)
        escaped = chance.random() < _ESCAPED
        description = self._description(chance, size, escaped)
        texts = [description]
        if chance.random() < _FOREIGN:
            language, phrases = chance.choice(blocks.foreign)
            texts.append(_in_language(language, chance.choices(phrases, k=_count(chance, size))))
        cna = b'"cna":{%b,"descriptions":[%b],"metrics":[%b],"references":[%b]}' % (
            _affected(chance, chance.choice(blocks.families), 1),
            b",".join(texts),
            chance.choice(blocks.metrics) if size > 1300 else b"",
            self._references(chance, _count(chance, size, 8)),
        )
        text = (
            b'{"containers":{"adp":[%b],%b},"cveMetadata":{"assignerOrgId":"%08x-6fd0-4d92-ae1c-%012x",'
            b'"cveId":"%b","datePublished":"2024-02-%02dT18:%02d:59Z","state":"PUBLISHED"},'
            b'"dataType":"CVE_RECORD","dataVersion":"5.0"}'
        )
        return text % (
            b",".join(self._containers(chance, size - len(cna) - 400, escaped)),
            cna,
            chance.getrandbits(32),
            chance.getrandbits(48),
            self.name(number).encode(),
            chance.randrange(1, 29),
            chance.randrange(60),
        )

    def _description(self, chance: random.Random, size: int, escaped: bool) -> bytes:
        some = chance.choices(self._blocks.english, k=_count(chance, size))
        if escaped:
            some[-1] = chance.choice(self._blocks.escaped)
        return _in_language(b"en", some)

    def _references(self, chance: random.Random, count: int) -> bytes:
        some = chance.choices(self._blocks.references, k=count)
        return b",".join(each % (chance.getrandbits(20), chance.getrandbits(16)) for each in some)

    def _containers(self, chance: random.Random, room: int, escaped: bool) -> Iterator[bytes]:
        """What distributors add: containers of one family each, until the room, in bytes, is filled. The
        first may be nested deeper."""
        dice = chance.random()
        while room > 600:
            family = chance.choice(self._blocks.families)
            share = room if room < 3000 or chance.random() < 0.4 else int(room * chance.uniform(0.3, 0.9))
            description = self._description(chance, share, escaped)
            count = max(1, int((share - 500 - len(description)) / family.mean_bytes))
            affected, metric = _affected(chance, family, count), chance.choice(self._blocks.metrics)
            if dice < _DEEPEST:
                affected = b"%b,%b]" % (affected[:-1], chance.choice(self._blocks.deepest))
            elif dice < _DEEPEST + _DEEPER:
                metric = chance.choice(self._blocks.deeper)
            text = (
                b'{%b,"descriptions":[%b],"metrics":[%b],"providerMetadata":{"dateUpdated":'
                b'"2024-%02d-%02dT18:%02d:59Z","shortName":"%b"},"references":[%b]}'
            )
            container = text % (
                affected,
                description,
                metric,
                chance.randrange(1, 13),
                chance.randrange(1, 29),
                chance.randrange(60),
                family.vendor,
                self._references(chance, _count(chance, share)),
            )
            yield container
            dice = 1.0
            room -= len(container)


def _is_translation(number: int) -> bool:
    return number % _TRANSLATIONS == _TRANSLATIONS // 2


def _count(chance: random.Random, size: int, most: int = 5) -> int:
    """Of sentences or references: fewer in a short record."""
    return chance.randint(1, max(1, min(most, size // 800)))


def _in_language(code: bytes, some: Sequence[bytes]) -> bytes:
    return b'{"lang":"%b","value":"%b"}' % (code, b" ".join(some))


def _affected(chance: random.Random, family: Family, count: int) -> bytes:
    """So many entries of the family, of which several share their version."""
    size = len(family.entries) // 2
    start = chance.randrange(size)
    rounds, rest = divmod(count, size)
    chosen = family.entries[start : start + size] * rounds + family.entries[start : start + rest]
    versions = [chance.getrandbits(24) for _ in range(2 + count)]
    numbers = tuple(chance.choices(versions, k=family.places * count))
    return b'"affected":[%b]' % (b",".join(chosen) % numbers)
