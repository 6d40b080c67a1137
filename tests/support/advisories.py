"""Made-up advisories of real shapes: containers of several sources, ranges of each kind, odd dates."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ctisync.core.model import Json, Record
from tests.support.records import record

PRODUCTS: Final = ("openssl", "OpenSSL", "libssl3", "node.js", "log4j", "c++", "wall", "naïve-parser")
VENDORS: Final = ("acme", "Apache", "openssl", "n/a", "")
SOURCES: Final = ("debian", "canonical", "redhat_9", "alas_2023", "arch", "suse_server_15")
VERSIONS: Final = ("0", "1.0", "1.1.1", "3.0.2-1", "1:3.0", "2.0~rc1", "10.0", "2023.1", "??", "v2", "3")
WORDS: Final = ("overflow", "Élévation", "use after free", "node.js", "heap", "C++", "crash", "AND", "log4j2")
_LEVELS: Final = ("LOW", "MEDIUM", "HIGH", "CRITICAL", "NONE", "")
_FIRST: Final = datetime(2020, 1, 1, tzinfo=UTC)


def advisory(chance: random.Random, name: str, offset: int) -> Record:
    """A CVE record; one in twenty has members of other types."""
    payload: dict[str, Json] = {
        "cveMetadata": {
            "state": chance.choice(("PUBLISHED", "PUBLISHED", "PUBLISHED", "REJECTED")),
            "datePublished": chance.choice((_date(chance), _date(chance), "some day", "")),
        },
        "containers": {
            "cna": _container(chance, "nvd"),
            "adp": [_container(chance, source) for source in chance.sample(SOURCES, chance.randint(0, 3))],
        },
    }
    if chance.random() < 0.05:
        payload["containers"] = chance.choice((None, [], {"cna": 5, "adp": [{"affected": {}}, 7]}))
    return record(name, offset, payload)


def _date(chance: random.Random) -> str:
    time = _FIRST + timedelta(seconds=chance.randrange(200_000_000))
    return time.isoformat().replace("+00:00", chance.choice(("Z", "+00:00", "+02:00")))


def _container(chance: random.Random, source: str) -> dict[str, Any]:
    metrics = [
        {
            f"cvssV{chance.choice(('2_0', '3_0', '3_1', '4_0'))}": {
                "baseScore": round(chance.random() * 10, 1),
                "baseSeverity": chance.choice(_LEVELS),
            }
        }
        for _ in range(chance.randint(0, 2))
    ]
    return {
        "providerMetadata": {"x_subShortName": source},
        "descriptions": [{"lang": "en", "value": " ".join(chance.sample(WORDS, 3))}],
        "metrics": metrics,
        "affected": [_affected(chance) for _ in range(chance.randint(0, 3))],
        "problemTypes": [{"descriptions": [{"cweId": f"CWE-{chance.randint(78, 81)}", "description": ""}]}],
        "references": [{"url": "https://a.example", "tags": chance.choice(([], ["patch"], ["exploit"]))}],
    }


def _affected(chance: random.Random) -> dict[str, Any]:
    versions = []
    for _ in range(chance.randint(0, 3)):
        entry = {"version": chance.choice(VERSIONS), "status": chance.choice(("affected", "unaffected"))}
        bound = chance.choice(("lessThan", "lessThanOrEqual", ""))
        versions.append(entry | ({bound: chance.choice(VERSIONS)} if bound else {}))
    return {
        "vendor": chance.choice(VENDORS),
        "product": chance.choice(PRODUCTS),
        "platforms": chance.choice(([], ["bookworm"], ["jammy", "noble"])),
        "defaultStatus": chance.choice(("affected", "unaffected", "unknown")),
        "versions": versions,
    }
