"""Events as a person at a terminal reads them: a sentence each. docs/events.md has their names and fields.

An event that has no sentence here is told with its fields, in words.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ctisync.core.words import counted
from ctisync.harmless import harmless

_SENTENCES: Final = {
    "network-disk": "{why}",
    "feed-asked": "{consumer}: the feed stands at offset {last_offset}, the content at {offset}",
    "retry": "The feed is asked again in {wait} s: {reason}",
    "initialise": "{consumer}: loading the snapshot of offset {snapshot_offset}: {why}",
    "load-begun-anew": "{consumer}: the snapshot was replaced while it came in; loading the new one: {why}",
    "snapshot-size-unknown": "The server did not say how long {link} is; {size} bytes have come",
    "offset-found": "The snapshot stands for offset {offset}, as its {told_by} says",
    "offset-guessed": "The snapshot is taken to stand for offset {offset}: {why}",
    "initialised": "{consumer}: {records} loaded, as of offset {offset}",
    "range-applied": "{consumer}: {changes} applied up to offset {offset}, {records} written",
    "range-halved": "{consumer}: a part of the range {range} is asked for: {why}",
    "change-failed": "{consumer}: change {offset} of {resource} cannot be applied: {why}",
    "command-accepted": "{consumer}: the Command Manager has accepted the command for offset {offset}",
    "command-not-accepted": "{consumer}: the command for offset {offset} was not accepted: {why}",
    "cooldown-not-remembered": "{consumer}: the store has not taken down that the feed is to be left alone: "
    "{why}",
    "pass-ended": "{consumer}: {why}",
    "history-not-written": "{consumer}: the pass could not be added to the history: {why}",
    "hook-done": "{consumer}: the hook {hook} has run",
    "metrics-not-written": "{file} could not be written: {why}",
    "ping-failed": "The service at ping_url could not be told of the {ping}: {why}",
    "settings": "{message}",
}

_DETAILS: Final = frozenset(("feed-asked", "range-applied", "range-halved"))
"""Of level info, but for a person they are what a bar shows, or the line that closes the pass."""

_COUNTED: Final = {"changes": "change", "records": "record"}


def sentence(level: str, event: str, fields: Mapping[str, Any], *, verbose: bool) -> str | None:
    """None for what a person is not told: a good end of a pass has a line of its own."""
    if level == "info" and (event == "pass-ended" or (event in _DETAILS and not verbose)):
        return None
    told = {
        name: _in_words(name, value)
        for name, value in fields.items()
        if value is not None and not (name == "hint" and level == "warning")
    }
    said = _SENTENCES[event].format_map(_Known(told)) if event in _SENTENCES else _plain(event, told)
    before = "" if level in ("debug", "info") else f"{level}: "
    return f"{before}{said}{'' if said.endswith(('.', '!', '?')) else '.'}"


class _Known(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"


def _plain(event: str, told: dict[str, str]) -> str:
    consumer = told.pop("consumer", None)
    rest = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())
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
            return harmless(str(value))
