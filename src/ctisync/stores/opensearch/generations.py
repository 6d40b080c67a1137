"""Generations: the indices that hold contents, and the aliases through which readers and writers reach them.

Readers reach the live generation through the consumer's alias (`wazuh-cve`). The lease's holder reaches a
generation only through a *fence*, an alias that contains its token. A take-over removes all other fences, and
each change of aliases asserts the holder's own fence. So requests of a former holder have no effect.
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
"""Seconds that a reader waits for a refresh."""

_PREFIXES: Final = ("", "of-")
"""Of a generation's name: the second if the name would otherwise begin with the alias's name."""

_UNDER_WAY: Final = (0.1, 0.2, 0.4)
"""Seconds before a generation that was requested, but is not there, is looked for again."""

_NOT_INDEXED: Final = {"type": "object", "enabled": False}
MAPPING: Final[dict[str, Any]] = {
    "dynamic": False,
    "properties": {
        # Readers page by these three, and `export` sorts by the one that names a record.
        "name": {"type": "keyword"},
        "resource": {"type": "keyword"},
        "offset": {"type": "long"},
        # Any value fits: no record fails on a field that no reader searches by.
        "version": _NOT_INDEXED,
        "inserted_at": _NOT_INDEXED,
        "payload": _NOT_INDEXED,
    },
}


NEW_FIELDS: Final = frozenset({"resource"})
"""The fields that indices of earlier versions do not know."""


class Layout(NamedTuple):
    """The shards and replicas of a generation, and its compression (`index.codec`)."""

    shards: int = 1
    replicas: int = 0
    codec: str = "default"


ONE_SHARD: Final = Layout()


class Generation(msgspec.Struct, frozen=True):
    """A generation's index: its name, all aliases that point at it, and its settings by their flat names."""

    name: str
    aliases: frozenset[str]
    settings: dict[str, Any]


class Occupant(NamedTuple):
    """The live generation of another consumer (`context/name`) under our alias."""

    generation: str
    consumer: str


