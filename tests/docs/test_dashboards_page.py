"""docs/dashboards.md: its ten queries find on a real node what the records say; its table has each field."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from ctisync.core.facts_document import document_of
from ctisync.core.model import Json, Record
from ctisync.stores.opensearch.facts_index import MAPPING
from tests.docs import page
from tests.docs.shell import ROOT, run
from tests.support.feed_simulator import FeedSimulator
from tests.support.opensearch_node import OpenSearchNode

PAGE: Final = (ROOT / "docs" / "dashboards.md").read_text()
QUERIES: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "json")}

Document = Mapping[str, Any]


def cve(source: str, product: str, level: str, published: datetime, text: str, cwe: str) -> dict[str, Json]:
    score = {"LOW": 2.1, "MEDIUM": 5.5, "HIGH": 8.1, "CRITICAL": 9.8}.get(level)
    metric = {"cvssV3_1": {"baseScore": score, "baseSeverity": level}}
    return {
        "cveMetadata": {"state": "PUBLISHED", "datePublished": published.isoformat()},
        "containers": {
            "cna": {
                "providerMetadata": {"shortName": source},
                "affected": [{"vendor": f"of {product}", "product": product}],
                "metrics": [] if score is None else [metric],
                "descriptions": [{"lang": "en", "value": text}],
                "problemTypes": [{"descriptions": [{"cweId": cwe}]}],
            }
        },
    }


@pytest.fixture
def documents(
    environment: dict[str, str], tmp_path: Path, feed: FeedSimulator, opensearch_2: OpenSearchNode
) -> Iterator[dict[str, Document]]:
    """Of a content with vulnerabilities of all kinds, after a pass with the settings of the page."""
    opensearch_2.wipe()
    now = datetime.now(UTC).replace(microsecond=0)
    levels, sources = ("CRITICAL", "HIGH", "MEDIUM", "LOW", ""), ("nvd", "debian", "redhat_9")
    texts = ("A heap overflow in", "Overflow of a stack, not of a", "Use after free")
    for number in range(30):
        published = now - timedelta(days=number * 5)
        feed.history.create(
            f"CVE-2026-{number}",
            cve(
                sources[number % 3],
                ("openssl", "nginx")[number % 2],
                levels[number % 5],
                published,
                texts[number % 3],
                f"CWE-{79 + number % 4}",
            ),
        )
    [block] = page.blocks(PAGE, "toml")
    settings = tmp_path / "c.toml"
    settings.write_text(block.text.replace("https://indexer.example:9200", opensearch_2.url))
    environment["CTISYNC_COMMAND_MANAGER__ENABLED"] = "false"
    ended = run(f"ctisync sync -q --config {settings}", environment, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    exported = run(f"ctisync export --config {settings}", environment, tmp_path).stdout.encode()
    heads = [(json.loads(line), line) for line in exported.splitlines()]
    yield {
        head["name"]: json.loads(document_of(Record(head["name"], head["offset"], line)))
        for head, line in heads
    }
    opensearch_2.wipe()


def answered(node: OpenSearchNode, name: str) -> Any:
    """The answer to a query, typed as it is on the page."""
    request, body = QUERIES[name].split("\n", 1)
    method, path = request.split()
    return node.request(method, path, json.loads(body))


def severity(document: Document) -> str | None:
    vulnerability = document.get("vulnerability", {})
    return vulnerability.get("severity") if isinstance(vulnerability, dict) else None


def counts(buckets: list[Any]) -> dict[str, int]:
    return {bucket["key"]: bucket["doc_count"] for bucket in buckets}


def is_recent(document: Document) -> bool:
    published = datetime.fromisoformat(document["vulnerability"]["published_at"])
    return published >= datetime.now(UTC) - timedelta(days=30)


EXPECTED_HITS: Final[dict[str, Callable[[Document], bool]]] = {
    "critical": lambda each: severity(each) == "Critical" and is_recent(each),
    "package": lambda each: "openssl" in each.get("package", {}).get("name", []),
    "distribution": lambda each: "debian" in each["source"] and severity(each) in ("High", "Critical"),
    "words": lambda each: (
        {"heap", "overflow"} <= {*each.get("vulnerability", {}).get("description", "").lower().split()}
    ),
    "unrated": lambda each: "vulnerability" in each and severity(each) is None,
    "changed": lambda each: each["offset"] > 22,
}
"""Which documents a query finds."""


def test_each_query_of_the_page_finds_what_the_records_say(
    documents: dict[str, Document], opensearch_2: OpenSearchNode
) -> None:
    assert len(QUERIES) == 10
    for name, is_hit in EXPECTED_HITS.items():
        expected = {each for each, document in documents.items() if is_hit(document)}
        hits = answered(opensearch_2, name)["hits"]
        assert hits["total"]["value"] == len(expected) > 0, name
        assert {hit["_id"] for hit in hits["hits"]} <= expected, name
    newest = [hit["_source"]["vulnerability"] for hit in answered(opensearch_2, "critical")["hits"]["hits"]]
    assert newest[0]["id"] == "CVE-2026-0"
    scores = [hit["_source"]["vulnerability"] for hit in answered(opensearch_2, "package")["hits"]["hits"]]
    assert [each["score"]["base"] for each in scores] == [9.8, 9.8, 9.8, *[8.1] * 3, *[5.5] * 3, 2.1]

    rated = [each for each in documents.values() if severity(each) is not None]
    severities = answered(opensearch_2, "severities")["aggregations"]["severities"]["buckets"]
    assert counts(severities) == Counter(severity(each) for each in rated)
    months = answered(opensearch_2, "months")["aggregations"]["months"]["buckets"]
    published = Counter(
        each["vulnerability"]["published_at"][:7]
        for each in documents.values()
        if "published_at" in each.get("vulnerability", {})
    )
    assert {bucket["key_as_string"][:7]: bucket["doc_count"] for bucket in months} == published
    vendors = answered(opensearch_2, "vendors")["aggregations"]["vendors"]["buckets"]
    critical = [each for each in rated if severity(each) == "Critical"]
    assert counts(vendors) == Counter(vendor for each in critical for vendor in each["package"]["vendor"])
    weaknesses = answered(opensearch_2, "weaknesses")["aggregations"]["weaknesses"]["buckets"]
    assert counts(weaknesses) == Counter(cwe for each in documents.values() for cwe in each["cwe"])


def fields(properties: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, field in properties.items():
        if "properties" in field:
            yield from fields(field["properties"], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_each_field_of_the_index_is_in_the_table() -> None:
    rows = re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \|", PAGE.split("## Fields")[1], re.MULTILINE)
    assert set(re.findall(r"`([\w.]+)`", " ".join(rows))) == set(fields(MAPPING["properties"]))
