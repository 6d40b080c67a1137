"""What a person reads of a record; whatever its shape, nothing in it is a reason to fail."""

from decimal import Decimal
from unittest.mock import Mock

import hypothesis.strategies as st
import pytest
from hypothesis import given, seed
from msgspec.inspect import type_info

from ctisync.commands import records
from ctisync.core.facts import (
    Affected,
    Change,
    Facts,
    Reference,
    Score,
    VersionRange,
    Weakness,
    facts_of,
    facts_of_record,
)
from tests.support.records import SAMPLE, encode, line, record

CVE = {
    "cveMetadata": {
        "state": "PUBLISHED",
        "datePublished": "2024-02-13T18:02:20Z",
        "dateUpdated": "2024-11-21T00:00:00Z",
    },
    "containers": {
        "cna": {
            "title": "A hole\nin the wall",
            "descriptions": [{"lang": "es", "value": "Un agujero"}, {"lang": "en", "value": "A hole."}],
            "metrics": [
                {"cvssV2_0": {"baseScore": 5, "vectorString": "AV:N/AC:L"}},
                {"cvssV3_1": {"baseScore": 7.5, "baseSeverity": "HIGH", "vectorString": "CVSS:3.1/AV:N"}},
                {"other": {}},
            ],
            "problemTypes": [{"descriptions": [{"cweId": "CWE-400", "description": "CWE-400"}]}],
            "affected": [
                {
                    "vendor": "acme",
                    "product": "wall",
                    "versions": [
                        {"version": "0", "lessThan": "1.2", "status": "affected"},
                        {"version": "2.0", "lessThanOrEqual": "2.3", "status": "affected"},
                        {"version": "3.0", "status": "affected"},
                        {"version": "4.0", "status": "unaffected"},
                    ],
                },
                {"vendor": "acme", "product": "door", "defaultStatus": "unaffected", "versions": []},
                {"vendor": "acme", "product": "roof"},
            ],
            "references": [{"url": "https://acme.example/1"}, {"url": "https://acme.example/1"}],
        },
        "adp": [
            {
                "problemTypes": [{"descriptions": [{"cweId": "CWE-20", "description": "Bad input"}]}],
                "references": [{"url": "https://other.example/2"}],
            }
        ],
    },
}

TABLE = """\
CVE-2024-1   offset 1,200, version 1, in the feed since 2024-02-29
  title        A hole in the wall
  state        PUBLISHED, published 2024-02-13, updated 2024-11-21
  severity     7.5 HIGH (CVSS 3.1, AV:N)
               5 (CVSS 2.0, AV:N/AC:L)
  weakness     CWE-400
               CWE-20 Bad input
  description  A hole.
  affected     acme wall: < 1.2, 2.0 to <= 2.3, 3.0
               acme roof
  references   https://acme.example/1
               https://other.example/2"""


def test_a_cve_shows_first_what_people_ask_first() -> None:
    assert records.as_text(line("CVE-2024-1", 1200, encode(CVE))) == TABLE


def test_another_kind_of_record_says_what_it_holds_and_how_to_see_it() -> None:
    text = records.as_text(line("TID-0039", 7, b'{"action":"x","target":{}}'))
    assert "  fields       action, target\n" in text
    assert "ctisync show TID-0039 --json" in text


def test_long_lists_are_cut_and_say_so() -> None:
    many = {"containers": {"cna": {"references": [{"url": f"https://h/{n}"} for n in range(25)]}}}
    text = records.as_text(line("CVE-1", 7, encode(many)))
    assert "https://h/19" in text
    assert "https://h/20" not in text
    assert "and 5 more: ctisync show CVE-1 --json" in text


def cna_facts(**cna: object) -> Facts:
    return facts_of(line("CVE-1", 7, encode({"containers": {"cna": cna}})))


def test_each_kind_of_score_is_read_and_the_newest_comes_first() -> None:
    kinds = {"cvssV2_0": "2.0", "cvssV3_0": "3.0", "cvssV3_1": "3.1", "cvssV4_0": "4.0"}
    metrics = [{key: {"baseScore": 5, "vectorString": f"CVSS:{kind}/AV:N"}} for key, kind in kinds.items()]
    expected = tuple(Score("", kind, Decimal(5), "", "AV:N") for kind in kinds.values())
    assert cna_facts(metrics=metrics).scores == expected


