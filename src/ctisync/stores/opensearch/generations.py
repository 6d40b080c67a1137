"""Generations: the indices that hold contents, and the aliases through which readers and writers reach them.

Readers reach the live generation through the consumer's alias (`wazuh-cve`). The lease's holder reaches a
generation only through a *fence*, an alias that contains its token. A take-over removes all other fences, and
each change of aliases asserts the holder's own fence. So requests of a former holder have no effect.
"""

import hashlib
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ctisync.backends import StoreSettings
from ctisync.core.facts_document import FORM
from ctisync.core.model import Consumer, Snapshot
from ctisync.errors import AnotherPass, ConfigurationError, CtisyncError, ForeignIndex, StoreUnavailable
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.indices import (
    FactsMark,
    Index,
    fence_is_gone,
    is_altered,
    missing_settings,
    put_index,
    read_indices,
    template_hint,
)
from ctisync.stores.opensearch.refusals import then_sync
from ctisync.stores.opensearch.security import check_nothing_hidden
from ctisync.stores.opensearch.state_document import StateDocument

AliasAction = dict[str, dict[str, Any]]
"""One action of an `_aliases` call."""

_META_SCHEMA: Final = 1

_REFRESH: Final = 5.0
"""Seconds that a reader waits for a refresh."""

_PREFIXES: Final = ("", "of-")
"""Of a generation's name: the second if the name would otherwise begin with the alias's name."""

FACTS: Final = "facts-"
"""Before the time in the name of a facts index."""

_PAUSES: Final = (0.1, 0.2, 0.4)
"""Seconds before another try to remove a generation that was requested, but does not exist yet."""

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


class Inventory(msgspec.Struct, frozen=True):
    """The consumer's generations by name. `target`: the one that its alias points at, or another consumer's;
    that consumer (`context/name`) is then the `occupant`. `facts`: its facts indices; there is one at most,
    unless a pass is building another or was killed."""

    generations: dict[str, Index]
    target: str | None = None
    occupant: str | None = None
    facts: dict[str, Index] = {}

    @property
    def live(self) -> str | None:
        """The generation in which readers find this consumer's content."""
        return self.target if self.occupant is None else None


class _Acknowledged(msgspec.Struct, frozen=True):
    acknowledged: bool


_acknowledged_decoder: Final = msgspec.json.Decoder(_Acknowledged)


