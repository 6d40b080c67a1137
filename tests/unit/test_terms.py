"""The terms of a search: as options and in settings, they mean the same, and a wrong one is named."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ctisync.core.conditions import Conditions
from ctisync.core.phrases import Phrase
from ctisync.core.scanner import Platform
from ctisync.core.terms import Options, Spelling, Terms, conditions_of
from ctisync.errors import UsageError

NOW = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)


@dataclass
class InFile:
    """As in a settings file."""

    def name(self, term: str) -> str:
        return f"watch[0].{term}"

    def example(self, term: str, value: str | float) -> str:
        return f"write {term} = {value!r}"


def test_no_term_matches_every_record() -> None:
    assert conditions_of(Terms(), NOW, Options()) == Conditions()


def test_each_term_is_a_condition() -> None:
    terms = Terms(
        words=("log4j*",),
        vendor=("Apache",),
        product=("Log4J", "struts"),
        version="2.14",
        source="Debian",
        os="debian:12",
        cwe=("79", "CWE-89"),
        severity=("LOW", " high", "critical"),
        min_severity="medium",
        min_score="7.5",
        exploit=True,
        published_since="30d",
        state="PUBLISHED",
    )

    conditions = conditions_of(terms, NOW, Options())

    assert conditions == Conditions(
        phrases=(Phrase(("log4j",), is_prefix=True),),
        vendors=frozenset({"apache"}),
        products=frozenset({"log4j", "struts"}),
        version="2.14",
        source="debian",
        platform=conditions.platform,
        cwes=frozenset({79, 89}),
        severities=frozenset({"high", "critical"}),
        min_score=Decimal("7.5"),
        exploit=True,
        published_since=NOW - timedelta(days=30),
        state="published",
    )
    assert isinstance(conditions.platform, Platform)
    assert conditions.platform.code_name == "bookworm"


def test_a_lowest_severity_alone_means_that_and_all_above() -> None:
    conditions = conditions_of(Terms(min_severity="high"), NOW, Options())

    assert conditions.severities == {"high", "critical"}


@pytest.mark.parametrize(
    ("terms", "message", "option", "setting"),
    [
        (Terms(severity=("bad",)), "none, low, medium, high, critical", "--severity critical", "'critical'"),
        (Terms(min_severity="bad"), "none, low, medium", "--min-severity critical", "'critical'"),
        (Terms(cwe=("x",)), "x is not the number of a weakness", "--cwe 79", "write cwe = 79"),
        (Terms(cwe=("79" * 10,)), "is not the number of a weakness", "--cwe 79", "write cwe = 79"),
        (Terms(min_score="NaN"), "NaN is not a score from 0 to 10", "--min-score 7", "min_score = 7"),
        (Terms(min_score="10.1"), "10.1 is not a score from 0 to 10", "--min-score 7", "min_score = 7"),
        (Terms(state="gone"), "published, rejected", "--state rejected", "write state = 'rejected'"),
        (Terms(os="debian"), "debian", "--os debian:12", "write os = 'debian:12'"),
        (Terms(version="1"), "needs", "--product openssl --version 3.0.2", "write product = 'openssl'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_term_is_named_with_a_valid_value(
    terms: Terms, message: str, option: str, setting: str
) -> None:
    def error(spelling: Spelling) -> UsageError:
        with pytest.raises(UsageError) as caught:
            conditions_of(terms, NOW, spelling)
        return caught.value

    as_option, in_file = error(Options()), error(InFile())

    assert message in as_option.message
    assert message in in_file.message
    assert as_option.hint == option
    assert setting in (in_file.hint or "")
    assert in_file.message.startswith("watch[0].")


def test_a_wrong_date_names_its_term() -> None:
    with pytest.raises(UsageError, match="--published-since: soon is neither a duration nor a date"):
        conditions_of(Terms(published_since="soon"), NOW, Options())
