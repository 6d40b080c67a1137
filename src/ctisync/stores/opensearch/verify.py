"""OpenSearch, for `verify`: a content at one point in time, with a state that was the same before and after;
and whether generations, aliases and lease agree.
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from ctisync.core.findings import Finding, Kind
from ctisync.core.model import Record
from ctisync.core.state import ConsumerState
from ctisync.stores.opensearch.client import Client
from ctisync.stores.opensearch.generations import MAPPING, NEW_FIELDS, Generations, Inventory
from ctisync.stores.opensearch.indices import count_records
from ctisync.stores.opensearch.lease import current_lease, describe, server_time
from ctisync.stores.opensearch.refusals import blocks_in, remove_blocks, then_sync
from ctisync.stores.opensearch.search import Hit, PointInTime, point_in_time
from ctisync.stores.opensearch.security import hidden_from_reader
from ctisync.stores.opensearch.state_document import StateEntry

_TRIES: Final = 5
"""How often state and content are read at most, if a writer writes in between."""

_NAMES_PER_SEARCH: Final = 500


@dataclass(frozen=True)
class OpenSearchInspection:
    """`ports.Inspection`. `_point`: the live generation at one moment, None if there is none. `_holder`: the
    writer that holds the lease."""

    _client: Client
    _generations: Generations
    _inventory: Inventory
    _entry: StateEntry
    _point: PointInTime | None
    _holder: str | None

    @property
    def state(self) -> ConsumerState:
        entry, live = self._entry, self._inventory.live
        missing = entry.state.content and live != entry.generation
        return replace(entry.state, unsettled=entry.swap is not None or missing)

    def findings(self, *, deep: bool) -> Iterator[Finding]:
        """`deep` adds nothing: OpenSearch itself checks the checksums of its files."""
        if self._holder is not None:
            text = "other generations may be its work, and the state may lag behind it"
            yield Finding(Kind.WRITER_AT_WORK, self._holder, text)
        yield from self._live_generation()
        yield from self._other_generations()
        yield from self._fences()
        if self._inventory.live is not None:
            yield from self._live_index(self._inventory.live)
            yield from self._facts()

    def hidden(self) -> str | None:
        live = self._inventory.live
        return None if live is None else hidden_from_reader(self._client, live)

    def count(self) -> int | None:
        return None if self._point is None else self._point.count()

    @property
    def generation(self) -> str | None:
        return self._inventory.live

    def scan(self, above: int = -1) -> Iterator[Record]:
        if self._point is not None:
            for hits in self._point.by_place(above):
                yield from (hit.record for hit in hits)

    def names(self) -> Iterator[str]:
        if self._point is not None:
            yield from self._point.names()

    def lookup(self, names: Collection[str]) -> dict[str, Record]:
        records = dict[str, Record]()
        for hits in self._hits(names, version=True):
            records |= {hit.id: hit.record for hit in hits}  # a hit keeps the whole reply in memory
        return records

    def missing(self, names: Collection[str]) -> set[str]:
        return set(names).difference(hit.id for hits in self._hits(names, _source=False) for hit in hits)

    def _hits(self, names: Collection[str], **body: Any) -> Iterator[list[Hit]]:
        """Those of the records with these names."""
        if (point := self._point) is None:
            return
        ids = list(names)
        for start in range(0, len(ids), _NAMES_PER_SEARCH):
            some = ids[start : start + _NAMES_PER_SEARCH]
            yield point.search(size=len(some), query={"ids": {"values": some}}, **body).hits

    def neighbours(self, name: str, most: int) -> list[str]:
        return [] if self._point is None else self._point.neighbours(name, most)

    def _live_generation(self) -> Iterator[Finding]:
        live, entry = self._inventory.live, self._entry
        if entry.swap is None and entry.state.content and live != entry.generation:
            text = f"the state names generation {entry.generation}, live is {live or 'none'}"
            yield Finding(Kind.GENERATION_WRONG, live or self._generations.consumer.index, text)

    def _other_generations(self) -> Iterator[Finding]:
        """With a lease, other generations belong to its holder, alive or dead. Without one there can only be
        the generation that was replaced last, which stays for readers that still use it."""
        live, entry = self._inventory.live, self._entry
        others = sorted(self._inventory.generations.keys() - {live})
        if entry.lease is not None or entry.state.loading or entry.swap is not None:
            for name in others:
                text = "it belongs to a pass that is under way or was killed"
                yield Finding(Kind.GENERATION_LEFT, name, text)
            return
        # When each was made, by the server's clock; names have the host's time.
        made = {
            name: int(each.settings["index.creation_date"])
            for name, each in self._inventory.generations.items()
        }
        replaced = [name for name in others if live is not None and made[name] <= made[live]]
        for name in others:
            if [name] != replaced:
                text = "it is neither live nor the last one replaced, and no load is running"
                yield Finding(Kind.GENERATION_STRAY, name, text)

    def _fences(self) -> Iterator[Finding]:
        """Fences of any writer but the lease's holder: through one, a dead writer's request could still
        write."""
        lease = self._entry.lease
        prefix = None if lease is None else self._generations.new_fence(lease.token, 0).removesuffix("0")
        for name, generation in self._inventory.generations.items():
            for fence in self._generations.fences(generation):
                if prefix is None or not fence.startswith(prefix):
                    text = f"it points at {name}, and its holder does not have the lease"
                    yield Finding(Kind.WRITER_DEAD, fence, text)

    def _live_index(self, live: str) -> Iterator[Finding]:
        """Whether mapping, settings and origin of the live generation are those that ctisync gives it."""
        index, entry = self._inventory.generations[live], self._entry
        wrong = partial(Finding, Kind.GENERATION_WRONG, live)
        if str(index.mappings.get("dynamic")).lower() != "false":
            yield wrong("its mapping is no longer `dynamic: false`")
        for field, expected in MAPPING["properties"].items():
            actual = index.mappings.get("properties", {}).get(field)
            # A generation of an earlier version lacks the new fields.
            if actual != expected and not (actual is None and field in NEW_FIELDS):
                yield wrong(f"{field} is mapped as {actual}, ctisync maps it as {expected}")
        blocks = blocks_in(index.settings)
        for name in blocks:
            yield wrong(f"{name} is set: it blocks writes or reads", remove_blocks(self._client.curl, blocks))
        if index.settings.get("index.refresh_interval") == "-1":
            yield wrong("its refresh is off: readers do not see new writes")
        offset, expected = index.meta.get("snapshot_offset"), entry.state.snapshot_offset
        # While a swap is unfinished, the state is the one before it.
        if entry.state.content and entry.swap is None and offset != expected:
            yield wrong(f"it was loaded from a snapshot of offset {offset}, the state has {expected}")

    def _facts(self) -> Iterator[Finding]:
        """Whether the facts index has as many documents as the content, if it is not behind, and no range is
        being written or was left half written."""
        generations, name = self._generations, self._generations.facts_alias
        offset, of_content = generations.facts_offset(self._inventory), self._entry.state.offset
        if generations.facts_behind(self._inventory, of_content):
            at = f"it is at offset {offset}, the content is at {of_content}"
            text = "the settings no longer want it" if offset is None else at
            yield Finding(Kind.GENERATION_FACTS_BEHIND, name, text)
        elif not offset or self._holder is not None or self._entry.state.range_to is not None:
            return
        elif (number := count_records(self._client, name)) != self.count():
            [index] = self._inventory.facts
            removal = self._client.curl.change("DELETE", f"/{index}?ignore_unavailable=true")
            text = f"it has {number} documents, the content has {self.count()}"
            yield Finding(Kind.GENERATION_FACTS_WRONG, name, text, hint=f"{removal}{then_sync()}")


@contextmanager
def inspecting(client: Client, generations: Generations) -> Iterator[OpenSearchInspection]:
    """State, aliases and content of the same moment, after up to 5 tries.

    If a writer writes during each try, they may be of different moments; the findings then name the writer.
    """
    for tries_left in reversed(range(_TRIES)):
        before, inventory = generations.document.read().entry, generations.inventory()
        with ExitStack() as opened:
            point = None
            if inventory.live is not None:
                generations.try_refresh(inventory.live)
                alias = generations.consumer.index
                point = opened.enter_context(point_in_time(client, inventory.live, alias))
            entry = generations.document.read().entry
            if tries_left and not _is_same(before, entry):
                continue
            now = server_time(client)  # always: else a missing right of a reader showed only during a pass
            lease = current_lease(entry.lease, now)
            holder = None if lease is None else describe(lease)
            yield OpenSearchInspection(client, generations, inventory, entry, point, holder)
            return


def _is_same(before: StateEntry, after: StateEntry) -> bool:
    return (before.state, before.generation, before.swap) == (after.state, after.generation, after.swap)