class Inventory(msgspec.Struct, frozen=True):
    """The consumer's generations by name, and which of them its alias points at; or the other consumer's that
    it points at."""

    live: str | None
    generations: dict[str, Generation]
    occupant: Occupant | None = None


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
        """`stored`: returns the name of the generation in the state, None if it cannot be read."""
        self._client = client
        self._stored = stored
        self._consumer = consumer
        self._clock = clock
        self._layout = layout
        pair = f"{consumer.context}\n{consumer.name}".encode()
        self._key = hashlib.sha256(pair).hexdigest()[:12]
        readable = re.sub(r"[^a-z0-9]+", "-", consumer.index.lower()).strip("-")[:60] or "content"
        stem = f"ctisync-{readable}-{self._key}-"
        # A template that fits the alias's name must not apply to the generations.
        self._prefix = _PREFIXES[stem.startswith(consumer.index)]
        self._stem = f"{self._prefix}{stem}"

    def inventory(self) -> Inventory:
        """The consumer's generations. Raises ForeignIndex if an index has the alias's name, or the alias
        points at another program's index or at several generations."""
        alias = self._consumer.index
        found = _found(self._client, f"{self._prefix}ctisync-*-{self._key}-*,{alias}")
        pointed_at = [name for name, index in found.items() if alias in index.aliases or name == alias]
        ours = self._ours(found)
        if alias in found:
            raise self._taken()
        if len(pointed_at) == 1 and pointed_at[0] not in ours:
            [name] = pointed_at
            if (marked := _marked_for(found[name])) is not None:
                return Inventory(None, ours, Occupant(name, str(Consumer(*marked))))
        if len(pointed_at) > 1 or not ours.keys() >= set(pointed_at):
            raise self._misled(pointed_at, ours)
        return Inventory(live=pointed_at[0] if pointed_at else None, generations=ours)

    def own(self) -> dict[str, Generation]:
        """All generations of the consumer by name, whatever its alias points at."""
        return self._ours(
            _found(self._client, ",".join(f"{each}ctisync-*-{self._key}-*" for each in _PREFIXES))
        )

    def new_name(self) -> str:
        """A new name for one generation. It never begins with the alias's name."""
        return f"{self._stem}{self._clock.now():%Y%m%d%H%M%S}-{secrets.token_hex(4)}"

    def create(self, name: str, snapshot: Snapshot, fence: str) -> None:
        """Create an empty generation that is reached through `fence`.

        Raises ConfigurationError if an index template would alter it, AccessRefused if a role hides a part of
        it, AnotherPass if another pass has taken over meanwhile.
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
        # A request that is sent again after a lost reply finds the index that it has created.
        if reply.status == 400 and reply.problem.type != "resource_already_exists_exception":
            raise ConfigurationError(
                f"index {name} cannot be created: {reply.problem}", hint=mended(self._client, name)
            )
        check_nothing_hidden(self._client, name)  # a hidden field is missing from the mapping, too
        self._check_inheritance(name, fence)

    def drop_begun(self, name: str) -> None:
        """Remove a generation that may still be being created: a signal came before the reply."""
        for pause in (*_UNDER_WAY, None):
            if self.change_aliases([dropped(name)]) or pause is None:
                return
            self._clock.sleep(pause)

    def change_aliases(self, actions: Sequence[AliasAction]) -> bool:
        """Do all of the actions or none. Returns False if an assertion among them does not hold.

        False is also possible after success: if the request was sent twice, or not every node acknowledged it
        in time. So read the aliases again, and do what is left.
        """
        if not actions:
            return True
        about = [what for each in actions for what in each.values()]
        named = {what["index"] for what in about} | {what["alias"] for what in about if "alias" in what}
        reply = self._client.call("POST", path("_aliases"), {"actions": actions}, allow={404}, on=named)
        return reply.status != 404 and self._client.read(reply, _acknowledged_decoder).acknowledged

    def configure_for_reading(self, fence: str) -> bool:
        """Set refresh and replicas as readers need them after a load. False if the fence is gone."""
        settings = {"index": {"refresh_interval": None, "number_of_replicas": self._layout.replicas}}
        return self._client.call("PUT", path(fence, "_settings"), settings, allow={404}).status != 404

    def show_all(self, generation: str) -> None:
        """Make all confirmed writes searchable, best effort. For a user without that right they become so a
        second later. If shards are missing, the search that follows reports it."""
        with suppress(StoreUnavailable):
            self._client.call("POST", path(generation, "_refresh"), allow={403, 404}, within=_REFRESH)

    def mend(self, generation: Generation, fence: str) -> None:
        """Give a generation of an earlier version the settings without which confirmed writes may be lost."""
        if wrong := to_mend(generation.settings):
            self._client.call("PUT", path(fence, "_settings"), wrong, allow={404})

    def new_fence(self, token: str, number: int) -> str:
        """The name of a fence: `token` is the lease holder's, `number` tells its fences apart."""
        return f"{self._fences()}{token}-{number}"

    def fences(self, generation: Generation) -> list[str]:
        """The fences on a generation, of any holder."""
        return sorted(alias for alias in generation.aliases if alias.startswith(self._fences()))

    def is_read(self, generation: Generation) -> bool:
        """Whether it has an alias that is no fence."""
        return bool(self.read_as(generation))

    def read_as(self, generation: Generation) -> frozenset[str]:
        """Its aliases that are no fences."""
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
        """Refuse the new generation if a template for all indices has added an alias or altered the
        mapping."""
        reply = self._client.call("GET", path(name), allow={404})
        if reply.status == 404:  # a writer that takes over removes half-loaded generations
            raise AnotherPass("another pass has taken over and removed the content that this one was loading")
        found = self._client.read(reply, _indices_decoder)[name]
        strange = sorted(found.aliases.keys() - {fence})
        if not strange and not alters(found.mappings, MAPPING):
            return
        hint = mended(self._client, name)
        self.change_aliases([{"remove_index": {"index": name}}])
        what = f"the alias {', '.join(strange)}" if strange else "another mapping"
        raise ConfigurationError(
            f"an index template gives new indices like {name} {what}: "
            "it would alter the content, or show it half loaded",
            hint=hint,
        )

    def _taken(self) -> ForeignIndex:
        alias = self._consumer.index
        return ForeignIndex(
            f"{alias} is an index, but ctisync needs that name for an alias; ctisync leaves it untouched",
            hint="set consumers[].index to another name, or remove that index: "
            f"{self._client.curl.mends('DELETE', path(alias))}{SYNC}",
        )

    def _misled(self, pointed_at: Sequence[str], ours: Collection[str]) -> ForeignIndex:
        """The hint gives the alias back to the generation in the state; else to the newest that it points
        at."""
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
            f"alias {alias} points at {', '.join(strange)}, which ctisync did not make and leaves untouched",
            hint=f"set consumers[].index to another name, or give the alias back to ctisync: {typed}",
        )


def consumers(client: Client) -> list[Consumer]:
    """All consumers that have a generation, live or not, in the order of their names."""
    found = _found(client, ",".join(f"{each}ctisync-*" for each in _PREFIXES))
    marks = {mark for index in found.values() if (mark := _marked_for(index)) is not None}
    return [Consumer(*names) for names in sorted(marks)]


def _found(client: Client, names: str) -> dict[str, _Index]:
    target = path(names, query=f"{_WHATEVER_THERE_IS}&{_FACTS}")
    return client.read(client.call("GET", target), _indices_decoder)


def _marked_for(index: _Index) -> tuple[str, str] | None:
    """Context and name of the consumer whose generation it is; None if the index is no generation."""
    meta = index.mappings.get("_meta")
    mark = meta.get("ctisync") if isinstance(meta, dict) else None
    if not isinstance(mark, dict):
        return None
    context, name = mark.get("context"), mark.get("consumer")
    return (context, name) if isinstance(context, str) and isinstance(name, str) else None


def asserted(generation: str, alias: str) -> list[AliasAction]:
    """Actions that fail if the alias does not point at the generation, and otherwise change nothing."""
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
