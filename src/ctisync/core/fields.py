"""The fields of a document of any kind, as names and texts."""

from collections.abc import Iterator
from typing import Final

from ctisync.core.model import Json
from ctisync.core.words import counted

_DEEPEST: Final = 4
"""Levels of a document whose fields are listed one by one."""

_LONGEST_TEXT: Final = 1000
"""Characters of a field's text: some are whole programs."""


def fields_of(
    document: dict[str, Json], prefix: str = "", levels: int = _DEEPEST
) -> Iterator[tuple[str, str]]:
    """Names and values, in the order of the record; a field of more than `levels` levels is counted."""
    for key, value in document.items():
        name = prefix + " ".join(key.split())
        if isinstance(value, dict) and levels > 1:
            yield from fields_of(value, f"{name}.", levels - 1)
        elif text := _value(value):
            yield name, text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def _value(value: Json) -> str:
    """A value in one line. Of objects and arrays within it, only their number."""
    match value:
        case list() if not any(isinstance(each, list | dict) for each in value):
            return ", ".join(filter(None, map(_value, value)))
        case list():
            return counted(len(value), "entry", "entries")
        case dict():
            return counted(len(value), "field") if value else ""
        case bool():
            return str(value).lower()
        case str() | None:
            return one_line(value)
        case _:
            return str(value)


def one_line(value: Json) -> str:
    """The text on one line; empty for other values."""
    return " ".join(value.split()) if isinstance(value, str) else ""