def test_half_a_score_is_shown_and_none_is_not() -> None:
    halves = [{"cvssV3_1": {"baseScore": 5}}, {"cvssV3_1": {"vectorString": "AV:L"}}, {"cvssV3_1": {"x": 1}}]
    assert cna_facts(metrics=halves).scores == (
        Score("", "3.1", Decimal(5), "", ""),
        Score("", "3.1", None, "", "AV:L"),
    )
    text = records.as_text(line("CVE-1", 7, encode({"containers": {"cna": {"metrics": halves}}})))
    assert "  severity     5 (CVSS 3.1)\n               no score (CVSS 3.1, AV:L)" in text


def test_a_score_that_is_no_number_is_ignored() -> None:
    bases: list[object] = [True, "7.5", [], {}]
    metrics = [{"cvssV3_1": {"baseScore": base, "vectorString": "AV:L"}} for base in bases]
    assert {each.base for each in cna_facts(metrics=metrics).scores} == {None}


def test_a_rejected_record_says_why_it_was_rejected() -> None:
    assert cna_facts(rejectedReasons=[{"lang": "en", "value": "a double"}]).description == "a double"


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        ([("de", "Loch"), ("EN-us", "hole")], "hole"),
        ([("de", "Loch"), ("es", "agujero")], "Loch"),
        ([], ""),
    ],
)
def test_english_is_shown_or_else_whatever_there_is(texts: list[tuple[str, str]], shown: str) -> None:
    assert (
        cna_facts(descriptions=[{"lang": lang, "value": value} for lang, value in texts]).description == shown
    )


@pytest.mark.parametrize("begin", ["", "0", "*", "n/a"])
def test_a_range_that_has_no_beginning_has_only_an_end(begin: str) -> None:
    version = {"version": begin, "lessThan": "2", "status": "affected"}
    affected = [{"product": "wall", "versions": [version]}]
    assert cna_facts(affected=affected).affected == (
        Affected("", "", "wall", (), "", (VersionRange(begin, "2", status="affected"),)),
    )
    text = records.as_text(line("CVE-1", 7, encode({"containers": {"cna": {"affected": affected}}})))
    assert "  affected     wall: < 2" in text


def test_a_product_that_is_affected_by_default_is_shown() -> None:
    products = [
        {"vendor": "acme", "product": "wall", "defaultStatus": "affected", "versions": []},
        {"vendor": "acme", "product": "door", "defaultStatus": "unknown", "versions": []},
    ]
    assert [each.default_status for each in cna_facts(affected=products).affected] == ["affected", "unknown"]
    text = records.as_text(line("CVE-1", 7, encode({"containers": {"cna": {"affected": products}}})))
    assert text.endswith("  affected     acme wall")


def test_a_version_that_is_no_number_is_left_out() -> None:
    odd = b'{"name":"CVE-1","offset":7,"version":"1","inserted_at":"","payload":{}}'
    assert facts_of(odd).version is None


def container(source: str, *metrics: tuple[str, float, str], **more: object) -> dict[str, object]:
    scores = [{kind: {"baseScore": base, "baseSeverity": word}} for kind, base, word in metrics]
    return {"providerMetadata": {"x_subShortName": source}, "metrics": scores, **more}


@pytest.mark.parametrize(
    ("containers", "source", "base", "level"),
    [
        ([container("nvd", ("cvssV3_1", 7.5, "HIGH"), ("cvssV4_0", 5.1, "MEDIUM"))], "nvd", "5.1", "medium"),
        (
            [container("nvd", ("cvssV3_1", 7, "HIGH"), ("cvssV3_1", 9.1, "CRITICAL"))],
            "nvd",
            "9.1",
            "critical",
        ),
        ([container("nvd", ("cvssV2_0", 3.9, ""))], "nvd", "3.9", "low"),
        ([container("nvd", ("cvssV2_0", 6.9, ""))], "nvd", "6.9", "medium"),
        ([container("nvd", ("cvssV2_0", 10, ""))], "nvd", "10", "high"),
        ([container("nvd"), container("debian", ("cvssV3_0", 4.0, "Medium"))], "debian", "4.0", "medium"),
        (
            [container("nvd", ("cvssV3_1", 0.0, "NONE")), container("suse", ("cvssV2_0", 5.0, ""))],
            "suse",
            "5.0",
            "medium",
        ),
        (
            [container("nvd", ("cvssV3_1", 7.0, "")), container("suse", ("cvssV2_0", 5.0, ""))],
            "suse",
            "5.0",
            "medium",
        ),
        (
            [container("nvd", ("cvssV3_1", 4.0, "MEDIUM")), container("suse", ("cvssV3_1", 9.8, "CRITICAL"))],
            "nvd",
            "4.0",
            "medium",
        ),
    ],
)
def test_the_score_that_counts_is_that_of_the_first_source_with_one_that_can_be_used(
    containers: list[dict[str, object]], source: str, base: str, level: str
) -> None:
    first, *others = containers
    score = facts_of(line("CVE-1", 7, {"containers": {"cna": first, "adp": others}})).score
    assert score is not None
    assert (score.source, score.base, score.level) == (source, Decimal(base), level)


