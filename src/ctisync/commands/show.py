"""`show`: one record, for people or as it is."""

import textwrap
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

import msgspec

from ctisync.commands.hidden import tell_hidden
from ctisync.core.advisory import Advisory, advisory
from ctisync.core.model import Consumer
from ctisync.errors import UsageError
from ctisync.harmless import harmless, quoted
from ctisync.ports import Clock, Inspection, Log
from ctisync.settings import Settings
from ctisync.stores.invariants import no_content
from ctisync.wiring import opened_store

_WIDTH: Final = 100
_MOST_ROWS: Final = 20
"""Of what is affected, and of references; a kernel's CVE has hundreds."""

_NEAR: Final = 3
_LOOKED_AT: Final = 10


def find(
    settings: Settings, consumer: Consumer, names: Sequence[str], clock: Clock, log: Log
) -> tuple[list[bytes], UsageError | None]:
    """The records' lines, and what to tell of those that are not there, with the nearest names.

    Raises EmptyStore without a content.
    """
    meant = {name: spellings(name) for name in names}
    with opened_store(settings, clock) as store, store.inspect(consumer) as seen:
        if seen.count() is None:
            raise no_content(store.name, consumer, seen.state)
        tell_hidden(store, consumer, log)
        held = seen.lookup({each for spelled in meant.values() for each in spelled})
        found = {name: next((each for each in meant[name] if each in held), None) for name in meant}
        lines = [held[each].line for each in found.values() if each is not None]
        missing = [name for name, each in found.items() if each is None]
        hint = nearest(missing[0], seen) if missing else None
    said = f"{consumer} has no record {', nor '.join(missing)}"
    return lines, UsageError(said, hint=hint) if missing else None


def spellings(name: str) -> tuple[str, ...]:
    """What a person may have meant by it: other letters, a name without its `CVE-`. Raises UsageError for
    bytes of the command line that are not UTF-8, which a store could not look up."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} is no text, and so no name of a record") from None
    return tuple(dict.fromkeys((name, name.upper(), f"CVE-{name.upper()}")))


def nearest(name: str, seen: Inspection) -> str | None:
    """A hint with some of the names that stand beside it; the most alike first."""
    found = dict.fromkeys(near for each in spellings(name) for near in seen.neighbours(each, _LOOKED_AT))
    near = sorted(found, key=lambda each: -SequenceMatcher(None, name.upper(), each).ratio())[:_NEAR]
    return f"the nearest are {', '.join(map(quoted, near))}" if near else None


def as_json(line: bytes) -> str:
    """The record as it is stored, numbers digit by digit, in lines for people."""
    return msgspec.json.format(line).decode()


def as_text(line: bytes) -> str:
    """What a person wants to know first."""
    record = advisory(line)
    head = [f"{record.name}   offset {record.offset:,}"]
    if record.version is not None:
        head.append(f"version {record.version}")
    if record.inserted_at:
        head.append(f"in the feed since {record.inserted_at[:10]}")
    rows = [row for label, texts in _labelled(record) for row in _rows(label, texts)]
    return "\n".join(map(harmless, [", ".join(head), *rows]))


def _labelled(record: Advisory) -> list[tuple[str, tuple[str, ...]]]:
    dates = [
        f"{word} {date[:10]}"
        for word, date in (("published", record.published), ("updated", record.updated))
        if date
    ]
    found = [
        ("title", (record.title,)),
        ("state", (", ".join([record.state, *dates]).removeprefix(", "),)),
        ("severity", record.severities),
        ("weakness", record.weaknesses),
        ("description", (record.description,)),
        ("affected", _not_too_many(record.affected, record.name)),
        ("references", _not_too_many(record.references, record.name)),
    ]
    if not any(any(texts) for _, texts in found):
        found = [
            ("holds", (", ".join(record.members),)),
            ("all of it", (f"ctisync show {quoted(record.name)} --json",)),
        ]
    return found


def _not_too_many(texts: tuple[str, ...], name: str) -> tuple[str, ...]:
    if len(texts) <= _MOST_ROWS:
        return texts
    return (*texts[:_MOST_ROWS], f"and {len(texts) - _MOST_ROWS} more: ctisync show {quoted(name)} --json")


def _rows(label: str, texts: tuple[str, ...]) -> list[str]:
    """Each text below the other, behind the label of the first."""
    lines = [
        line
        for text in texts
        for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    ]
    return [f"  {label if number == 0 else '':<11}  {line}" for number, line in enumerate(lines)]
