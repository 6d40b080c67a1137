"""The manifest of packaged snapshots: for each file, whose snapshot it is and at which offset."""

import codecs
from collections.abc import Mapping
from typing import Final

import msgspec

from ctisync.core.json_text import decode, duplicate_key
from ctisync.core.links import parse_consumer_url
from ctisync.core.model import MAX_OFFSET, Consumer, Json
from ctisync.core.wire import kind_of

OFFSETS: Final = ("local_offset", "remote_offset")
"""The fields with the offset of a snapshot: the first that is there (API fact: packages may omit the first).
"""


class WrongManifest(ValueError):
    """The text says what is wrong, and with the entry of which file."""


class Packaged(msgspec.Struct, frozen=True):
    """The entry of one file: its consumer, and the offset up to which it has the changes."""

    context: str
    name: str
    offset: int

    def is_of(self, consumer: Consumer) -> bool:
        return (self.context, self.name) == (consumer.context, consumer.name)

    def __str__(self) -> str:
        return f"{self.context}/{self.name}"


def manifest_entries(text: bytes) -> dict[str, Json]:
    """The entries of a manifest by file name, unchecked. Raises WrongManifest if it is no JSON object, or has
    a key twice: a file would have two offsets."""
    text = text.removeprefix(codecs.BOM_UTF8)
    try:
        entries = decode(text)
    except ValueError as error:
        raise WrongManifest(f"it is not JSON: {error}") from None
    if (key := duplicate_key(text)) is not None:
        raise WrongManifest(f"{key} is in it twice")
    if not isinstance(entries, dict):
        raise WrongManifest(f"it is {kind_of(entries)}, not an object")
    return entries


def is_manifest(entries: Mapping[str, Json]) -> bool:
    """Whether any entry looks like one of a snapshot: other programs write files of that name, too."""
    return any(
        isinstance(entry, dict)
        and (not entry.keys().isdisjoint(OFFSETS) or entry.keys() >= {"context", "name", "resource"})
        for entry in entries.values()
    )


def owner(entry: Mapping[str, Json]) -> tuple[Json, Json]:
    """Context and name of an entry's consumer, unchecked: those in the address in `resource`, if it is one of
    a consumer. `name` may be that of a plan's feature (API fact)."""
    if (address := parse_consumer_url(entry.get("resource"))) is not None:
        return address.context, address.consumer
    return entry.get("context"), entry.get("name")


def packaged(entries: Mapping[str, Json], file: str) -> Packaged:
    """The entry of a file. Raises WrongManifest, which names it."""
    entry = entries[file]
    if not isinstance(entry, dict):
        raise WrongManifest(f"{file}: its entry is {kind_of(entry)}, not an object")
    context, name = owner(entry)
    for field, value in (("context", context), ("name", name)):
        if not isinstance(value, str) or not value:
            raise WrongManifest(
                f"{file}: {field} is {kind_of(value) if value != '' else 'empty'}, not a name"
            )
    return Packaged(context, name, _offset(entry, file))


def _offset(entry: Mapping[str, Json], file: str) -> int:
    field = next((each for each in OFFSETS if entry.get(each) is not None), None)
    if field is None:
        raise WrongManifest(f"{file}: {' and '.join(OFFSETS)} are absent")
    offset = entry[field]
    if not isinstance(offset, int) or isinstance(offset, bool):
        raise WrongManifest(f"{file}: {field} is {kind_of(offset)}, not an integer")
    if not 0 <= offset <= MAX_OFFSET:
        raise WrongManifest(f"{file}: {field} {offset} is out of range")
    return offset
