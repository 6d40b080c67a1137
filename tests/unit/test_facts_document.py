"""A record as a document for dashboards: their field names, and no value that the index refuses."""

import json
from typing import Any

import pytest

from ctisync.core.facts_document import LONGEST_TEXT, LONGEST_VALUE, MOST_VALUES, document_of
from ctisync.core.model import Json, Record
from tests.support.records import record

CVE: dict[str, Json] = {
    "cveMetadata": {"state": "PUBLISHED", "datePublished": "2024-03-29T18:00:00+02:00"},
    "containers": {
        "cna": {
            "providerMetadata": {"shortName": "nvd"},
            "descriptions": [{"lang": "es", "value": "Una"}, {"lang": "en", "value": "A heap\noverflow"}],
            "metrics": [
                {"cvssV2_0": {"baseScore": 9.9}},
                {"cvssV3_1": {"baseScore": 8.1, "baseSeverity": "HIGH"}},
            ],
            "problemTypes": [
                {"descriptions": [{"cweId": "CWE-787"}, {"cweId": "CWE-79"}, {"cweId": "none"}]}
            ],
            "affected": [{"vendor": vendor, "product": "openssl"} for vendor in ("openssl", "n/a")],
        },
        "adp": [
            {"providerMetadata": {"x_subShortName": "debian"}, "affected": [{"product": "libssl3"}]},
            {"providerMetadata": {"x_subShortName": "debian"}, "affected": [{"product": "libssl3"}]},
        ],
    },
}


def document(payload: Any, name: str = "CVE-2024-1") -> Any:
    return json.loads(document_of(record(name, 7, payload)))


def test_a_vulnerability_has_the_names_and_values_of_wazuhs_dashboards() -> None:
    assert document(CVE) == {
        "offset": 7,
        "source": ["nvd", "debian"],
        "cwe": ["CWE-79", "CWE-787"],
        "vulnerability": {
            "id": "CVE-2024-1",
            "description": "A heap overflow",
            "published_at": "2024-03-29T16:00:00Z",
            "severity": "High",
            "score": {"base": 8.1, "version": "3.1"},
        },
        "package": {"name": ["openssl", "libssl3"], "vendor": ["openssl", "n/a"]},
    }


def test_a_record_that_is_no_vulnerability_counts_as_none() -> None:
    assert document({"translation": {}}, "TID-0039") == {"offset": 7, "source": [], "cwe": []}


def test_a_record_that_cannot_be_decoded_has_its_name_and_offset() -> None:
    damaged = document_of(Record("CVE-2024-1", 7, b'{"name":"CVE-2024-1","offset":7,"payload":'))
    assert json.loads(damaged)["vulnerability"] == {"id": "CVE-2024-1", "description": ""}
    assert json.loads(damaged)["offset"] == 7


@pytest.mark.parametrize("number", [MOST_VALUES, MOST_VALUES + 1, 100_000])
def test_a_field_has_so_many_values_at_most_and_the_first_ones(number: int) -> None:
    affected = [{"product": f"p{n}", "vendor": f"v{n}"} for n in range(number)]
    package = document({"containers": {"cna": {"affected": affected}}})["package"]
    assert package["name"] == [f"p{n}" for n in range(MOST_VALUES)]
    assert package["vendor"] == [f"v{n}" for n in range(MOST_VALUES)]


def test_values_and_texts_are_bounded() -> None:
    names = ["x" * LONGEST_VALUE, "y" * (LONGEST_VALUE + 1), ""]
    cna = {"affected": [{"product": name} for name in names]}
    texts = {"descriptions": [{"lang": "en", "value": "z" * (LONGEST_TEXT + 1)}]}
    made = document({"containers": {"cna": {**cna, **texts}}})
    assert made["package"] == {"name": names[:1], "vendor": []}
    assert made["vulnerability"]["description"] == "z" * LONGEST_TEXT


@pytest.mark.parametrize("date", ["", "some day", "2024-13-01", "0000-01-01", "9999-12-31T23:59:59-23:59"])
def test_what_is_no_date_is_left_out(date: str) -> None:
    assert (
        "published_at"
        not in document({"cveMetadata": {"state": "PUBLISHED", "datePublished": date}})["vulnerability"]
    )


@pytest.mark.parametrize("score", [b"1e400", b"-1", b"10.1", b"0.001", b"1e999999999", b"null"])
def test_a_score_that_cannot_be_used_is_left_out(score: bytes) -> None:
    payload = b'{"containers":{"cna":{"metrics":[{"cvssV3_1":{"baseScore":%b,"baseSeverity":"HIGH"}}]}}}'
    assert document(payload % score)["vulnerability"].keys() == {"id", "description"}