class Generations:
    """The generations of one consumer, whose state is in `document`."""

    def __init__(self, client: Client, document: StateDocument, options: StoreSettings) -> None:
        self._client = client
        self.document = document
        self.consumer = consumer = document.consumer
        self._options = options
        pair = f"{consumer.context}\n{consumer.name}".encode()
        self._key = hashlib.sha256(pair).hexdigest()[:12]
        readable = re.sub(r"[^a-z0-9]+", "-", consumer.index.lower()).strip("-")[:60] or "content"
        stem = f"ctisync-{readable}-{self._key}-"
        # A template that fits the alias's name must not apply to the generations.
        self._prefix = _PREFIXES[stem.startswith(consumer.index)]
        self._stem = f"{self._prefix}{stem}"
        self._fence_prefix = f"ctisync-w-{self._key}-"

    def inventory(self) -> Inventory:
        """The consumer's generations. Raises ForeignIndex if an index has the alias's name, or the alias
        points at another program's index or at several generations."""
        alias = self.consumer.index
        indices = read_indices(self._client, f"{self._prefix}ctisync-*-{self._key}-*,{alias}")
        every = self._ours(indices)
        facts = {name: index for name, index in every.items() if index.facts is not None}
        ours = {name: index for name, index in every.items() if name not in facts}
        if alias in indices:
            raise ForeignIndex(
                f"{alias} is an index, but ctisync needs that name for an alias; ctisync leaves it untouched",
                hint="set consumers[].index to another name, or remove that index: "
                f"{self._client.curl.change('DELETE', path(alias))}{then_sync()}",
            )
        targets = [name for name, index in indices.items() if alias in index.aliases]
        if not targets:
            return Inventory(ours, facts=facts)
        target = indices[targets[0]]
        mark = None if target.facts is not None else target.mark
        if len(targets) > 1 or mark is None:
            raise self._wrong_targets(targets, ours)
        return Inventory(ours, targets[0], None if targets[0] in ours else str(Consumer(*mark)), facts)

    def list_all(self) -> dict[str, Index]:
        """All generations and facts indices of the consumer by name, whatever its alias points at."""
        names = ",".join(f"{each}ctisync-*-{self._key}-*" for each in _PREFIXES)
        return self._ours(read_indices(self._client, names))

    @property
    def facts_alias(self) -> str:
        """The alias under which readers find the facts index."""
        return f"{self.consumer.index}-facts"

    @property
    def wants_facts(self) -> bool:
        return self._options.facts_index

    def facts(self) -> dict[str, Index]:
        """The facts indices of the consumer. Raises ForeignIndex if another index has the name of their
        alias, or the alias points at another one."""
        alias = self.facts_alias
        indices = read_indices(self._client, f"{self._prefix}ctisync-*-{self._key}-{FACTS}*,{alias}")
        ours = {name: index for name, index in self._ours(indices).items() if index.facts is not None}
        for name in sorted(indices.keys() - ours.keys()):
            actions = [remove_index(name) if name == alias else remove_alias(name, alias)]
            command = self._client.curl.change("POST", "/_aliases", {"actions": actions})
            verb = "is an index" if name == alias else f"points at {name}"
            raise ForeignIndex(
                f"{alias} {verb}, which ctisync did not make and leaves untouched; "
                "store.facts_index needs that name for its alias",
                hint=f"set store.facts_index = false, or give the name to ctisync: {command}{then_sync()}",
            )
        return ours

    def facts_offset(self, inventory: Inventory) -> int | None:
        """Up to where readers find the facts of the live generation, 0 if they find none; None if the
        settings want no facts index."""
        marks = [each.facts for each in inventory.facts.values() if self.facts_alias in each.aliases]
        offsets = [mark.offset for mark in marks if mark and mark.generation == inventory.live]
        return max([0, *offsets]) if self.wants_facts else None

    def facts_behind(self, inventory: Inventory, offset: int) -> bool:
        """Whether the facts index is to be filled up to this offset of the live generation, or removed."""
        if inventory.live is None or offset == 0:
            return False
        marks = [each.facts for each in inventory.facts.values() if self.facts_alias in each.aliases]
        expected = [FactsMark(FORM, inventory.live, offset)] if self.wants_facts else []
        return marks != expected or len(inventory.facts) != len(expected)

    def new_name(self, kind: str = "") -> str:
        """A new name for one generation, or for a facts index. It never begins with the alias's name."""
        return f"{self._stem}{kind}{self._client.clock.now():%Y%m%d%H%M%S}-{secrets.token_hex(4)}"

    def create(self, name: str, snapshot: Snapshot, fence: str) -> None:
        """Create an empty generation. Raises as `create_index` does."""
        meta = self.meta(snapshot_offset=snapshot.offset, snapshot_link=snapshot.link)
        self.create_index(name, fence, MAPPING | meta, self._options.shards)

    def meta(self, **fields: Any) -> dict[str, Any]:
        """The part of a mapping that says whose the index is, and these fields."""
        consumer = {"context": self.consumer.context, "consumer": self.consumer.name}
        return {"_meta": {"ctisync": {"schema": _META_SCHEMA, **consumer, **fields}}}

    def create_index(self, name: str, fence: str, mapping: Mapping[str, Any], shards: int) -> None:
        """Create an empty index, without refresh and replicas, that is reached through `fence`.

        Raises ConfigurationError if an index template would alter it, AccessRefused if a role hides a part of
        it, AnotherPass if another pass has taken over meanwhile.
        """
        body = {"aliases": {fence: {}}, "mappings": mapping}
        settings = {
            "number_of_shards": shards,
            "number_of_replicas": 0,
            "refresh_interval": "-1",
            "codec": self._options.codec,
        }
        problem = put_index(self._client, name, body, settings)
        if problem is not None:
            raise ConfigurationError(
                f"index {name} cannot be created: {problem}", hint=template_hint(self._client, name)
            )
        check_nothing_hidden(self._client, name)  # a hidden field is missing from the mapping, too
        self._check_inheritance(name, fence, mapping)

    def remove_unfinished(self, name: str) -> None:
        """Remove a generation that may still be being created: a signal came before the reply."""
        for pause in (*_PAUSES, None):
            if self.change_aliases([remove_index(name)]) or pause is None:
                return
            self._client.clock.sleep(pause)

    def change_aliases(self, actions: Sequence[AliasAction]) -> bool:
        """Do all of the actions or none. Returns False if an assertion among them does not hold.

        False is also possible after success: if the request was sent twice, or not every node acknowledged it
        in time. So read the aliases again, and do what is left.
        """
        if not actions:
            return True
        operands = [each for action in actions for each in action.values()]
        names = {each[key] for each in operands for key in ("index", "alias") if key in each}
        reply = self._client.call("POST", path("_aliases"), {"actions": actions}, allow={404}, on=names)
        return reply.status != 404 and self._client.read(reply, _acknowledged_decoder).acknowledged

    def configure_for_reading(self, fence: str) -> None:
        """Set refresh and replicas as readers need them after a load."""
        settings = {"index": {"refresh_interval": None, "number_of_replicas": self._options.replicas}}
        if self._client.call("PUT", path(fence, "_settings"), settings, allow={404}).status == 404:
            raise fence_is_gone()

    def try_refresh(self, generation: str) -> None:
        """Make all confirmed writes searchable, best effort. For a user without that right they become so a
        second later. If shards are missing, the search that follows reports it."""
        with suppress(StoreUnavailable):
            self._client.call("POST", path(generation, "_refresh"), allow={403, 404}, within=_REFRESH)

    def repair_settings(self, generation: Index, fence: str) -> None:
        """Give a generation of an earlier version the settings without which confirmed writes may be lost."""
        if missing := missing_settings(generation.settings):
            self._client.call("PUT", path(fence, "_settings"), missing, allow={404})

    def new_fence(self, token: str, number: int) -> str:
        """The name of a fence: `token` is the lease holder's, `number` tells its fences apart."""
        return f"{self._fence_prefix}{token}-{number}"

    def fences(self, generation: Index) -> list[str]:
        """The fences on a generation, of any holder."""
        return sorted(alias for alias in generation.aliases if alias.startswith(self._fence_prefix))

    def remove_fences(self, generations: Mapping[str, Index]) -> list[AliasAction]:
        """The actions that remove all fences, of any holder."""
        return [
            remove_alias(name, fence) for name, each in generations.items() for fence in self.fences(each)
        ]

    def readers(self, generation: Index) -> set[str]:
        """The aliases of a generation that are no fences."""
        return generation.aliases.keys() - self.fences(generation)

    def _ours(self, indices: dict[str, Index]) -> dict[str, Index]:
        mark = (self.consumer.context, self.consumer.name)
        return {name: index for name, index in indices.items() if index.mark == mark}

    def _check_inheritance(self, name: str, fence: str, mapping: Mapping[str, Any]) -> None:
        """Refuse the new index if a template for all indices has added an alias or altered the
        mapping."""
        index = read_indices(self._client, name).get(name)
        if index is None:  # a writer that takes over removes half-loaded generations
            raise AnotherPass("another pass has taken over and removed the content that this one was loading")
        aliases = sorted(index.aliases.keys() - {fence})
        if not aliases and not is_altered(index.mappings, mapping):
            return
        hint = template_hint(self._client, name)
        self.change_aliases([remove_index(name)])
        addition = f"the alias {', '.join(aliases)}" if aliases else "another mapping"
        raise ConfigurationError(
            f"an index template gives new indices like {name} {addition}: "
            "it would alter the content, or show it half loaded",
            hint=hint,
        )

    def _wrong_targets(self, targets: Sequence[str], ours: Collection[str]) -> ForeignIndex:
        """The hint gives the alias back to the generation in the state; else to the newest of its targets."""
        alias, foreign = self.consumer.index, sorted(set(targets) - set(ours))
        right = None
        with suppress(CtisyncError):
            right = self.document.read().entry.generation
        if right not in ours:
            right = max(set(targets) & set(ours), default=None)
        actions = [remove_alias(each, alias) for each in sorted(targets) if each != right]
        if right is not None and right not in targets:
            actions.append(add_alias(right, alias))
        typed = self._client.curl.change("POST", "/_aliases", {"actions": actions}) + then_sync()
        if not foreign:
            return ForeignIndex(
                f"alias {alias} points at {len(targets)} generations: {', '.join(sorted(targets))}; "
                "readers find records more than once",
                hint=typed,
            )
        return ForeignIndex(
            f"alias {alias} points at {', '.join(foreign)}, which ctisync did not make and leaves untouched",
            hint=f"set consumers[].index to another name, or give the alias back to ctisync: {typed}",
        )


def consumers(client: Client) -> list[Consumer]:
    """All consumers that have a generation, live or not, in the order of their names."""
    indices = read_indices(client, ",".join(f"{each}ctisync-*" for each in _PREFIXES))
    marks = {index.mark for index in indices.values() if index.mark is not None}
    return [Consumer(*mark) for mark in sorted(marks)]


def assert_alias(generation: str, alias: str) -> list[AliasAction]:
    """Actions that fail if the alias does not point at the generation, and otherwise change nothing."""
    return [remove_alias(generation, alias), add_alias(generation, alias)]


def remove_alias(generation: str, alias: str) -> AliasAction:
    """Fails if the alias does not point at the generation."""
    return {"remove": {"index": generation, "alias": alias, "must_exist": True}}


def add_alias(generation: str, alias: str) -> AliasAction:
    return {"add": {"index": generation, "alias": alias}}


def remove_index(generation: str) -> AliasAction:
    return {"remove_index": {"index": generation}}
