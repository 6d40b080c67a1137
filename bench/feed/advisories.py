"""Records as an index of the real feed meets them: the products of NVD, and for each distribution the binary
packages of a source package, which share the version that mends them.

Those of `records` are as large, but each bound of a version is a number of its own, which no index packs.
"""

import random
from itertools import accumulate
from typing import Any, Final

import msgspec

from bench.feed.records import Records
from bench.feed.text import SPANISH, Words

Json = Any

_TRANSLATIONS: Final = 500
"""One record in so many is none of a CVE."""

_PACKAGES: Final = 12_000
"""Source packages; few of them are named in many records (the n-th with weight 1/n)."""

_SENTENCES: Final = 6000

_DISTRIBUTED: Final = 0.6
"""Share of the records that distributions have, too."""

_PLATFORMS: Final[dict[str, list[list[str]]]] = {
    "debian": [["bookworm"], ["bullseye"], ["trixie"]],
    "canonical": [["focal"], ["jammy"], ["noble"]],
    **{f"redhat_{version}": [[f"cpe:/o:redhat:enterprise_linux:{version}"]] for version in (7, 8, 9)},
    **{
        f"suse_{kind}_15": [[f"cpe:/o:suse:{short}:15:sp{number}" for number in range(1, 7)]]
        for kind, short in (("server", "sles"), ("desktop", "sled"))
    },
    "alas_2023": [[]],
}
"""Of each distribution: the lists of platforms, each of which has entries of its own."""

_SUFFIXES: Final = (
    "",
    "-common",
    "-dev",
    "-doc",
    "-libs",
    "-utils",
    "-debuginfo",
    "-devel",
    "-tools",
    "-data",
)
_LEVELS: Final = ("LOW", "MEDIUM", "HIGH", "CRITICAL")


class _Package:
    """A source package: its binary ones, and the product and vendor that NVD calls it."""

    def __init__(self, chance: random.Random, words: Words) -> None:
        self.product, self.vendor = words.name("_"), words.name(most=1)
        name, most = words.name(), len(_SUFFIXES)
        self.binaries = [
            f"{name}{suffix}" for suffix in _SUFFIXES[: min(most, int(chance.paretovariate(0.6)))]
        ]


