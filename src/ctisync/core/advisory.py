"""A record for reading: a CVE record (CVE JSON 5.x), or the fields of a rule, a decoder, an indicator.

The payload may have any form: unexpected values are ignored.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ctisync.core import json_text, wire
from ctisync.core.model import Json
from ctisync.core.words import counted

_SCORES: Final = {"cvssV4_0": "4.0", "cvssV3_1": "3.1", "cvssV3_0": "3.0", "cvssV2_0": "2.0"}

_BOUNDS: Final = (("lessThan", "<"), ("lessThanOrEqual", "<="))


_DEEPEST: Final = 4
"""Levels of a document whose fields are told one by one."""

_LONGEST: Final = 1000
"""Characters of a field's text: some are whole programs."""


class Advisory(msgspec.Struct, frozen=True):
    """The content of a record; empty where it has none.

    `kind`: what it is, as catalogs of Wazuh 5 say. `facts`: the fields of its document with their values, if
    it is no CVE record. `members`: the keys of the payload.
    """

    name: str
    offset: int
    version: int | None
    inserted_at: str
    title: str
    state: str
    published: str
    updated: str
    description: str
    severities: tuple[str, ...]
    weaknesses: tuple[str, ...]
    affected: tuple[str, ...]
    references: tuple[str, ...]
    members: tuple[str, ...]
    kind: str = ""
    facts: tuple[tuple[str, str], ...] = ()


def advisory(line: bytes) -> Advisory:
    """The advisory in a record's line. Raises ValueError if the line is not a JSON object."""
    record = _object(json_text.decode(line))
    whole = _object(record.get("payload"))
    document = _object(whole.get("document"))
    is_bare = not document or any(_containers(_object(whole.get("containers"))))
    payload = whole if is_bare else document
    about = _object(payload.get("cveMetadata"))
    said = list(_containers(_object(payload.get("containers"))))
    first = said[0] if said else {}
    version = record.get("version")
    return Advisory(
        name=_text(wire.name_of(record.get("name"), record.get("resource"))),
        offset=record["offset"],
        version=version if isinstance(version, int) else None,
        inserted_at=_text(record.get("inserted_at")),
        title=_text(first.get("title")),
        state=_text(about.get("state")),
        published=_text(about.get("datePublished")),
        updated=_text(about.get("dateUpdated")),
        description=_english(first.get("descriptions")) or _english(first.get("rejectedReasons")),
        severities=_once(_severities(said)),
        weaknesses=_once(text for each in said for text in _weaknesses(each)),
        affected=_once(text for each in said for text in _affected(each)),
        references=_once(
            _text(link.get("url")) for each in said for link in _objects(each.get("references"))
        ),
        members=tuple(whole),
        kind=_text(whole.get("type")),
        facts=() if said or about else tuple(_facts(document, "", _DEEPEST)),
    )


def _facts(fields: dict[str, Json], before: str, levels: int) -> Iterator[tuple[str, str]]:
    """Names, such as `feed.name`, and values, in the order of the record."""
    for key, value in fields.items():
        name = before + " ".join(key.split())
        if isinstance(value, dict) and levels > 1:
            yield from _facts(value, f"{name}.", levels - 1)
        elif text := _told(value):
            yield name, text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _told(value: Json) -> str:
    """A value in one line. Only the number of objects and arrays within it is told."""
    if isinstance(value, list) and not any(isinstance(each, (list, dict)) for each in value):
        return ", ".join(filter(None, map(_told, value)))
    if isinstance(value, list):
        return counted(len(value), "entry", "entries")
    if isinstance(value, dict):
        return counted(len(value), "field") if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) or value is None else str(value)


def _containers(containers: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The container of the CNA, which assigned the CVE, first; then those of others (ADP)."""
    cna = _object(containers.get("cna"))
    if cna:
        yield cna
    yield from _objects(containers.get("adp"))


def _severities(containers: list[dict[str, Json]]) -> Iterator[str]:
    """The newest kind of score first."""
    metrics = [metric for each in containers for metric in _objects(each.get("metrics"))]
    for key, kind in _SCORES.items():
        for score in (_object(metric.get(key)) for metric in metrics):
            number, vector = score.get("baseScore"), _text(score.get("vectorString"))
            if number is not None or vector:
                said = " ".join(str(part) for part in (number, score.get("baseSeverity")) if part is not None)
                how = ", ".join(
                    part for part in (f"CVSS {kind}", vector.removeprefix(f"CVSS:{kind}/")) if part
                )
                yield f"{said or 'no score'} ({how})"


def _weaknesses(container: dict[str, Json]) -> Iterator[str]:
    for kind in _objects(container.get("problemTypes")):
        for described in _objects(kind.get("descriptions")):
            number, words = _text(described.get("cweId")), _text(described.get("description"))
            yield words if words.startswith(number) else f"{number} {words}"


def _affected(container: dict[str, Json]) -> Iterator[str]:
    for product in _objects(container.get("affected")):
        name = " ".join(_text(product.get(key)) for key in ("vendor", "product")).strip()
        versions = [each for each in _objects(product.get("versions")) if each.get("status") == "affected"]
        ranges = ", ".join(_once(_range(each) for each in versions))
        if ranges or product.get("defaultStatus") == "affected" or "versions" not in product:
            yield f"{name}: {ranges}" if ranges else name


def _range(version: dict[str, Json]) -> str:
    """`1.2`, `< 1.3`, `1.2 to < 1.3`. A version of 0, or none, means from the first version on."""
    begin = _text(version.get("version"))
    for key, sign in _BOUNDS:
        if end := _text(version.get(key)):
            return f"{sign} {end}" if begin in ("", "0", "*", "n/a") else f"{begin} to {sign} {end}"
    return begin


def _english(texts: Json) -> str:
    """The first English text, else the first."""
    found = [(_text(each.get("lang")), _text(each.get("value"))) for each in _objects(texts)]
    english = [value for lang, value in found if lang.lower().startswith("en")]
    return next(iter([*english, *(value for _, value in found)]), "")


def _once(texts: Iterator[str]) -> tuple[str, ...]:
    """The texts in their order, without empty and repeated ones."""
    return tuple(dict.fromkeys(text for text in texts if text))


def _object(value: Json) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Json) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Json) -> str:
    """The text on one line; empty for other values."""
    return " ".join(value.split()) if isinstance(value, str) else ""
