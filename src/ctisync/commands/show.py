"""`show`: records, as text or as stored."""

import textwrap
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from difflib import SequenceMatcher
from typing import Final, NamedTuple

import msgspec

from ctisync.cli.invocation import Invocation
from ctisync.core import wire
from ctisync.core.advisory import Advisory, advisory
from ctisync.core.model import Consumer
from ctisync.core.words import noun_for
from ctisync.errors import UsageError
from ctisync.escaping import escape, quoted
from ctisync.ports import Inspection
from ctisync.stores.invariants import no_content
from ctisync.wiring import opened_store

_WIDTH: Final = 100
_MOST_ROWS: Final = 20
"""Rows of affected products, of references and of fields; a CVE of the Linux kernel has hundreds."""

_LABEL: Final = 11
"""Characters of a label, at least."""
_LONGEST_LABEL: Final = 40

_NEAR: Final = 3
_LOOKED_AT: Final = 10


class Shown(NamedTuple):
    """The line of a record, and the consumer that it is of."""

    consumer: Consumer
    line: bytes


def find(invocation: Invocation, names: Sequence[str]) -> tuple[list[Shown], UsageError | None]:
    """These records, of each consumer that has them, and an error that names the missing ones, with the
    nearest names.

    Raises EmptyStore if no consumer has a content.
    """
    meant = {name: spellings(name) for name in names}
    with opened_store(invocation.settings, invocation.clock) as store, ExitStack() as opened:
        filled: dict[Consumer, Inspection] = {}
        for consumer in invocation.consumers:
            seen = opened.enter_context(store.inspect(consumer))
            if seen.count() is not None:
                invocation.warn_of_hidden(seen.hidden(), consumer)
                filled[consumer] = seen
            elif consumer == invocation.consumers[-1] and not filled:
                raise no_content(store.name, consumer, seen.state)
        found: dict[str, list[Shown]] = {name: [] for name in meant}
        for consumer, seen in filled.items():
            held = seen.lookup({each for spelled in meant.values() for each in spelled})
            for name, spelled in meant.items():
                found[name] += [Shown(consumer, held[each].line) for each in spelled if each in held][:1]
        missing = [name for name, each in found.items() if not each]
        hint = nearest(missing[0], *filled.values()) if missing else None
    whose, has = " and ".join(map(str, filled)), "has" if len(filled) == 1 else "have"
    said = f"{whose} {has} no {noun_for(len(missing), 'record')} {', '.join(missing)}"
    shown = [one for each in found.values() for one in each]
    return shown, UsageError(said, hint=hint) if missing else None


def spellings(name: str) -> tuple[str, ...]:
    """The names that `name` may stand for: in upper case, or without its `CVE-`. Raises UsageError for a
    name that is not UTF-8: a store cannot look it up."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} is not a valid record name") from None
    return tuple(dict.fromkeys((name, name.upper(), f"CVE-{name.upper()}")))


def nearest(name: str, *contents: Inspection) -> str | None:
    """A hint with some of the names that sort next to it; the most similar first."""
    found = dict.fromkeys(
        near for seen in contents for each in spellings(name) for near in seen.neighbours(each, _LOOKED_AT)
    )
    near = sorted(found, key=lambda each: -SequenceMatcher(None, name.upper(), each.upper()).ratio())[:_NEAR]
    return f"the nearest are {', '.join(map(quoted, near))}" if near else None


def as_json(line: bytes) -> str:
    """The stored record, indented; numbers keep their exact digits."""
    return msgspec.json.format(line).decode()


def as_text(line: bytes, hint: Callable[[str], str] = str, of: Consumer | None = None) -> str:
    """The main facts of the record; `hint` formats the command that shows all of it. `of`: its consumer, to
    be named."""
    try:
        record = advisory(line)
    except ValueError:  # a number beyond all bounds, which a load does not decode
        whole = wire.record(line)
        command = hint(_command(whole.name))
        return f"{escape(whole.name)}   offset {whole.offset:,}\n  full record  {escape(command)}"
    command = hint(_command(record.name))
    head = [f"{record.name}   offset {record.offset:,}"]
    if of is not None:
        head.append(f"of {of}")
    if record.version is not None:
        head.append(f"version {record.version}")
    if record.inserted_at:
        head.append(f"in the feed since {record.inserted_at[:10]}")
    labelled = _labelled(record, command)
    width = max(_LABEL, *(len(label) for label, _ in labelled))
    rows = [row for label, texts in labelled for row in _rows(label, texts, width)]
    return "\n".join(map(escape, [", ".join(head), *rows]))


def _labelled(record: Advisory, whole: str) -> list[tuple[str, tuple[str, ...]]]:
    dates = [
        f"{word} {date[:10]}"
        for word, date in (("published", record.published), ("updated", record.updated))
        if date
    ]
    found = [
        ("type", (record.kind,)),
        ("title", (record.title,)),
        ("state", (", ".join([record.state, *dates]).removeprefix(", "),)),
        ("severity", record.severities),
        ("weakness", record.weaknesses),
        ("description", (record.description,)),
        ("affected", _not_too_many(record.affected, whole)),
        ("references", _not_too_many(record.references, whole)),
    ]
    found += [(name[:_LONGEST_LABEL], (text,)) for name, text in record.facts[:_MOST_ROWS]]
    if len(record.facts) > _MOST_ROWS:
        found.append(("more fields", (whole,)))
    if not any(any(texts) for _, texts in found):
        found = [("fields", (", ".join(record.members),)), ("full record", (whole,))]
    return found


def _command(name: str) -> str:
    """Shows the whole record."""
    word = quoted(name)
    return f"ctisync show --json -- {word}" if name.startswith("-") else f"ctisync show {word} --json"


def _not_too_many(texts: tuple[str, ...], whole: str) -> tuple[str, ...]:
    if len(texts) <= _MOST_ROWS:
        return texts
    return (*texts[:_MOST_ROWS], f"and {len(texts) - _MOST_ROWS} more: {whole}")


def _rows(label: str, texts: tuple[str, ...], width: int) -> list[str]:
    """Each text on its own line; the first line has the label."""
    lines = [
        line
        for text in texts
        for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    ]
    return [f"  {label if number == 0 else '':<{width}}  {line}" for number, line in enumerate(lines)]
