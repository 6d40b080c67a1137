"""What a search asks of a record, decided by its facts alone."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, get_args

import msgspec

from ctisync.core.facts import Affected, Facts, Severity
from ctisync.core.phrases import Phrase, has_phrase, tokens_of
from ctisync.core.scanner import NVD, Platform, Scanner, is_on
from ctisync.core.versions import Scheme, affects

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""The lowest first."""

Answer = Literal["yes", "no", "perhaps"]

_SCHEMES: Final[dict[str, Scheme]] = {
    "debian": "dpkg",
    "canonical": "dpkg",
    "arch": "dpkg",
    "redhat": "rpm",
    "suse": "rpm",
    "opensuse": "rpm",
    "alma": "rpm",
    "rocky": "rpm",
    "oraclelinux": "rpm",
    "alas": "rpm",
    "fedora": "rpm",
    "amazon": "rpm",
}
"""By the name of a source, without its version."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """A record matches if it has all of them. `phrases`: each must be in one of the record's texts.

    With `products`, one affected product has one of these names, is of one of `vendors`, in `source` and on
    `platform`, and `version` is affected. Without, some product is of one of these vendors, and some in that
    source and on that platform, and there is no version. Names, `source` and `state` are in lower case.
    Without a source, a version is one of NVD. `cpe`: of the platform. `severities`: one of them. Dates are
    UTC.
    """

    phrases: tuple[Phrase, ...] = ()
    products: frozenset[str] = frozenset()
    vendors: frozenset[str] = frozenset()
    source: str | None = None
    platform: Platform | None = None
    cpe: str = ""
    version: str | None = None
    cwes: frozenset[int] = frozenset()
    severities: frozenset[Severity] = frozenset()
    min_score: Decimal | None = None
    exploit: bool = False
    published_since: datetime | None = None
    changed_since: datetime | None = None
    changed_after: int | None = None
    state: str | None = None

    @property
    def of_one_product(self) -> bool:
        """Whether more than the name of one affected product counts."""
        return bool(self.vendors) or self.has_place or self.version is not None

    @property
    def has_place(self) -> bool:
        """Whether the source or the platform of a product counts."""
        return self.source is not None or self.platform is not None

    def is_place(self, source: str, platforms: Sequence[str]) -> bool:
        """Whether a product with this source and these platforms is where one is searched."""
        expected = self.source_of_version
        return (expected is None or source.lower() == expected) and (
            self.platform is None or is_on(platforms, self.cpe, self.platform)
        )

    @property
    def source_of_version(self) -> str | None:
        """The source whose ranges decide on the version."""
        return NVD if self.source is None and self.version is not None else self.source

    def of_product(self, product: Affected) -> Answer:
        """Whether the affected product has what these conditions ask of one."""
        if (
            (self.products and product.product.lower() not in self.products)
            or (self.vendors and product.vendor.lower() not in self.vendors)
            or not self.is_place(product.source, product.platforms)
        ):
            return "no"
        if self.version is None:
            return "yes"
        return affects(product, scheme_of_source(product.source), self.version).affected

    def match(self, facts: Facts) -> Answer:
        """Whether the record has all of these conditions. "perhaps": only a version that cannot be compared
        keeps it from being sure."""
        score = facts.score
        level = None if score is None else score.level
        base = None if score is None else score.base
        has_rest = (
            (not self.severities or level in self.severities)
            and (self.min_score is None or (base is not None and base >= self.min_score))
            and (not self.cwes or not self.cwes.isdisjoint(cwe_numbers(facts)))
            and (not self.exploit or facts.has_exploit)
            and (self.state is None or facts.state.lower() == self.state)
            and _is_since(facts.published, self.published_since)
            and _is_since(facts.inserted_at, self.changed_since)
            and (self.changed_after is None or facts.offset > self.changed_after)
            and self._has_phrases(facts)
        )
        if not has_rest:
            return "no"
        if not self.products:
            vendors = {each.vendor.lower() for each in facts.affected}
            of_vendor = not self.vendors or not self.vendors.isdisjoint(vendors)
            places = (self.is_place(each.source, each.platforms) for each in facts.affected)
            return "yes" if of_vendor and (not self.has_place or any(places)) else "no"
        answers = {self.of_product(each) for each in facts.affected}
        return "yes" if "yes" in answers else "perhaps" if "perhaps" in answers else "no"

    def _has_phrases(self, facts: Facts) -> bool:
        texts = [tokens_of(text) for text in searchable(facts)] if self.phrases else []
        return all(any(has_phrase(phrase, text) for text in texts) for phrase in self.phrases)


def on_platform(conditions: Conditions, scanner: Scanner) -> Conditions:
    """With the CPE of the platform, and its own source unless there is a source; None stays if the feed has
    no source for it."""
    if (platform := conditions.platform) is None:
        return conditions
    native = scanner.native_source(platform)
    source = conditions.source or (None if native is None else native.name.lower())
    return msgspec.structs.replace(conditions, source=source, cpe=scanner.cpe(platform))


def as_hit(facts: Facts, *, is_sure: bool) -> dict[str, Any]:
    """The members of a matching record, for programs. `is_sure`: the answer of `match` is not "perhaps"."""
    score = facts.score
    affected = {(each.vendor, each.product): None for each in facts.affected}
    return {
        "name": facts.name,
        "offset": facts.offset,
        "severity": None if score is None else score.level,
        "score": None if score is None or score.base is None else float(score.base),
        "title": facts.title or facts.description,
        "state": facts.state,
        "published": facts.published or None,
        "changed": facts.inserted_at or None,
        "exploit": facts.has_exploit,
        "sure": is_sure,
        "affected": [{"vendor": vendor, "product": product} for vendor, product in affected],
    }


def scheme_of_source(source: str) -> Scheme:
    """The comparator of a source's versions: "redhat_9" has those of rpm."""
    return _SCHEMES.get(source.lower().partition("_")[0], "any")


def searchable(facts: Facts) -> tuple[str, str, str]:
    """The texts in which words are searched: the name of the record, those of its vendors and products, and
    all others."""
    names = dict.fromkeys(name for each in facts.affected for name in (each.vendor, each.product))
    fields = " \n".join(value for _, value in facts.fields)
    texts = (facts.title, facts.description, facts.kind, fields)
    return facts.name, " \n".join(filter(None, names)), " \n".join(texts)


def cwe_numbers(facts: Facts) -> set[int]:
    """The numbers of its weaknesses: 79 of `CWE-79`."""
    numbers = (each.cwe.upper().removeprefix("CWE-") for each in facts.weaknesses)
    return {int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) < 10}


def at_least(lowest: Severity) -> frozenset[Severity]:
    return frozenset(SEVERITIES[SEVERITIES.index(lowest) :])


def _is_since(date: str, since: datetime | None) -> bool:
    """Whether the date of a record is not before `since`. No date is before all."""
    return since is None or utc_text(date) >= sortable(since)


def utc_text(date: str) -> str:
    """A date of a record, in a form that sorts by time; empty if it is none."""
    try:
        return sortable(datetime.fromisoformat(date))
    except (ValueError, OverflowError):
        return ""


def sortable(time: datetime) -> str:
    """A time in UTC, in a form that sorts by time; one without a zone is in UTC."""
    return (time if time.tzinfo is None else time.astimezone(UTC)).isoformat()[:19]
