"""The facts of a record, for all that reads records: one place knows where each of them is in a payload.

A record is a CVE record (CVE JSON 5.x), or a rule, a decoder, an indicator and the like, whose facts are the
fields of its document. The payload may have any form: unexpected values are ignored. Texts are on one line.

A CVE record has `cveMetadata` and containers: `containers.cna` is NVD's view, whose products are CPE names;
each of `containers.adp` is that of a distribution or of another source. In a catalog of Wazuh 5, all of that
is in the payload's `document`, and `type` says what it is.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from ctisync.core import json_text, wire
from ctisync.core.model import Json
from ctisync.core.words import counted

_CVSS: Final = {"cvssV4_0": "4.0", "cvssV3_1": "3.1", "cvssV3_0": "3.0", "cvssV2_0": "2.0"}
"""The keys of scores in `metrics[]`, the newest version of CVSS first."""

_DEEPEST: Final = 4
"""Levels of a document whose fields are listed one by one."""

_LONGEST: Final = 1000
"""Characters of a field's text: some are whole programs."""


class Score(msgspec.Struct, frozen=True):
    """One score, from `metrics[].cvssV3_1` and its like.

    `cvss`: the version of CVSS, such as "3.1". `base`: 0 to 10, with the record's digits; `severity`, such as
    "HIGH"; `vector`, without the version. One of `base` and `vector` may be missing, `severity` often is.
    """

    cvss: str
    base: int | Decimal | None
    severity: str
    vector: str


class Weakness(msgspec.Struct, frozen=True):
    """From `problemTypes[].descriptions[]`. `cwe`: a number such as "CWE-400", may be empty."""

    cwe: str
    description: str


class VersionRange(msgspec.Struct, frozen=True):
    """Affected versions, from `affected[].versions[]`: from `version` on to before `less_than`, or up to
    `less_than_or_equal`; without either, only `version`. Each is empty if the record does not have it."""

    version: str
    less_than: str = ""
    less_than_or_equal: str = ""


class Product(msgspec.Struct, frozen=True):
    """An affected product or package, from `affected[]`. `ranges` is empty if the record says that it is
    affected, but not in which versions. `vendor` may be empty."""

    vendor: str
    name: str
    ranges: tuple[VersionRange, ...]


class RecordFacts(msgspec.Struct, frozen=True):
    """What a record says, with "" or () where it says nothing.

    Of the line: `name`, `offset`, `version` (None if it has none), and `inserted_at`, when it came into the
    feed. Of the payload: `keys`, its keys, and `kind`, its `type`.

    Of a CVE record's `cveMetadata`: `state`, `published` and `updated`. Of its first container: `title`, and
    `description`, in English if there is one; of a rejected one, the reason. Of all containers, `cna` first:
    `scores`, the newest version of CVSS first, `weaknesses`, `affected` and `references` (URLs); entries may
    occur more than once.

    Of another record: `fields`, the names (`feed.name`) and values of the fields of its document.
    """

    name: str
    offset: int
    version: int | None
    inserted_at: str
    keys: tuple[str, ...]
    kind: str
    state: str
    published: str
    updated: str
    title: str
    description: str
    scores: tuple[Score, ...]
    weaknesses: tuple[Weakness, ...]
    affected: tuple[Product, ...]
    references: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]


