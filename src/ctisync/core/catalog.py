"""What Wazuh says of its consumers.

The manifest of packaged snapshots has for each file whose snapshot it is, and at which offset. A plan of the
console has consumers, which settings can follow.
"""

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from ctisync.core.json_text import decode, duplicate_key
from ctisync.core.links import Address, parse_consumer_url
from ctisync.core.model import MAX_OFFSET, Consumer, Json
from ctisync.core.wire import kind_of
from ctisync.errors import FeedRefused
from ctisync.escaping import one_line, to_json

_NOT_IN_A_NAME: Final = re.compile("[^a-z0-9]+")

_OFFSETS: Final = ("local_offset", "remote_offset")
"""The fields with the offset of a snapshot: the first that is there (API fact: packages may omit the first).
"""

_ENTRY: Final = {"context", "name", "resource"}
"""Further fields of an entry, which no other program's manifest has together."""


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
        entries, key = decode(text), duplicate_key(text)
    except (ValueError, RecursionError) as error:
        raise WrongManifest(f"it is not JSON: {error}") from None
    if key is not None:
        raise WrongManifest(f"{key} is in it twice")
    if not isinstance(entries, dict):
        raise WrongManifest(f"it is {kind_of(entries)}, not an object")
    return entries


def mentions_snapshots(text: bytes) -> bool:
    """Whether a manifest, which may be damaged, seems to have entries of snapshots: other programs write
    files of that name, too. An entry may have lost its offset."""
    if any(f'"{field}"'.encode() in text for field in _OFFSETS):
        return True
    with suppress(WrongManifest):
        entries = manifest_entries(text).values()
        return any(isinstance(each, dict) and each.keys() >= _ENTRY for each in entries)
    return False


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
            kind = "empty" if value == "" else kind_of(value)
            raise WrongManifest(f"{file}: {field} is {kind}, not a name")
    return Packaged(context, name, _offset(entry, file))


def _offset(entry: Mapping[str, Json], file: str) -> int:
    field = next((each for each in _OFFSETS if entry.get(each) is not None), None)
    if field is None:
        raise WrongManifest(f"{file}: {' and '.join(_OFFSETS)} are absent")
    offset = entry[field]
    if not isinstance(offset, int) or isinstance(offset, bool):
        raise WrongManifest(f"{file}: {field} is {kind_of(offset)}, not an integer")
    if not 0 <= offset <= MAX_OFFSET:
        raise WrongManifest(f"{file}: {field} {offset} is out of range")
    return offset


class Feature(msgspec.Struct, frozen=True):
    """A part of a plan. `address`: of the consumer, if it is one."""

    name: str
    type: str
    url: str
    address: Address | None


class Plan(msgspec.Struct, frozen=True):
    """`is_own`: whether it is that of the environment of the token. `is_public`: None if it is not known."""

    name: str
    is_public: bool | None
    is_own: bool
    features: tuple[Feature, ...]


def plans_in(document: Json, *, own: bool) -> list[Plan]:
    """The plans of a reply. They are in `plans`, which may be in `data`; unknown fields are ignored.

    Raises FeedRefused if there are none to be read.
    """
    whole = document if isinstance(document, dict) else {}
    inner = whole.get("data")
    plans = whole.get("plans", inner.get("plans") if isinstance(inner, dict) else inner)
    if not isinstance(plans, list):
        raise FeedRefused("the reply of the console has no list of plans")
    return [
        Plan(
            name=_text(each.get("name")),
            is_public=is_public if isinstance(is_public := each.get("is_public"), bool) else None,
            is_own=own,
            features=tuple(_features(each.get("features", each.get("products")))),
        )
        for each in plans
        if isinstance(each, dict)
    ]


def _features(features: Json) -> Iterator[Feature]:
    for each in features if isinstance(features, list) else ():
        if isinstance(each, dict):
            url = _text(each.get("resource"))
            yield Feature(_text(each.get("name")), _text(each.get("type")), url, parse_consumer_url(url))


def as_toml(plans: Sequence[Plan], base_url: str) -> str:
    """The plans as settings. Only the lines of one plan are no comments: the environment's own one, or else
    the first public one. `base_url`: `cti.url` as it is set."""
    chosen = next((each for each in plans if each.is_own), None)
    chosen = chosen or next((each for each in plans if each.is_public), None)
    blocks = []
    for plan in plans:
        kinds = ("of your environment" if plan.is_own else "", "public" if plan.is_public else "")
        kind = ", ".join(filter(None, kinds)) or "not public"
        rows = [f"# {plan.name or 'a plan without a name'} ({kind})"]
        consumers = [each for each in plan.features if each.address is not None]
        bases = {each.address.base for each in consumers if each.address is not None}
        rows += [f"# needs cti.url = {to_json(base)}" for base in sorted(bases - {base_url.rstrip("/")})]
        mark = "" if plan is chosen else "#"
        for number, feature in enumerate(consumers):
            if number:
                rows.append("")
            url, index = to_json(feature.url), to_json(_index(feature))
            lines = ("[[consumers]]", f"consumer_url = {url}", f"index = {index}")
            rows += [f"# {feature.name or feature.type}", *(mark + line for line in lines)]
        if not consumers:
            rows.append("# no consumers")
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


def _index(feature: Feature) -> str:
    """A name for the content: by the kind of the consumer, else by its own name."""
    assert feature.address is not None
    kind = feature.type.rpartition(":")[2] or feature.address.consumer
    return f"wazuh-{_NOT_IN_A_NAME.sub('-', kind.lower()).strip('-')}-5"


def _text(value: Json) -> str:
    return one_line(value) if isinstance(value, str) else ""
