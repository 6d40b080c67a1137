"""Made-up records in the format of real ones, builders for changes, and a comparison of lines.

Equal arguments give equal bytes in each run.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from ctisync.core.model import Change, Json, Record
from ctisync.ports import Writer

SAMPLE: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "cti-sample.ndjson"
"""Ten real lines, which may be beside a checkout and are never part of it."""

INSERTED_AT: Final = "2024-02-29T20:00:14.938985Z"

NUMBERS: Final = (
    b'{"score":9.30,"tiny":1e-400,"huge":123456789012345678901234567890,"beyond_double":9007199254740993,'
    b'"beyond_64_bits":18446744073709551617,"long_fraction":12345678901234567890.0,"negative":-0.50}'
)
"""A payload, as JSON text, with numbers that no float can represent."""

_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def encode(value: Json) -> bytes:
    """Compact JSON; a Decimal keeps its digits."""
    return _encoder.encode(value)


def comparable(line: bytes) -> Json:
    """The value of a line, for comparison with `==`: `9.30` equals `9.3`, and 1 does not equal true."""
    return _comparable(json.loads(line, parse_int=Decimal, parse_float=Decimal, parse_constant=_refuse))


def named(value: dict[str, Json]) -> Json:
    """What a decoded line says that its record is called (API fact: `resource` wins)."""
    return value.get("name") if value.get("resource") is None else value["resource"]


def read(writer: Writer, names: Sequence[str]) -> dict[str, Record]:
    """Those of these records that a writer reads."""
    records: dict[str, Record] = {}
    for _, part in writer.read_in_parts(names):
        records |= part
    return records


def _comparable(value: Json) -> Json:
    match value:
        case bool():
            return ("bool", value)
        case dict():
            return {key: _comparable(item) for key, item in value.items()}
        case list():
            return [_comparable(item) for item in value]
        case _:
            return value


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is no JSON")


def payload(number: int, descriptions: int = 2) -> dict[str, Json]:
    """The payload of a made-up CVE: nested containers, references, descriptions, about 1.5 kB."""
    cve = cve_name(number)
    return {
        "containers": {
            "adp": [{"affected": [_affected(number)], "providerMetadata": {"shortName": "canonical"}}],
            "cna": {
                "affected": [_affected(number), _affected(number + 1)],
                "descriptions": [
                    {"lang": ("en", "es", "ja")[i % 3], "value": f"{_TEXTS[i % 3]} {number}.{i}"}
                    for i in range(descriptions)
                ],
                "metrics": [
                    {"cvssV3_1": {"baseScore": Decimal(f"{number % 10}.{number % 7}0"), "version": "3.1"}}
                ],
                "references": [
                    {"url": f"https://example.org/{cve}/{i}", "tags": ["x_refsource_MISC"]} for i in range(3)
                ],
                "x_remediations": {"windows": [{"anyOf": [f"KB{5000000 + number + i}" for i in range(3)]}]},
            },
        },
        "cveMetadata": {"cveId": cve, "state": "PUBLISHED", "datePublished": INSERTED_AT},
        "dataType": "CVE_RECORD",
        "dataVersion": "5.0",
    }


_TEXTS: Final = (
    "A made-up overflow in the parser of",
    "Una vulnerabilidad inventada, con acentos: áéíóú ñ, de",
    "架空の脆弱性 🐞 U+2028:\u2028 in",
)


def _affected(number: int) -> dict[str, Json]:
    return {
        "defaultStatus": "unaffected",
        "platforms": ["bionic", "focal"],
        "product": f"product_{number % 50}",
        "vendor": f"vendor_{number % 20}",
        "versions": [
            {
                "lessThan": f"{number % 9}.{number % 5}",
                "status": "affected",
                "version": "0",
                "versionType": "custom",
            }
        ],
    }


def cve_name(number: int) -> str:
    return f"CVE-{2000 + number % 25}-{10000 + number}"


def line(
    name: str,
    offset: int,
    payload: dict[str, Json] | bytes | None = None,
    *,
    version: int = 1,
    inserted_at: str = INSERTED_AT,
) -> bytes:
    """A line of a snapshot. A payload given as bytes is JSON text, used unchanged."""
    text = payload if isinstance(payload, bytes) else encode({} if payload is None else payload)
    head = encode({"name": name, "offset": offset, "version": version, "inserted_at": inserted_at})
    return head[:-1] + b',"payload":' + text + b"}"


def record(
    name: str, offset: int, payload: dict[str, Json] | bytes | None = None, *, version: int = 1
) -> Record:
    return Record(name=name, offset=offset, line=line(name, offset, payload, version=version))


def made_up(count: int, first_offset: int = 1) -> list[Record]:
    """So many records with different names and offsets; as in a snapshot, not ordered by offset."""
    return [
        record(cve_name(number), first_offset + (number * 7919) % count, payload(number))
        for number in range(count)
    ]


def awkward() -> list[Record]:
    """Records that are easily altered by mistake: numbers, keys, characters, size."""
    keys = {"": 1, "~": 2, "/": 3, "a~1b": 4, "a/b": 5, "ключ": {"": {"": []}}, "true": True, "null": None}
    return [
        record("CVE-2024-90001", 101, NUMBERS),
        record("CVE-2024-90002", 102, keys),
        record(
            "TID-0039", 103, {"action": ["replace_vendor"], "source": {"product": "^Skype \\d+(\\.\\d+)+$"}}
        ),
        record("ТИД-é-日本", 104, {"text": "NUL \u0000, line separator \u2028, next line \u0085, emoji 🐞"}),
        record("FEED-GLOBAL", 105, {"nothing": {}, "empty": [], "text": ""}),
        long_record("CVE-2024-90006", 106),
    ]


def long_record(name: str, offset: int, size: int = 270_000) -> Record:
    """A record whose line has at least `size` bytes."""
    texts = [{"lang": "en", "value": f"{number:06d} " + "long " * 18} for number in range(size // 120 + 1)]
    return record(name, offset, {"containers": {"cna": {"descriptions": texts}}})


def sample_lines() -> list[bytes]:
    """The ten real lines if they are beside the checkout, else as many made-up ones of the same formats."""
    if SAMPLE.exists():
        return [text for text in SAMPLE.read_bytes().split(b"\n") if text.strip()]
    return [each.line for each in (*awkward(), *made_up(4, first_offset=201))]


def create(offset: int, resource: str, payload: dict[str, Json] | None = None, *, version: int = 1) -> Change:
    return Change(
        offset=offset,
        type="create",
        resource=resource,
        version=version,
        inserted_at=INSERTED_AT,
        payload={} if payload is None else payload,
    )


def update(offset: int, resource: str, operations: Sequence[Json] = (), *, version: int = 2) -> Change:
    return Change(
        offset=offset,
        type="update",
        resource=resource,
        version=version,
        inserted_at=INSERTED_AT,
        operations=list(operations),
    )


def delete(offset: int, resource: str, *, version: int = 3) -> Change:
    return Change(offset=offset, type="delete", resource=resource, version=version, inserted_at=INSERTED_AT)
