"""What a search asks of a record, one condition at a time."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ctisync.core.conditions import (
    Conditions,
    at_least,
    cwe_numbers,
    on_platform,
    scheme_of_source,
    utc_text,
)
from ctisync.core.facts import Affected, Facts, VersionRange, facts_of
from ctisync.core.phrases import phrases_of
from ctisync.core.scanner import Platform, Scanner
from tests.support.records import line
from tests.support.scanner_tables import PAYLOADS

VERSION = {"version": "1.0", "lessThan": "2.0", "status": "affected"}


def container(source: str, **more: Any) -> dict[str, Any]:
    return {"providerMetadata": {"x_subShortName": source}, **more}


CNA = container(
    "nvd",
    title="A heap overflow in the parser",
    metrics=[{"cvssV3_1": {"baseScore": 7.5, "baseSeverity": "HIGH"}}],
    problemTypes=[{"descriptions": [{"cweId": "CWE-122"}, {"cweId": "NVD-CWE-noinfo"}]}],
    references=[{"url": "https://a.example", "tags": ["Exploit"]}],
    affected=[{"vendor": "Acme", "product": "Wall", "versions": [VERSION]}],
)
DEBIAN = container(
    "debian",
    affected=[
        {"vendor": "debian", "product": "libwall1", "platforms": ["bookworm"], "defaultStatus": "affected"}
    ],
)
FACTS: Facts = facts_of(
    line(
        "CVE-2024-1",
        500,
        {
            "cveMetadata": {"state": "PUBLISHED", "datePublished": "2024-05-01T10:00:00+02:00"},
            "containers": {"cna": CNA, "adp": [DEBIAN]},
        },
        inserted_at="2024-06-01T00:00:00Z",
    )
)
BOOKWORM = Platform(platform="debian", version="12", code_name="bookworm")
TRIXIE = Platform(platform="debian", version="13", code_name="trixie")


@pytest.mark.parametrize(
    ("conditions", "answer"),
    [
        ({}, "yes"),
        ({"phrases": phrases_of(["heap overflow", "pars*", "acme", "CVE-2024-1"])}, "yes"),
        ({"phrases": phrases_of(["overflow heap"])}, "no"),
        ({"products": {"wall"}}, "yes"),
        ({"products": {"wall", "door"}, "vendors": {"acme"}}, "yes"),
        ({"products": {"wall"}, "vendors": {"debian"}}, "no"),
        ({"products": {"libwall1"}, "source": "debian"}, "yes"),
        ({"products": {"libwall1"}, "source": "nvd"}, "no"),
        ({"vendors": {"debian"}, "source": "nvd"}, "yes"),
        ({"vendors": {"acme"}}, "yes"),
        ({"vendors": {"none"}}, "no"),
        ({"source": "canonical"}, "no"),
        ({"products": {"wall"}, "version": "1.5"}, "yes"),
        ({"products": {"wall"}, "version": "2.0"}, "no"),
        ({"products": {"wall"}, "version": "1.5-beta_x"}, "perhaps"),
        ({"products": {"libwall1"}, "version": "1.5"}, "no"),
        ({"products": {"libwall1"}, "version": "1.5", "source": "debian"}, "yes"),
        ({"products": {"libwall1"}, "source": "debian", "platform": BOOKWORM}, "yes"),
        ({"products": {"libwall1"}, "source": "debian", "platform": TRIXIE}, "no"),
        ({"source": "debian", "platform": BOOKWORM}, "yes"),
        ({"source": "debian", "platform": TRIXIE}, "no"),
        ({"cwes": {122, 5}}, "yes"),
        ({"cwes": {79}}, "no"),
        ({"severities": {"high"}}, "yes"),
        ({"severities": at_least("critical")}, "no"),
        ({"min_score": Decimal("7.5")}, "yes"),
        ({"min_score": Decimal("7.6")}, "no"),
        ({"exploit": True}, "yes"),
        ({"state": "published"}, "yes"),
        ({"state": "rejected"}, "no"),
        ({"published_since": datetime(2024, 5, 1, 8, tzinfo=UTC)}, "yes"),
        ({"published_since": datetime(2024, 5, 1, 9, tzinfo=UTC)}, "no"),
        ({"changed_since": datetime(2024, 6, 1, tzinfo=UTC)}, "yes"),
        ({"changed_since": datetime(2024, 6, 2, tzinfo=UTC)}, "no"),
        ({"changed_after": 499}, "yes"),
        ({"changed_after": 500}, "no"),
    ],
)
def test_a_record_has_what_a_search_asks_or_not(conditions: dict[str, Any], answer: str) -> None:
    values: dict[str, Any] = {
        name: frozenset(each) if isinstance(each, set) else each for name, each in conditions.items()
    }
    assert Conditions(**values).match(FACTS) == answer


def test_a_record_without_scores_and_dates_has_none_of_these() -> None:
    nothing = facts_of(line("CVE-2024-2", 1, {"containers": {"cna": {"title": "x"}}}))
    assert Conditions(severities=at_least("none")).match(nothing) == "no"
    assert Conditions(min_score=Decimal(0)).match(nothing) == "no"
    assert Conditions(published_since=datetime(1, 1, 1, tzinfo=UTC)).match(nothing) == "no"
    assert Conditions(exploit=True).match(nothing) == "no"
    assert cwe_numbers(nothing) == set()


@pytest.mark.parametrize(
    ("source", "scheme"),
    [
        *((name, "dpkg") for name in ("debian", "Canonical", "arch")),
        *((name, "rpm") for name in ("redhat_9", "suse_server_15", "opensuse", "alma_9", "rocky_9")),
        *((name, "rpm") for name in ("oraclelinux_9", "alas_2023", "fedora", "amazon")),
        ("nvd", "any"),
        ("", "any"),
    ],
)
def test_each_source_has_the_versions_of_its_packages(source: str, scheme: str) -> None:
    assert scheme_of_source(source) == scheme


@pytest.mark.parametrize(
    ("date", "text"),
    [
        ("2024-05-01T10:00:00+02:00", "2024-05-01T08:00:00"),
        ("2024-05-01T10:00:00.123456Z", "2024-05-01T10:00:00"),
        ("2024-05-01", "2024-05-01T00:00:00"),
        ("0001-01-01T00:00:00+10:00", ""),
        ("soon", ""),
    ],
)
def test_dates_sort_by_their_time(date: str, text: str) -> None:
    assert utc_text(date) == text


def test_a_date_without_a_zone_is_utc_wherever_the_host_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    try:
        assert utc_text("2024-05-01T10:00:00") == "2024-05-01T10:00:00"
        assert utc_text("2024-05-01T10:00:00+09:00") == "2024-05-01T01:00:00"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_words_are_searched_in_all_texts_of_a_record() -> None:
    indicator = {"type": "ioc", "document": {"provider": "Some Provider", "feed": {"name": "a feed"}}}
    facts = facts_of(line("indicator/12345", 7, indicator))
    for word in ("indicator/12345", "ioc", "some provider", "a feed"):
        assert Conditions(phrases=phrases_of([word])).match(facts) == "yes", word
    for word in ("12345 ioc", "feed name"):
        assert Conditions(phrases=phrases_of([word])).match(facts) == "no", word


@pytest.mark.parametrize(
    ("cwe", "numbers"),
    [
        ("CWE-79", {79}),
        ("cwe-079", {79}),
        ("79", {79}),
        ("NVD-CWE-noinfo", set()),
        ("CWE-\u0663", set()),
        ("CWE-" + "9" * 5000, set()),
        ("", set()),
    ],
)
def test_a_weakness_has_the_number_of_its_name(cwe: str, numbers: set[int]) -> None:
    problem = {"descriptions": [{"cweId": cwe}]}
    payload = {"containers": {"cna": {"problemTypes": [problem]}}}
    assert cwe_numbers(facts_of(line("CVE-1", 7, payload))) == numbers


@pytest.mark.parametrize(
    ("conditions", "of_one_product", "has_place", "source"),
    [
        (Conditions(products=frozenset({"wall"})), False, False, None),
        (Conditions(vendors=frozenset({"acme"})), True, False, None),
        (Conditions(source="debian"), True, True, "debian"),
        (Conditions(platform=BOOKWORM), True, True, None),
        (Conditions(version="1.0"), True, False, "nvd"),
        (Conditions(version="1.0", source="debian"), True, True, "debian"),
    ],
)
def test_a_vendor_a_place_or_a_version_is_of_one_product_and_a_version_without_a_source_of_nvd(
    conditions: Conditions, of_one_product: bool, has_place: bool, source: str | None
) -> None:
    assert (conditions.of_one_product, conditions.has_place) == (of_one_product, has_place)
    assert conditions.source_of_version == source


def test_a_platform_brings_its_own_source_and_its_cpe() -> None:
    scanner = Scanner(PAYLOADS)
    rhel = Platform(platform="rhel", name="Red Hat Enterprise Linux", version="9.4")
    on_rhel = on_platform(Conditions(platform=rhel), scanner)
    assert (on_rhel.source, on_rhel.cpe) == ("redhat_9", "cpe:/o:redhat:enterprise_linux:9")
    assert on_platform(Conditions(platform=rhel, source="nvd"), scanner).source == "nvd"
    windows = Platform(platform="windows", name="Microsoft Windows 10 Pro", version="10.0.19045.4043")
    assert on_platform(Conditions(platform=windows), scanner).source is None
    assert on_platform(Conditions(version="1"), scanner) == Conditions(version="1")
    capital = Scanner({**PAYLOADS, "CNA-MAPPING-GLOBAL": {"cnaMapping": {"redhat": "RedHat_9"}}})
    assert on_platform(Conditions(platform=rhel), capital).source == "redhat_9"


@pytest.mark.parametrize(
    ("conditions", "answer"),
    [
        (Conditions(), "yes"),
        (Conditions(vendors=frozenset({"acme"})), "yes"),
        (Conditions(vendors=frozenset({"other"})), "no"),
        (Conditions(products=frozenset({"door"})), "no"),
        (Conditions(source="debian"), "yes"),
        (Conditions(source="nvd"), "no"),
        (Conditions(source="debian", version="1.5"), "yes"),
        (Conditions(source="debian", version="2.5"), "no"),
    ],
)
def test_a_product_is_asked_for_what_is_set_alone_in_any_case_of_letters(
    conditions: Conditions, answer: str
) -> None:
    ranges = (VersionRange("1.0", "2.0", status="affected"),)
    assert conditions.of_product(Affected("Debian", "Acme", "Wall", (), "", ranges)) == answer
