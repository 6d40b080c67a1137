"""Sentences for log events at a terminal. docs/events.md describes the events and their fields.

An event without a sentence here is printed with its fields.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ctisync.core.pass_report import PassReport
from ctisync.core.words import counted, lasting
from ctisync.escaping import escape

_SENTENCES: Final = {
    "network-disk": "{why}",
    "feed-asked": "{consumer}: the feed is at offset {last_offset}, the content at {offset}",
    "retry": "{reason}; ctisync tries again for up to {budget_left} s",
    "initialise": "{consumer}: loading the snapshot of offset {snapshot_offset}: {why}",
    "load-begun-anew": "{consumer}: the server replaced the snapshot during the download; loading the new "
    "one: {why}",
    "snapshot-size-unknown": "The server did not send the size of {link}; {size} bytes received",
    "package-read": "{file} is a snapshot of {consumer}, by its manifest.json",
    "not-in-package": "{file} has no snapshot of {consumer}, which keeps its content",
    "offset-found": "The offset of the snapshot is {offset} (from its {told_by})",
    "offset-guessed": "Assuming offset {offset} for the snapshot: {why}",
    "initialised": "{consumer}: {records} loaded, at offset {offset}",
    "range-applied": "{consumer}: {changes} applied up to offset {offset}, {records} written",
    "range-halved": "{consumer}: requesting a part of the range {range}: {why}",
    "change-failed": "{consumer}: change {offset} of {resource} cannot be applied: {why}",
    "command-accepted": "{consumer}: the Command Manager accepted the command for offset {offset}",
    "command-not-accepted": "{consumer}: the Command Manager did not accept the command for offset "
    "{offset}: {why}",
    "cooldown-not-remembered": "{consumer}: could not store the cool-down of the feed: {why}",
    "lines-ambiguous": "{consumer}: {lines} of the snapshot with name and offset of another one, but another "
    "text; the first of each stays",
    "pass-ended": "{consumer}: {why}",
    "history-not-written": "{consumer}: could not add the pass to the history: {why}",
    "hook-done": "{consumer}: hook {hook} done",
    "alerts-not-remembered": "{consumer}: could not store what was alerted; the next pass may alert again: "
    "{why}",
    "metrics-not-written": "could not write {file}: {why}",
    "ping-failed": "The ping ({ping}) to ping_url failed: {why}",
    "settings": "{message}",
}

_DETAILS: Final = frozenset(("feed-asked", "range-applied", "range-halved"))
"""Events of level info that the progress bar, or the last line of the pass, shows already."""

_COUNTED: Final = {"changes": "change", "lines": "line", "records": "record"}


def sentence(level: str, event: str, fields: Mapping[str, Any], *, verbose: bool) -> str | None:
    """None for an event that is not shown at a terminal, such as the good end of a pass (`closing`)."""
    if level == "info" and (event == "pass-ended" or (event in _DETAILS and not verbose)):
        return None
    words = {
        name: _in_words(name, value)
        for name, value in fields.items()
        if value is not None and not (name == "hint" and level == "warning")
    }
    text = _SENTENCES[event].format_map(_Values(words)) if event in _SENTENCES else _plain(event, words)
    before = "" if level in ("debug", "info") else f"{level}: "
    return f"{before}{text}{'' if text.endswith(('.', '!', '?')) else '.'}"


class _Values(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"


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
            return f"{report.consumer}: {_done(report)}; {_position(report)}."
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
