"""What records are put together from: pre-made JSON text with places for numbers (`%d`).

Made once a build, in some tenths of a second, so that a record costs no more than joining and filling in.
Calibrated on the real feed: 471 MB of it pack to 57 MB, a record of 8 KB alone to a fourth or fifth.
Nesting counts from a record's line, which is 1: an entry's versions are at 9, what changed in them at 11.
"""

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from bench.feed.text import SCRIPTS, SPANISH, Words, sentences

_FAMILIES: Final = 160
_ENTRIES: Final = 48
"""In a family. A longer record goes round again, with other numbers."""

_SENTENCES: Final = 6000
_ESCAPED: Final = 1000
_FOREIGN: Final = 500
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
    """All of it; JSON text without what is a record's own.

    `english` is ASCII and has no escapes; `escaped` has those of real texts: line ends, quotes, paths of
    Windows. `foreign` are other languages, by their codes. `deeper` are metrics, nested to 11 in a
    distributor's container; `deepest` are entries for products, nested to 12 there.
    """

    families: list[Family]
    english: Sequence[bytes]
    escaped: Sequence[bytes]
    foreign: list[tuple[bytes, Sequence[bytes]]]
    references: list[bytes]
    metrics: list[bytes]
    deeper: list[bytes]
    deepest: list[bytes]


def make_blocks(seed: int) -> Blocks:
    chance = random.Random(seed)
    english = Words(chance)
    spanish = list(sentences(Words(chance, SPANISH), _SENTENCES // 2))
    rare = [(code, sentences(Words(chance, script), _FOREIGN)) for code, script in SCRIPTS.items()]
    return Blocks(
        families=[_family(chance, english) for _ in range(_FAMILIES)],
        english=list(sentences(english, _SENTENCES)),
        escaped=[_escaped(chance, english) for _ in range(_ESCAPED)],
        foreign=[(b"es", spanish)] * 8 + rare,
        references=[_reference(chance, english) for _ in range(_HOSTS)],
        metrics=[_metric(chance) for _ in range(_VECTORS)],
        deeper=[_deeper(chance) for _ in range(_VECTORS)],
        deepest=[_deepest(chance, english) for _ in range(_HOSTS)],
    )


def _escaped(chance: random.Random, words: Words) -> bytes:
    """Inside the quotes of a JSON text."""
    text, name = words.sentence(), words.name()
    match chance.randrange(3):
        case 0:
            text = f"{text}\n\n{words.sentence()}"
        case 1:
            text = f'{text} See "{name}".'
        case _:
            text = f"{text} In C:\\{name}\\{words.name()}."
    return msgspec.json.encode(text)[1:-1]


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


def _deeper(chance: random.Random) -> bytes:
    options = [{key: chance.choice(_GRADES).lower()} for key in ("exploitation", "automatable", "impact")]
    content = {"id": f"{chance.getrandbits(32):08x}", "options": options, "version": "2.0.3"}
    return msgspec.json.encode({"other": {"content": content, "type": "ssvc"}})


def _deepest(chance: random.Random, words: Words) -> bytes:
    changes = [
        {"at": f"{major}.{chance.randrange(90)}", "status": "unaffected", "x_builds": [words.name(most=1)]}
        for major in range(1, chance.randint(2, 5))
    ]
    version = {"changes": changes, "lessThan": "9.*", "status": "affected", "version": "0"}
    return msgspec.json.encode({"product": words.name(), "vendor": words.name(most=1), "versions": [version]})
