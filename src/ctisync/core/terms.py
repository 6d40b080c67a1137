"""The conditions of a search as you type them: options of `search`, or settings of a watch."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, Protocol, TypeVar, get_args

import msgspec

from ctisync.core.conditions import SEVERITIES, Conditions, at_least
from ctisync.core.facts import Severity
from ctisync.core.inventory import WrongInventory, platform_of
from ctisync.core.phrases import phrases_of
from ctisync.core.scanner import Platform
from ctisync.core.words import moment, one_of
from ctisync.errors import UsageError

State = Literal["published", "rejected"]
STATES: Final[tuple[State, ...]] = get_args(State)

_T = TypeVar("_T", bound=str)


class Spelling(Protocol):
    """How you type terms."""

    def name(self, term: str) -> str:
        """A term: `--min-severity`."""

    def example(self, term: str, value: str | float) -> str:
        """A term with a value: `--min-severity high`."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Of each list, one must apply; a term that is not set applies to all records. Texts may be in any case.

    `words`: as for `core.phrases.phrases_of`; all of them must be in the record. `os`: `NAME:VERSION`. `cwe`:
    `79` or `CWE-79`. `published_since`: as for `core.words.moment`.
    """

    words: tuple[str, ...] = ()
    vendor: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    version: str | None = None
    source: str | None = None
    os: str | None = None
    cwe: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    min_severity: str | None = None
    min_score: str | None = None
    exploit: bool = False
    published_since: str | None = None
    state: str | None = None


class Options:
    """As options of a command."""

    def name(self, term: str) -> str:
        return f"--{term.replace('_', '-')}"

    def example(self, term: str, value: str | float) -> str:
        return f"{self.name(term)} {value}"


def conditions_of(terms: Terms, now: datetime, spelling: Spelling) -> Conditions:
    """Raises UsageError, which names the term and, as the hint, a valid value."""
    if terms.version is not None and not terms.product:
        both = f"{spelling.example('product', 'openssl')} {spelling.example('version', '3.0.2')}"
        raise UsageError(f"{spelling.name('version')} needs {spelling.name('product')}", hint=both)
    since = terms.published_since
    return Conditions(
        phrases=phrases_of(terms.words),
        products=frozenset(map(_name, terms.product)),
        vendors=frozenset(map(_name, terms.vendor)),
        source=None if terms.source is None else terms.source.lower(),
        platform=None if terms.os is None else platform_term(terms.os, spelling),
        version=terms.version,
        cwes=frozenset(_cwe(each, spelling) for each in terms.cwe),
        severities=_severities(terms, spelling),
        min_score=None if terms.min_score is None else _score(terms.min_score, spelling),
        exploit=terms.exploit,
        published_since=None if since is None else moment(since, now, spelling.name("published_since")),
        state=None if terms.state is None else _one_of(terms.state, STATES, "state", spelling),
    )


def _name(text: str) -> str:
    """In lower case. Bytes that are no UTF-8, which no record has, are escaped."""
    return text.lower().encode("utf-8", "backslashreplace").decode()


def _severities(terms: Terms, spelling: Spelling) -> frozenset[Severity]:
    levels = frozenset(_one_of(each.strip(), SEVERITIES, "severity", spelling) for each in terms.severity)
    if terms.min_severity is None:
        return levels
    above = at_least(_one_of(terms.min_severity, SEVERITIES, "min_severity", spelling))
    return levels & above if levels else above


def _one_of(text: str, values: Sequence[_T], term: str, spelling: Spelling) -> _T:
    return one_of(text, values, spelling.name(term), spelling.example(term, values[-1]))


def platform_term(text: str, spelling: Spelling) -> Platform:
    """The value of the term `os`. Raises UsageError."""
    try:
        return platform_of(text)
    except WrongInventory as error:
        hint = spelling.example("os", "debian:12")
        raise UsageError(f"{spelling.name('os')}: {error}", hint=hint) from error


def _cwe(text: str, spelling: Spelling) -> int:
    number = text.upper().removeprefix("CWE-")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        message = f"{spelling.name('cwe')}: {text} is not the number of a weakness"
        raise UsageError(message, hint=spelling.example("cwe", 79))
    return int(number)


def _score(text: str, spelling: Spelling) -> Decimal:
    with suppress(InvalidOperation):  # of a text, and of NaN in the comparison
        if 0 <= (score := Decimal(text)) <= 10:
            return score
    message = f"{spelling.name('min_score')}: {text} is not a score from 0 to 10"
    raise UsageError(message, hint=spelling.example("min_score", 7))
