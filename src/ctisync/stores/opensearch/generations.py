"""Generations: the indices that hold contents, and the aliases that decide who reaches which.

Readers reach the live generation through the consumer's alias (`wazuh-cve`); whoever holds the lease
reaches a generation only through a *fence*, an alias of his own token. Taking over removes all other
fences, and a change of aliases asserts one's own, so nothing that a former holder sends has an effect.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from ctisync.core.model import Consumer, Snapshot
from ctisync.errors import AnotherPass, ConfigurationError, ForeignIndex, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.curl import SYNC
from ctisync.stores.opensearch.hidden import check_nothing_hidden
from ctisync.stores.opensearch.index_templates import alters, mended
from ctisync.stores.opensearch.indices import put_index, to_mend

AliasAction = dict[str, dict[str, Any]]
"""One action of an `_aliases` call."""

_META_SCHEMA: Final = 1
_FACTS: Final = "flat_settings=true&filter_path=*.aliases,*.mappings._meta,*.settings"
_WHATEVER_THERE_IS: Final = "ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all"

_REFRESH: Final = 5.0
"""Seconds that a reader waits for one."""

_PREFIXES: Final = ("", "of-")
"""Of a generation's name: the second where the alias's name would be a beginning of it."""

_UNDER_WAY: Final = (0.1, 0.2, 0.4)
"""Seconds before a generation that isn't there, but was asked for, is looked for again."""

_NOT_INDEXED: Final = {"type": "object", "enabled": False}
MAPPING: Final[dict[str, Any]] = {
    "dynamic": False,
    "properties": {
        # Readers page by these two, and `export` sorts by name.
        "name": {"type": "keyword"},
        "offset": {"type": "long"},
        # Any value at all fits: no record fails on a field that nobody searches by.
        "version": _NOT_INDEXED,
        "inserted_at": _NOT_INDEXED,
        "payload": _NOT_INDEXED,
    },
}


class Layout(NamedTuple):
    """How a generation is laid out on the nodes, and packed there (`index.codec`)."""

    shards: int = 1
    replicas: int = 0
    codec: str = "default"


ONE_SHARD: Final = Layout()


class Generation(msgspec.Struct, frozen=True):
    """An index of ours: its name, every alias that points at it, and its settings by their flat names."""

    name: str
    aliases: frozenset[str]
    settings: dict[str, Any]


class Inventory(msgspec.Struct, frozen=True):
    """The consumer's generations by name, and which of them its alias points at."""

    live: str | None
    generations: dict[str, Generation]


class _Index(msgspec.Struct, frozen=True):
    aliases: dict[str, Any] = {}
    mappings: dict[str, Any] = {}
    settings: dict[str, Any] = {}


class _Acknowledged(msgspec.Struct, frozen=True):
    acknowledged: bool


_indices_decoder: Final = msgspec.json.Decoder(dict[str, _Index])
_acknowledged_decoder: Final = msgspec.json.Decoder(_Acknowledged)