def test_the_score_of_a_source_counts_if_it_can_be_used_else_that_of_the_record() -> None:
    adp = [container("suse", ("cvssV3_1", 9.8, "CRITICAL")), container("debian", ("cvssV3_1", 0, "NONE"))]
    cna = container("nvd", ("cvssV3_1", 4.0, "MEDIUM"))
    facts = facts_of(line("CVE-1", 7, {"containers": {"cna": cna, "adp": adp}}))
    bases = {source: facts.score_of(source) for source in ("suse", "debian", "nvd", "other")}
    assert {source: score and str(score.base) for source, score in bases.items()} == {
        "suse": "9.8",
        "debian": "4.0",
        "nvd": "4.0",
        "other": "4.0",
    }


@pytest.mark.parametrize(
    ("cvss", "base", "severity", "level"),
    [
        ("2.0", "0.01", "", "low"),
        ("2.0", "3.9", "", "low"),
        ("2.0", "4.0", "", "medium"),
        ("2.0", "6.9", "", "medium"),
        ("2.0", "7.0", "", "high"),
        ("2.0", "10", "", "high"),
        ("2.0", "10.1", "", None),
        ("3.1", "0.1", "NONE", "none"),
        ("3.1", "0.1", "Low", "low"),
        ("3.1", "10.0", "critical", "critical"),
        ("3.1", "0", "LOW", None),
        ("3.1", "7.5", "", None),
        ("4.0", None, "HIGH", None),
    ],
)
def test_a_score_has_the_severity_of_its_record_or_for_cvss_2_that_of_its_base(
    cvss: str, base: str | None, severity: str, level: str | None
) -> None:
    score = Score("nvd", cvss, None if base is None else Decimal(base), severity, "")
    assert score.level == level


def test_what_an_entry_does_not_say_is_empty() -> None:
    facts = facts_of(
        encode(
            {
                "name": "CVE-1",
                "offset": 7,
                "payload": {
                    "containers": {
                        "cna": {
                            "descriptions": [{}],
                            "problemTypes": [{"descriptions": [{}]}],
                            "providerMetadata": {},
                            "affected": [{"versions": [{"changes": [{}]}]}, {}],
                            "references": [{}],
                        }
                    }
                },
            }
        )
    )
    assert (facts.inserted_at, facts.version, facts.description) == ("", None, "")
    assert facts.weaknesses == (Weakness("", ""),)
    unlisted = Affected("", "", "", (), "", (), is_listed=False)
    assert facts.affected == (
        Affected("", "", "", (), "", (VersionRange("", "", "", "", (Change("", ""),)),)),
        unlisted,
    )
    assert facts.references == (Reference("", ()),)


@pytest.mark.parametrize(
    ("provider", "source"),
    [
        ({"shortName": "redhat"}, "redhat"),
        ({"shortName": "redhat", "x_subShortName": "redhat_9"}, "redhat_9"),
        ({}, ""),
    ],
)
def test_a_source_is_the_distribution_with_its_version_if_that_is_there(
    provider: dict[str, str], source: str
) -> None:
    (only,) = cna_facts(providerMetadata=provider, affected=[{}]).affected
    assert only.source == source


def test_the_updates_that_solve_it_are_those_of_all_containers() -> None:
    first, other = (
        {"x_remediations": {"windows": [{"anyOf": [f"KB{number}", f"KB{number + 1}"]}]}} for number in (1, 3)
    )
    facts = facts_of(line("CVE-1", 7, {"containers": {"cna": first, "adp": [{}, other]}}))
    assert facts.remediations == ("KB1", "KB2", "KB3", "KB4")


def test_of_a_record_that_cannot_be_decoded_name_and_offset_remain() -> None:
    good = record("CVE-1", 7, CVE)
    assert facts_of_record(good) == facts_of(good.line)
    broken = facts_of_record(record("CVE-1", 7, b'{"type":"x","document":{"n":1e99999999999999999999}}'))
    assert (broken.name, broken.offset, broken.title, broken.kind) == ("CVE-1", 7, "", "")


