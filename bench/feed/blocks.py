"""What records are put together from: pre-made JSON text with places for numbers (`%d`).

Made once a build, in some tenths of a second, so that a record costs no more than joining and filling in.
Calibrated on the real feed: 471 MB of it pack to 57 MB, a record of 8 KB alone to a fourth or fifth.
"""

import random
from typing import Final, NamedTuple

import msgspec

from bench.feed.text import Words, sentences

_FAMILIES: Final = 160
_ENTRIES: Final = 48
"""In a family. A longer record goes round again, with other numbers."""

_SENTENCES: Final = 6000
_HOSTS: Final = 300
_VECTORS: Final = 80

_SEVERITIES: Final = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
_GRADES: Final = ("NONE", "LOW", "HIGH")


class Family(NamedTuple):
    """Entries of one distributor: other products, the same platforms, `places` numbers in each.

    `entries` are joined by commas, and stand there twice so that any stretch of them is one slice.
    """

    vendor: bytes
    entries: list[bytes]
    places: int
    mean_bytes: float


class Blocks(NamedTuple):
    """All of it; JSON text without what is a record's own."""

    families: list[Family]
    english: list[bytes]
    spanish: list[bytes]
    references: list[bytes]
    metrics: list[bytes]


def make_blocks(seed: int) -> Blocks:
    chance = random.Random(seed)
    english, spanish = Words(chance), Words(chance, accents=True)
    return Blocks(
        families=[_family(chance, english) for _ in range(_FAMILIES)],
        english=list(sentences(english, _SENTENCES)),
        spanish=list(sentences(spanish, _SENTENCES // 2)),
        references=[_reference(chance, english) for _ in range(_HOSTS)],
        metrics=[_metric(chance) for _ in range(_VECTORS)],
    )


def _family(chance: random.Random, words: Words) -> Family:
    vendor, system = words.name(most=1), words.name(most=1)
    platforms = [
        f"cpe:/o:{vendor}:{system}:{chance.randint(1, 15)}:sp{number}"
        for number in range(chance.choice((1, 1, 2, 3, 5, 8, 13)))
    ]
    versions = chance.choice((1, 2, 3, 5))
    entries = [_affected(chance, words, vendor, platforms, versions) for _ in range(_ENTRIES)]
    mean = sum(map(len, entries)) / _ENTRIES
    return Family(vendor.encode(), entries * 2, entries[0].count(b"%d"), mean)


def _affected(chance: random.Random, words: Words, vendor: str, platforms: list[str], versions: int) -> bytes:
    product = words.name("_" if chance.random() < 0.3 else "-")
    entry = {
        "cpes": [f"cpe:2.3:a:{vendor}:{product}:*:*:*:*:*:*:*:*"],
        "defaultStatus": "unaffected",
        "platforms": platforms,
        "product": product,
        "vendor": vendor,
        "versions": [{"lessThan": "0:%d.%d-1", "status": "affected", "version": "0", "versionType": "custom"}]
        * versions,
    }
    if len(platforms) > 1:
        del entry["cpes"]
    return msgspec.json.encode(entry)


def _reference(chance: random.Random, words: Words) -> bytes:
    host, path = words.name(most=2), words.name("/")
    tags = chance.sample(("patch", "vendor-advisory", "exploit", "issue-tracking", "mailing-list"), 2)
    reference = {"tags": tags, "url": f"https://{host}.example.org/{path}/%d/%d"}
    return msgspec.json.encode(reference)


def _metric(chance: random.Random) -> bytes:
    grades = [chance.choice(_GRADES) for _ in range(3)]
    short = "/".join(f"{key}:{grade[0]}" for key, grade in zip("CIA", grades, strict=True))
    severity = chance.randrange(4)
    score = {
        "attackComplexity": "LOW",
        "attackVector": "NETWORK",
        "availabilityImpact": grades[2],
        "baseScore": round(2.5 * severity + chance.random() * 2.4, 1),
        "baseSeverity": _SEVERITIES[severity],
        "confidentialityImpact": grades[0],
        "integrityImpact": grades[1],
        "privilegesRequired": "NONE",
        "scope": "UNCHANGED",
        "userInteraction": "NONE",
        "vectorString": f"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/{short}",
        "version": "3.1",
    }
    return msgspec.json.encode({"cvssV3_1": score, "format": "CVSS"})
