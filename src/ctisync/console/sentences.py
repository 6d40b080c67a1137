"""Sentences for log events at a terminal, of the templates in sentences.toml, and the last line of a pass."""

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ctisync.core.pass_report import PassReport
from ctisync.core.words import counted, lasting
from ctisync.escaping import escape

_SENTENCES: Final[Mapping[str, str]] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
)

_DETAILS: Final = frozenset(("feed-asked", "range-applied", "range-halved"))
"""Events of level info that the progress bar, or the last line of the pass, shows already."""

_COUNTED: Final = {"changes": "change", "documents": "document", "lines": "line", "records": "record"}


def sentence(level: str, event: str, fields: Mapping[str, Any], *, verbose: bool) -> str | None:
    """None for an event that is not shown at a terminal, such as the good end of a pass (`closing`)."""
    if level == "info" and (event == "pass-ended" or (event in _DETAILS and not verbose)):
        return None
    words = {
        name: _in_words(name, value)
        for name, value in fields.items()
        if value is not None and not (name == "hint" and level == "warning")
    }
    if (template := _SENTENCES.get(event)) is None:
        text = _plain(event, words)
    else:
        text = template.format_map(defaultdict(lambda: "?", words))
    before = "" if level in ("debug", "info") else f"{level}: "
    return f"{before}{text}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _plain(event: str, words: dict[str, str]) -> str:
    consumer = words.pop("consumer", None)
    rest = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in words.items())
    parts = (consumer, event.replace("-", " "), rest)
    return ": ".join(part for part in parts if part)


def _in_words(name: str, value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return counted(value, _COUNTED[name]) if name in _COUNTED else f"{value:,}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S} UTC"
        case _:
            return escape(str(value))


def closing(report: PassReport) -> str | None:
    """What the pass did, how long it took, and the offset of the content. None if another message says how
    the pass ended."""
    match report.outcome:
        case "up-to-date" | "initialised":
            reported = counted(report.notices, "record") + " reported; " if report.notices else ""
            return f"{report.consumer}: {_done(report)}; {reported}{_position(report)}."
        case "cooldown":
            return f"{report.consumer}: {report.why}."
        case _:
            return None


def _done(report: PassReport) -> str:
    parts = ["a snapshot loaded"] if report.initialisations else []
    if report.changes:
        parts.append(f"{counted(report.changes, 'change')} applied")
    return f"{' and '.join(parts)} in {lasting(report.seconds)}" if parts else "nothing new"


def _position(report: PassReport) -> str:
    at = f"at offset {report.offset:,}"
    if report.behind:
        return f"{at}, {counted(report.behind, 'offset')} behind the feed"
    return at if report.behind is None else f"up to date {at}"