class Advisories(Records):
    """As `Records`, with other payloads."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, seed)
        chance = random.Random(~seed)
        words = Words(chance)
        self._packages = [_Package(chance, words) for _ in range(_PACKAGES)]
        self._weights = list(accumulate(1 / (rank + 20) for rank in range(_PACKAGES)))
        self._sentences = [words.sentence() for _ in range(_SENTENCES)]
        spanish = Words(chance, SPANISH)
        self._spanish = [spanish.sentence() for _ in range(_SENTENCES)]

    def name(self, number: int) -> str:
        if number % _TRANSLATIONS == 1:
            return f"TID-{number:04d}"
        return f"CVE-{1999 + number % 27}-{10_000 + number}"

    def line(self, number: int) -> bytes:
        chance = random.Random(self._seed << 40 | number)
        is_translation = number % _TRANSLATIONS == 1
        record = {
            "name": self.name(number),
            "offset": self.offset(number),
            "version": chance.randrange(1, 30),
            "inserted_at": f"2024-02-{chance.randrange(1, 29):02d}T20:00:14.{chance.randrange(10**6):06d}Z",
            "payload": _translation(number) if is_translation else self._advisory(number, chance),
        }
        return msgspec.json.encode(record)

    def _advisory(self, number: int, chance: random.Random) -> Json:
        (package,) = chance.choices(self._packages, cum_weights=self._weights)
        several = [package, *chance.choices(self._packages, k=int(chance.paretovariate(1.5)) - 1)][:30]
        texts = chance.choices(self._sentences, k=chance.randint(2, 7))
        cna = {
            "affected": [_of_nvd(each, chance) for each in several],
            "descriptions": [
                {"lang": "en", "value": " ".join(texts)},
                {"lang": "es", "value": " ".join(chance.choices(self._spanish, k=len(texts)))},
            ],
            "metrics": [_metric(chance)],
            "problemTypes": [{"descriptions": [_weakness(chance)]}],
            "providerMetadata": {"orgId": f"{chance.getrandbits(64):016x}", "shortName": "nvd"},
            "references": [_reference(chance) for _ in range(chance.randint(1, 16))],
        }
        is_distributed = chance.random() < _DISTRIBUTED
        sources = chance.sample(sorted(_PLATFORMS), chance.randint(1, 7)) if is_distributed else []
        year, day = 2000 + chance.randrange(25), chance.randrange(1, 29)
        return {
            "containers": {
                "adp": [self._distribution(each, package, chance) for each in sources],
                "cna": cna,
            },
            "cveMetadata": {
                "cveId": self.name(number),
                "datePublished": f"{year}-{chance.randrange(1, 13):02d}-{day:02d}T19:15:07Z",
                "state": "PUBLISHED" if chance.random() < 0.95 else "REJECTED",
            },
            "dataType": "CVE_RECORD",
            "dataVersion": "5.0",
        }

    def _distribution(self, source: str, package: _Package, chance: random.Random) -> Json:
        vendor = source.partition("_")[0]
        entries = []
        for platforms in _PLATFORMS[source]:
            versions = [_range(f"0:{chance.randrange(10)}.{chance.randrange(40)}-{chance.randrange(30)}.el")]
            entries += [
                {
                    "defaultStatus": "unaffected",
                    "platforms": platforms,
                    "product": binary,
                    "vendor": vendor,
                    "versions": versions,
                }
                for binary in package.binaries
            ]
        texts = chance.choices(self._sentences, k=chance.randint(1, 6))
        return {
            "affected": entries,
            "descriptions": [{"lang": "en", "value": " ".join(texts)}],
            "metrics": [_metric(chance)],
            "providerMetadata": {"shortName": vendor, "x_subShortName": source},
            "references": [_reference(chance) for _ in range(3)],
        }


def _of_nvd(package: _Package, chance: random.Random) -> Json:
    return {
        "cpes": [f"cpe:2.3:a:{package.vendor}:{package.product}:*:*:*:*:*:*:*:*"],
        "defaultStatus": "unaffected",
        "product": package.product,
        "vendor": package.vendor,
        "versions": [_range(f"{chance.randrange(10)}.{chance.randrange(40)}.{chance.randrange(30)}")],
    }


def _range(bound: str) -> Json:
    return {"lessThan": bound, "status": "affected", "version": "0", "versionType": "custom"}


def _reference(chance: random.Random) -> Json:
    tags = chance.sample(("patch", "vendor-advisory", "exploit", "issue-tracking", "mailing-list"), 2)
    return {
        "tags": tags,
        "url": f"https://advisories.example.org/{chance.randrange(300)}/{chance.getrandbits(40):x}",
    }


def _weakness(chance: random.Random) -> Json:
    number = 20 + int(600 * chance.random() ** 3)
    return {"cweId": f"CWE-{number}", "description": f"CWE-{number}", "lang": "en"}


def _metric(chance: random.Random) -> Json:
    level = chance.randrange(4)
    score = {
        "attackComplexity": "LOW",
        "attackVector": "NETWORK",
        "availabilityImpact": "HIGH",
        "baseScore": round(2.5 * level + chance.random() * 2.4, 1),
        "baseSeverity": _LEVELS[level],
        "confidentialityImpact": "NONE",
        "integrityImpact": "NONE",
        "privilegesRequired": "NONE",
        "scope": "UNCHANGED",
        "userInteraction": "NONE",
        "vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
        "version": "3.1",
    }
    return {"cvssV3_1": score, "format": "CVSS"}


def _translation(number: int) -> Json:
    return {
        "action": ["replace_vendor", "replace_product"],
        "source": {
            "product": f"^Suite {number} \\d+(\\.\\d+)+$",
            "vendor": "^The Foundation$",
            "version": "",
        },
        "target": ["windows"],
        "translation": [{"product": f"suite_{number}", "vendor": "foundation"}],
    }
