"""The watches of the settings, as conditions. Loaded only if there are any: conditions need more modules than
other settings."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from ctisync.core.phrases import split_phrases, tokens_of
from ctisync.core.terms import Terms, conditions_of
from ctisync.core.watches import Watch
from ctisync.errors import ConfigurationError, UsageError
from ctisync.escaping import to_json
from ctisync.settings.checks import Mistakes, raise_all, repeated
from ctisync.settings.model import WatchSettings

_LONGEST_NAME: Final = 64


class _Spelling:
    """As settings of the watch at `where`."""

    def __init__(self, where: str) -> None:
        self._where = where

    def name(self, term: str) -> str:
        return f"{self._where}.{term}"

    def example(self, term: str, value: str | float) -> str:
        is_list = isinstance(getattr(WatchSettings(), term), tuple)
        return f"write {term} = {to_json([value] if is_list else value)}"


def watches_of(watches: Sequence[WatchSettings], where: str, now: datetime) -> list[Watch]:
    """`where`: the source of the setting. Raises ConfigurationError."""
    made, mistakes = list[Watch](), Mistakes()
    for number, each in enumerate(watches):
        with mistakes.collect():
            made.append(_watch(each, f"{where}[{number}]", now))
    raise_all([*mistakes.errors, *repeated("the watch", [each.name for each in made], where)])
    return made


def _watch(settings: WatchSettings, where: str, now: datetime) -> Watch:
    name = settings.name
    if not name or len(name) > _LONGEST_NAME or not name.isprintable() or name != name.strip():
        why = "a watch needs a name of at most 64 printable characters"
        raise ConfigurationError(f"{where}: {why}", hint='write name = "our edge"')
    if settings == WatchSettings(name=name):
        why = f"the watch {name} has no condition"
        raise ConfigurationError(f"{where}: {why}", hint='write product = ["openssl"], or another one')
    words = split_phrases(settings.words)
    if settings.words and not any(map(tokens_of, words)):
        why = f"{settings.words} has no letter and no digit"
        raise ConfigurationError(f"{where}.words: {why}", hint='write words = "openssl"')
    terms = Terms(
        words=words,
        vendor=settings.vendor,
        product=settings.product,
        version=settings.version,
        source=settings.source,
        os=settings.os,
        cwe=tuple(map(str, settings.cwe)),
        severity=settings.severity,
        min_severity=settings.min_severity,
        min_score=None if settings.min_score is None else str(settings.min_score),
        exploit=settings.exploit,
        published_since=settings.published_since,
        state=settings.state,
    )
    try:
        return Watch(name, conditions_of(terms, now, _Spelling(where)))
    except UsageError as error:
        raise ConfigurationError(error.message, hint=error.hint) from error