def test_a_record_without_a_score_that_can_be_used_has_no_severity() -> None:
    unusable = container(
        "nvd", ("cvssV3_1", 0.001, "LOW"), ("cvssV3_1", 5.0, "odd"), ("cvssV3_1", 11, "HIGH")
    )
    assert facts_of(line("CVE-1", 7, {"containers": {"cna": unusable}})).score is None


def test_an_affected_row_is_shown_with_its_source_and_its_platforms() -> None:
    entry = {"product": "openssl", "versions": [{"version": "0", "lessThan": "3.1", "status": "affected"}]}
    codes = [f"release{number}" for number in range(8)]
    adp = [
        container("debian", affected=[{**entry, "platforms": ["bookworm"]}]),
        container("alas_2023", affected=[entry]),
        container("canonical", affected=[{**entry, "platforms": codes}]),
    ]
    text = records.as_text(line("CVE-1", 7, {"containers": {"adp": adp}}))
    assert "  affected     openssl: < 3.1 (debian: bookworm)\n" in text
    assert "               openssl: < 3.1 (alas_2023)\n" in text
    first = ", ".join(codes[:6])
    assert f"               openssl: < 3.1 (canonical: {first} and 2 more)" in text


def test_an_exploit_is_known_by_the_tag_of_a_link() -> None:
    links = [{"url": "https://a"}, {"url": "https://b", "tags": ["Third-party", "Exploit"]}]
    assert cna_facts(references=links).has_exploit
    assert not cna_facts(references=links[:1]).has_exploit


def test_what_has_another_form_is_left_out_and_the_rest_is_read() -> None:
    odd = {
        "title": ["x"],
        "affected": [5, {"product": "wall", "platforms": ["a", 5], "versions": [{"version": 1}, "x"]}, None],
        "metrics": [{"cvssV3_1": {"baseScore": 7.5, "baseSeverity": "HIGH"}}, "none"],
        "references": [{"url": 5, "tags": "exploit"}, {"url": "https://a", "tags": [None, "exploit"]}],
    }
    facts = cna_facts(**odd)
    assert facts.title == ""
    assert facts.affected == (Affected("", "", "wall", ("a",), "", (VersionRange(),)),)
    assert facts.score is not None
    assert [each.url for each in facts.references] == ["", "https://a"]
    assert facts.has_exploit


KEYS = [
    *("containers", "cna", "adp", "metrics", "cvssV3_1"),
    *("affected", "versions", "references", "descriptions", "title"),
]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@seed(6)
@given(st.dictionaries(st.sampled_from(["containers", "cveMetadata", "x"]), anything, max_size=3))
def test_no_shape_of_a_payload_is_a_reason_to_fail(payload: dict[str, object]) -> None:
    assert records.as_text(line("CVE-1", 7, encode(payload))).startswith("CVE-1   offset 7")


