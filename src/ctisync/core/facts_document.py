"""A record as a document of the facts index, with the field names of Wazuh's dashboards."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import msgspec

from ctisync.core.conditions import cwe_numbers, utc_text
from ctisync.core.facts import Facts, facts_of_record
from ctisync.core.model import Record

FORM: Final = 1
"""Raise it whenever the fields or their values change: a facts index of another form is built anew."""

MOST_VALUES: Final = 1000
"""Of a field: the first ones, each once."""

LONGEST_VALUE: Final = 512
"""Characters. A longer value is left out: OpenSearch refuses a keyword of more than 32,766 bytes."""

LONGEST_TEXT: Final = 10_000
"""Characters. The rest of a longer description is left out."""


def document_of(record: Record) -> bytes:
    """The document of a record, as JSON. One that is no CVE record has only its offset, and the sources and
    weaknesses that it names."""
    facts = facts_of_record(record)
    document: dict[str, Any] = {
        "offset": record.offset,
        "source": _values(each.source for each in facts.affected),
        "cwe": _values(f"CWE-{number}" for number in sorted(cwe_numbers(facts))),
    }
    if facts.state or record.name.startswith("CVE-"):
        document["vulnerability"] = _vulnerability(record.name, facts)
        document["package"] = {
            "name": _values(each.product for each in facts.affected),
            "vendor": _values(each.vendor for each in facts.affected),
        }
    return msgspec.json.encode(document)


def _vulnerability(name: str, facts: Facts) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": name, "description": facts.description[:LONGEST_TEXT]}
    if published := utc_text(facts.published):
        fields["published_at"] = f"{published}Z"
    score = facts.score
    if score is not None and score.base is not None and score.level is not None:
        fields["severity"] = score.level.capitalize()
        fields["score"] = {"base": float(score.base), "version": score.cvss}
    return fields


def _values(values: Iterable[str]) -> list[str]:
    usable = (value for value in values if 0 < len(value) <= LONGEST_VALUE)
    return list(islice(dict.fromkeys(usable), MOST_VALUES))