class Generations:
    """The generations of one consumer."""

    def __init__(
        self,
        client: Client,
        consumer: Consumer,
        clock: Clock,
        layout: Layout = ONE_SHARD,
        stored: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`stored`: the name of the generation that the state speaks of, if it can be read."""
        self._client = client
        self._stored = stored
        self._consumer = consumer
        self._clock = clock
        self._layout = layout
        pair = f"{consumer.context}\n{consumer.name}".encode()
        self._key = hashlib.sha256(pair).hexdigest()[:12]
        readable = re.sub(r"[^a-z0-9]+", "-", consumer.index.lower()).strip("-")[:60] or "content"
        stem = f"ctisync-{readable}-{self._key}-"
        # No template that was made for the alias's name may apply to what lies behind it.
        self._prefix = _PREFIXES[stem.startswith(consumer.index)]
        self._stem = f"{self._prefix}{stem}"

    def inventory(self) -> Inventory:
        """Raises ForeignIndex when what stands under the alias's name isn't a generation of ours."""
        alias = self._consumer.index
        found = _found(self._client, f"{self._prefix}ctisync-*-{self._key}-*,{alias}")
        pointed_at = [name for name, index in found.items() if alias in index.aliases or name == alias]
        ours = self._ours(found)
        if alias in found:
            raise self._taken()
        if len(pointed_at) > 1 or not ours.keys() >= set(pointed_at):
            raise self._misled(pointed_at, ours)
        return Inventory(live=pointed_at[0] if pointed_at else None, generations=ours)

    def own(self) -> dict[str, Generation]:
        """All generations of the consumer by name, whatever its alias is and whatever stands under that."""
        return self._ours(
            _found(self._client, ",".join(f"{each}ctisync-*-{self._key}-*" for each in _PREFIXES))
        )

    def new_name(self) -> str:
        """A name for one generation, used once; it never begins with the alias's name."""
        return f"{self._stem}{self._clock.now():%Y%m%d%H%M%S}-{secrets.token_hex(4)}"

    def create(self, name: str, snapshot: Snapshot, fence: str) -> None:
        """A new, empty generation that is reached through `fence`.

        Raises ConfigurationError when an index template stands in the way, AccessRefused when something of it
        is hidden from us, AnotherPass when somebody has taken over just now.
        """
        meta = {
            "schema": _META_SCHEMA,
            "context": self._consumer.context,
            "consumer": self._consumer.name,
            "snapshot_offset": snapshot.offset,
            "snapshot_link": snapshot.link,
        }
        body = {
            "aliases": {fence: {}},
            "mappings": MAPPING | {"_meta": {"ctisync": meta}},
        }
        reply = put_index(self._client, name, body, self._loading_settings())
        # Sent again after a lost reply, the request finds what it has made.
        if reply.status == 400 and reply.problem.type != "resource_already_exists_exception":
            raise ConfigurationError(
                f"index {name} cannot be created: {reply.problem}", hint=mended(self._client, name)
            )
        check_nothing_hidden(self._client, name)  # a field that is hidden is not in the mapping either
        self._check_inheritance(name, fence)

    def drop_begun(self, name: str) -> None:
        """Remove a generation whose creation may be under way: a signal came before the reply did."""
        for pause in (*_UNDER_WAY, None):
            if self.change_aliases([dropped(name)]) or pause is None:
                return
            self._clock.sleep(pause)

    def change_aliases(self, actions: Sequence[AliasAction]) -> bool:
        """All or none of the actions; False when something that they assert is not so (any more).

        False may also follow what was done: of a request that was sent twice, or that not every node
        has acknowledged in time. So look, and do what is left to do.
        """
        if not actions:
            return True
        about = [what for each in actions for what in each.values()]
        named = {what["index"] for what in about} | {what["alias"] for what in about if "alias" in what}
        reply = self._client.call("POST", path("_aliases"), {"actions": actions}, allow={404}, on=named)
        return reply.status != 404 and self._client.read(reply, _acknowledged_decoder).acknowledged

    def configure_for_reading(self, fence: str) -> bool:
        """From loading to being read: refresh and replicas as configured; False without the fence."""
        settings = {"index": {"refresh_interval": None, "number_of_replicas": self._layout.replicas}}
        return self._client.call("PUT", path(fence, "_settings"), settings, allow={404}).status != 404

    def show_all(self, generation: str) -> None:
        """Have searches find all that is confirmed. A reader without the right finds it a second later; an
        index that is not whole has a search say so, which would else wait for it."""
        with suppress(StoreUnavailable):
            self._client.call("POST", path(generation, "_refresh"), allow={403, 404}, within=_REFRESH)

    def mend(self, generation: Generation, fence: str) -> None:
        """Give a generation of an earlier version what ours have by which nothing confirmed is lost."""
        if wrong := to_mend(generation.settings):
            self._client.call("PUT", path(fence, "_settings"), wrong, allow={404})

    def new_fence(self, token: str, number: int) -> str:
        return f"{self._fences()}{token}-{number}"

    def fences(self, generation: Generation) -> list[str]:
        return sorted(alias for alias in generation.aliases if alias.startswith(self._fences()))

    def is_read(self, generation: Generation) -> bool:
        """Whether it has an alias that is no writer's."""
        return bool(self.read_as(generation))

    def read_as(self, generation: Generation) -> frozenset[str]:
        """Its aliases that are no writer's."""
        return generation.aliases.difference(self.fences(generation))

    def _fences(self) -> str:
        return f"ctisync-w-{self._key}-"

    def _loading_settings(self) -> dict[str, object]:
        return {
            "number_of_shards": self._layout.shards,
            "number_of_replicas": 0,
            "refresh_interval": "-1",
            "codec": self._layout.codec,
        }

    def _ours(self, found: dict[str, _Index]) -> dict[str, Generation]:
        wanted = (self._consumer.context, self._consumer.name)
        return {
            name: Generation(name, frozenset(index.aliases), index.settings)
            for name, index in found.items()
            if _marked_for(index) == wanted
        }

    def _check_inheritance(self, name: str, fence: str) -> None:
        """A template for all indices may have added an alias or altered the mapping: then it's refused."""
        reply = self._client.call("GET", path(name), allow={404})
        if reply.status == 404:  # whoever takes over drops what he finds half loaded
            raise AnotherPass("another pass has taken over; the content that this one had begun is gone")
        found = self._client.read(reply, _indices_decoder)[name]
        strange = sorted(found.aliases.keys() - {fence})
        if not strange and not alters(found.mappings, MAPPING):
            return
        hint = mended(self._client, name)
        self.change_aliases([{"remove_index": {"index": name}}])
        what = f"the alias {', '.join(strange)}" if strange else "another mapping"
        raise ConfigurationError(
            f"an index template gives new indices like {name} {what}; "
            "content would be altered, or seen half loaded",
            hint=hint,
        )

    def _taken(self) -> ForeignIndex:
        alias = self._consumer.index
        return ForeignIndex(
            f"{alias} is an index, and ctisync needs that name for an alias; it is left untouched",
            hint="set consumers[].index to another name, or remove what is there: "
            f"{self._client.curl.mends('DELETE', path(alias))}{SYNC}",
        )

    def _misled(self, pointed_at: Sequence[str], ours: Collection[str]) -> ForeignIndex:
        """The alias goes back to the generation that the state speaks of; else to the newest that it has."""
        alias, strange = self._consumer.index, sorted(set(pointed_at) - set(ours))
        right = self._stored()
        if right not in ours:
            right = max(set(pointed_at) & set(ours), default=None)
        actions = [removed(each, alias) for each in sorted(pointed_at) if each != right]
        if right is not None and right not in pointed_at:
            actions.append(added(right, alias))
        typed = self._client.curl.mends("POST", "/_aliases", {"actions": actions}) + SYNC
        if not strange:
            told = f"alias {alias} points at {len(pointed_at)} generations: {', '.join(sorted(pointed_at))}"
            return ForeignIndex(f"{told}; readers find records more than once", hint=typed)
        return ForeignIndex(
            f"alias {alias} points at what is not ctisync's: {', '.join(strange)}; it is left untouched",
            hint=f"set consumers[].index to another name, or give the alias back to ctisync: {typed}",
        )


def consumers(client: Client) -> list[Consumer]:
    """Those that have a generation, live or not, in the order of their names."""
    found = _found(client, ",".join(f"{each}ctisync-*" for each in _PREFIXES))
    marks = {mark for index in found.values() if (mark := _marked_for(index)) is not None}
    return [Consumer(*names) for names in sorted(marks)]


def _found(client: Client, names: str) -> dict[str, _Index]:
    target = path(names, query=f"{_WHATEVER_THERE_IS}&{_FACTS}")
    return client.read(client.call("GET", target), _indices_decoder)


def _marked_for(index: _Index) -> tuple[str, str] | None:
    """Context and name of the consumer whose generation it is; None for what is no generation."""
    meta = index.mappings.get("_meta")
    mark = meta.get("ctisync") if isinstance(meta, dict) else None
    if not isinstance(mark, dict):
        return None
    context, name = mark.get("context"), mark.get("consumer")
    return (context, name) if isinstance(context, str) and isinstance(name, str) else None


def asserted(generation: str, alias: str) -> list[AliasAction]:
    """Actions that do nothing but fail when the alias doesn't point at the generation."""
    return [
        {"remove": {"index": generation, "alias": alias, "must_exist": True}},
        {"add": {"index": generation, "alias": alias}},
    ]


def removed(generation: str, alias: str) -> AliasAction:
    return {"remove": {"index": generation, "alias": alias, "must_exist": True}}


def added(generation: str, alias: str) -> AliasAction:
    return {"add": {"index": generation, "alias": alias}}


def dropped(generation: str) -> AliasAction:
    return {"remove_index": {"index": generation}}