def test_the_shape_of_a_record_is_read_once_for_all_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it takes most of the time of a search in indicators."""
    reading = Mock(wraps=type_info)
    monkeypatch.setattr("ctisync.core.lenient.type_info", reading)
    for number in range(3):
        facts_of(line(f"indicator/{number}", 7, encode({"type": "ioc", "document": {"id": number}})))
    assert reading.call_count <= 1


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of real records lies beside a checkout only")
def test_real_records_have_a_severity_and_what_is_affected() -> None:
    records = [facts_of(each) for each in SAMPLE.read_bytes().splitlines()]
    cves = [each for each in records if each.name.startswith("CVE-")]
    assert len(cves) == 5
    for each in cves:
        assert each.state == "PUBLISHED"
        assert each.affected
        assert each.scores
        assert each.references


INDICATOR = {
    "type": "ioc",
    "document": {
        "id": "12345",
        "name": "203.0.113.7",
        "type": "ip",
        "confidence": 90,
        "provider": "a provider",
        "tags": ["botnet", "c2"],
        "feed": {"name": "a feed", "origin": {"url": "https://feed.example", "ok": True}},
        "software": {"type": None, "name": ""},
        "rows": [{"a": 1}, {"b": 2}],
        "first_seen": "2026-01-01T00:00:00Z",
    },
}

SHOWN = """\
indicator/12345   offset 7
  type             ioc
  id               12345
  name             203.0.113.7
  type             ip
  confidence       90
  provider         a provider
  tags             botnet, c2
  feed.name        a feed
  feed.origin.url  https://feed.example
  feed.origin.ok   true
  rows             2 entries
  first_seen       2026-01-01T00:00:00Z"""


def test_an_indicator_is_shown_by_the_fields_of_its_document() -> None:
    text = encode({"resource": "indicator/12345", "offset": 7, "payload": INDICATOR})
    assert records.as_text(text) == SHOWN


def test_of_a_field_that_is_too_deep_or_has_objects_the_number_of_what_it_holds_is_facts_of() -> None:
    document = {"a": {"b": {"c": {"d": {"e": 1, "f": 2}}}}, "one": [{}], "none": []}
    document["empty"] = {"b": {"c": {"d": {}}}}
    text = encode({"resource": "rule/1", "offset": 7, "payload": {"document": document}})
    fields = [each.split(maxsplit=1) for each in records.as_text(text).splitlines()[1:]]
    assert fields == [["a.b.c.d", "2 fields"], ["one", "1 entry"]]


def test_a_cve_is_shown_as_one_wherever_its_catalog_has_put_it() -> None:
    bare = records.as_text(line("CVE-2024-1", 1200, CVE))
    wrapped = records.as_text(line("CVE-2024-1", 1200, {"document": CVE}))
    typed = records.as_text(line("CVE-2024-1", 1200, {"type": "cve", "document": CVE}))
    assert wrapped == bare
    assert typed.splitlines() == [bare.splitlines()[0], "  type         cve", *bare.splitlines()[1:]]
    empty: dict[str, object] = {"containers": {"cna": {}}, "cveMetadata": None}
    assert records.as_text(line("CVE-2024-1", 1200, {**empty, "document": CVE})) == bare


def test_a_cve_counts_more_than_the_document_beside_it_and_has_no_other_fields() -> None:
    beside = facts_of(line("CVE-1", 7, {**CVE, "document": {"containers": {"cna": {"title": "x"}}}}))
    assert (beside.title, beside.fields) == ("A hole in the wall", ())
    assert facts_of(line("CVE-1", 7, {"document": {"containers": CVE["containers"]}})).fields == ()


def test_a_cve_without_a_description_shows_its_state_wherever_it_is() -> None:
    few = {"cveMetadata": CVE["cveMetadata"]}
    bare = records.as_text(line("CVE-2024-1", 1200, few))
    assert bare.splitlines()[1:] == ["  state        PUBLISHED, published 2024-02-13, updated 2024-11-21"]
    assert records.as_text(line("CVE-2024-1", 1200, {"document": few})) == bare


def test_a_record_of_many_fields_or_long_ones_is_shown_by_the_first_of_them() -> None:
    document = {
        "check": "x " * 5000,
        **{f"field {n}": n for n in range(50)},
        "deep": {"a": {"b": {"c": {"d": 1}}}},
    }
    shown = records.as_text(encode({"resource": "rule/it's", "offset": 1, "payload": {"document": document}}))
    assert shown.count("x ") < 600
    assert "field 18" in shown
    assert "field 19" not in shown
    assert """more fields  ctisync show 'rule/it'"'"'s' --json""" in shown
    del document["check"]
    few = {"deep": document["deep"]}
    assert "deep.a.b.c   1 field" in records.as_text(
        encode({"resource": "a", "offset": 1, "payload": {"document": few}})
    )


@pytest.mark.parametrize(
    "payload",
    [
        {"type": 5, "document": []},
        {"type": "rule"},
        {"document": {}},
        {"document": "text", "type": ["rule"]},
        {"document": {"\x1b[2J\n": "\x07", "": None, " ": {"": {"": 1}}}},
        {"document": {"n": [1, None, True, "x", 2.5], "o": [[]], "e": [], "f": {}}},
    ],
    ids=str,
)
def test_a_document_of_any_shape_is_shown(payload: object) -> None:
    shown = records.as_text(encode({"name": "a", "offset": 1, "payload": payload}))
    assert shown.startswith("a   offset 1\n  ")
    assert all(row.isprintable() for row in shown.split("\n"))


@pytest.mark.parametrize("number", ["9" * 5000, "1e99999999999999999999"], ids=["digits", "exponent"])
def test_of_a_record_with_a_number_that_cannot_be_decoded_its_whole_text_is_offered(number: str) -> None:
    """A load does not decode it, and `show --json` prints it."""
    text = f'{{"resource":"rule/1","offset":7,"payload":{{"document":{{"n":{number}}}}}}}'.encode()
    assert records.as_text(text) == "rule/1   offset 7\n  full record  ctisync show rule/1 --json"


def test_a_name_like_an_option_can_be_typed_as_the_text_says() -> None:
    text = encode({"resource": "--json", "offset": 7, "payload": {"a": 1}})
    assert records.as_text(text).endswith("full record  ctisync show --json -- --json")