def record_facts(line: bytes) -> RecordFacts:
    """The facts in a record's line. Raises ValueError if it cannot be decoded."""
    record = _object(json_text.decode(line))
    payload = _object(record.get("payload"))
    document = _object(payload.get("document"))
    is_bare = not document or any(_containers(payload))
    cve = payload if is_bare else document
    about = _object(cve.get("cveMetadata"))
    containers = list(_containers(cve))
    first = containers[0] if containers else {}
    version = record.get("version")
    return RecordFacts(
        name=_text(wire.name_of(record.get("name"), record.get("resource"))),
        offset=record["offset"],
        version=version if isinstance(version, int) else None,
        inserted_at=_text(record.get("inserted_at")),
        keys=tuple(payload),
        kind=_text(payload.get("type")),
        state=_text(about.get("state")),
        published=_text(about.get("datePublished")),
        updated=_text(about.get("dateUpdated")),
        title=_text(first.get("title")),
        description=_english(first.get("descriptions")) or _english(first.get("rejectedReasons")),
        scores=tuple(_scores(containers)),
        weaknesses=tuple(
            Weakness(_text(each.get("cweId")), _text(each.get("description")))
            for each in _within(containers, "problemTypes", "descriptions")
        ),
        affected=tuple(_affected(containers)),
        references=tuple(_text(each.get("url")) for each in _within(containers, "references")),
        fields=() if containers or about else tuple(_fields(document, "", _DEEPEST)),
    )


def _containers(payload: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The container of the CNA, which assigned the CVE, first; then those of others (ADP)."""
    containers = _object(payload.get("containers"))
    if cna := _object(containers.get("cna")):
        yield cna
    yield from _objects(containers.get("adp"))


def _scores(containers: list[dict[str, Json]]) -> Iterator[Score]:
    metrics = list(_within(containers, "metrics"))
    for key, cvss in _CVSS.items():
        for score in (_object(metric.get(key)) for metric in metrics):
            base, vector = _number(score.get("baseScore")), _text(score.get("vectorString"))
            if base is not None or vector:
                severity = _text(score.get("baseSeverity"))
                yield Score(cvss, base, severity, vector.removeprefix(f"CVSS:{cvss}/"))


def _affected(containers: list[dict[str, Json]]) -> Iterator[Product]:
    for each in _within(containers, "affected"):
        ranges = tuple(_ranges(each))
        if ranges or each.get("defaultStatus") == "affected" or "versions" not in each:
            yield Product(_text(each.get("vendor")), _text(each.get("product")), ranges)


def _ranges(product: dict[str, Json]) -> Iterator[VersionRange]:
    for each in _objects(product.get("versions")):
        values = [_text(each.get(key)) for key in ("version", "lessThan", "lessThanOrEqual")]
        if each.get("status") == "affected" and any(values):
            yield VersionRange(*values)


def _fields(document: dict[str, Json], prefix: str, levels: int) -> Iterator[tuple[str, str]]:
    """Names and values, in the order of the record; a field of more than `levels` levels is counted."""
    for key, value in document.items():
        name = prefix + " ".join(key.split())
        if isinstance(value, dict) and levels > 1:
            yield from _fields(value, f"{name}.", levels - 1)
        elif text := _value(value):
            yield name, text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _value(value: Json) -> str:
    """A value in one line. Of objects and arrays within it, only their number."""
    match value:
        case list() if not any(isinstance(each, list | dict) for each in value):
            return ", ".join(filter(None, map(_value, value)))
        case list():
            return counted(len(value), "entry", "entries")
        case dict():
            return counted(len(value), "field") if value else ""
        case bool():
            return str(value).lower()
        case str() | None:
            return _text(value)
        case _:
            return str(value)


def _english(texts: Json) -> str:
    """The first English text, else the first."""
    by_language = [(_text(each.get("lang")), _text(each.get("value"))) for each in _objects(texts)]
    english = [value for lang, value in by_language if lang.lower().startswith("en")]
    return next(iter([*english, *(value for _, value in by_language)]), "")


def _object(value: Json) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Json) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _within(values: Iterable[dict[str, Any]], *keys: str) -> Iterable[dict[str, Any]]:
    """The objects in the arrays at the first key of these values; in those at the second key of them."""
    for key in keys:
        values = [item for each in values for item in _objects(each.get(key))]
    return values


def _number(value: Json) -> int | Decimal | None:
    return value if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def _text(value: Json) -> str:
    """The text on one line; empty for other values."""
    return " ".join(value.split()) if isinstance(value, str) else ""
