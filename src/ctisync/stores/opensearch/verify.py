"""OpenSearch, for `verify`: a content at one point in time, with a state that was the same before and after;
and whether generations, aliases and lease agree.
"""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import msgspec

from ctisync.core.findings import Finding, Kind
from ctisync.core.model import Record
from ctisync.core.state import ConsumerState
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.generations import MAPPING, NEW_FIELDS, Generations, Inventory
from ctisync.stores.opensearch.hints import blocks_in, remove_blocks
from ctisync.stores.opensearch.lease import can_take_over, describe, server_time
from ctisync.stores.opensearch.search import NAMED_BY, Hit, PointInTime, by, point_in_time
from ctisync.stores.opensearch.security import hidden_from_reader
from ctisync.stores.opensearch.state_document import StateEntry

_TRIES: Final = 5
"""How often state and content are read at most, if a writer writes in between."""

_NAMES_PER_SEARCH: Final = 500


class _Index(msgspec.Struct, frozen=True):
    settings: dict[str, Any]


_settings_decoder: Final = msgspec.json.Decoder(dict[str, _Index])
_index_decoder: Final = msgspec.json.Decoder(dict[str, dict[str, Any]])


class OpenSearchInspection:
    """`ports.Inspection`. `point`: the live generation at one moment, None if there is none. `holder`: the
    writer that holds the lease."""

    def __init__(
        self,
        client: Client,
        generations: Generations,
        inventory: Inventory,
        entry: StateEntry,
        point: PointInTime | None,
        *,
        holder: str | None,
    ) -> None:
        self._client = client
        self._generations = generations
        self._inventory = inventory
        self._entry = entry
        self._point = point
        self._holder = holder

    @property
    def state(self) -> ConsumerState:
        entry, live = self._entry, self._inventory.live
        missing = entry.state.content and live != entry.generation
        return msgspec.structs.replace(entry.state, unsettled=entry.swap is not None or missing)

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

    def hidden(self) -> str | None:
        live = self._inventory.live
        return None if live is None else hidden_from_reader(self._client, live)

    def count(self) -> int | None:
        if self._point is None:
            return None
        return self._point.search(size=0, track_total_hits=True).total.value

    def scan(self) -> Iterator[Record]:
        if self._point is not None:
            for hits in self._point.by_place():
                yield from map(_record, hits)

    def lookup(self, names: Collection[str]) -> dict[str, Record]:
        if self._point is None:
            return {}
        records: dict[str, Record] = {}
        ids = list(names)
        for start in range(0, len(ids), _NAMES_PER_SEARCH):
            some = ids[start : start + _NAMES_PER_SEARCH]
            hits = self._point.search(size=len(some), query={"ids": {"values": some}}, version=True).hits
            records |= {hit.id: _record(hit) for hit in hits}
        return records

    def neighbours(self, name: str, most: int) -> list[str]:
        if self._point is None:
            return []
        before, behind = (
            {
                hit.id
                for field, query in NAMED_BY.items()
                for hit in self._point.search(
                    size=most,
                    sort=[by(field, order)],
                    query={"bool": {"filter": [query, {"range": {field: {side: name}}}]}},
                ).hits
            }
            for side, order in (("lt", "desc"), ("gt", "asc"))
        )
        return [*sorted(before, key=str.encode)[-most:], *sorted(behind, key=str.encode)[:most]]

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
        created = self._creation_dates() if others else {}
        newest = 0 if live is None else created.get(live, 0)
        replaced = [name for name in others if created.get(name, 0) <= newest]
        for name in others:
            if [name] != replaced:
                text = "it is neither live nor the last one replaced, and no load is running"
                yield Finding(Kind.GENERATION_STRAY, name, text)

    def _creation_dates(self) -> dict[str, int]:
        """When each generation was made, by the server's clock; names have the host's time."""
        names = ",".join(self._inventory.generations)
        target = path(names, "_settings", query="flat_settings=true&ignore_unavailable=true")
        indices = self._client.read(self._client.call("GET", target), _settings_decoder)
        return {name: int(index.settings["index.creation_date"]) for name, index in indices.items()}

    def _fences(self) -> Iterator[Finding]:
        """Fences of any writer but the lease's holder: through one, a dead writer's request could still
        write."""
        lease = self._entry.lease
        prefix = None if lease is None else self._generations.new_fence(lease.token, 0).removesuffix("0")
        for generation in self._inventory.generations.values():
            for fence in self._generations.fences(generation):
                if prefix is None or not fence.startswith(prefix):
                    text = f"it points at {generation.name}, and its holder does not have the lease"
                    yield Finding(Kind.WRITER_DEAD, fence, text)

    def _live_index(self, live: str) -> Iterator[Finding]:
        """Whether mapping, settings and origin of the live generation are those that ctisync gives it."""
        query = "flat_settings=true&filter_path=*.mappings,*.settings"
        reply = self._client.read(self._client.call("GET", path(live, query=query)), _index_decoder)
        index = reply.get(live, {})
        mappings, settings = index.get("mappings", {}), index.get("settings", {})
        if str(mappings.get("dynamic")).lower() != "false":
            yield Finding(Kind.GENERATION_WRONG, live, "its mapping is no longer `dynamic: false`")
        for field, expected in MAPPING["properties"].items():
            actual = mappings.get("properties", {}).get(field)
            if actual is None and field in NEW_FIELDS:  # a generation of an earlier version
                continue
            if actual != expected:
                text = f"{field} is mapped as {actual}, ctisync maps it as {expected}"
                yield Finding(Kind.GENERATION_WRONG, live, text)
        blocks = blocks_in(settings)
        for name in blocks:
            hint = remove_blocks(self._client.curl, blocks)
            yield Finding(Kind.GENERATION_WRONG, live, f"{name} is set: it blocks writes or reads", hint)
        if settings.get("index.refresh_interval") == "-1":
            yield Finding(Kind.GENERATION_WRONG, live, "its refresh is off: readers do not see new writes")
        offset, state = mappings.get("_meta", {}).get("ctisync", {}).get("snapshot_offset"), self._entry.state
        # While a swap is unfinished, the state is the one before it.
        if state.content and self._entry.swap is None and offset != state.snapshot_offset:
            text = f"it was loaded from a snapshot of offset {offset}, the state has {state.snapshot_offset}"
            yield Finding(Kind.GENERATION_WRONG, live, text)


@contextmanager
def inspecting(client: Client, generations: Generations, ttl: float) -> Iterator[OpenSearchInspection]:
    """State, aliases and content of the same moment, after up to 5 tries.

    If a writer writes during each try, they may be of different moments; the findings then name the writer.
    """
    document = generations.document
    for tries_left in reversed(range(_TRIES)):
        before = document.read().entry
        inventory = generations.inventory()
        if inventory.live is not None:
            generations.try_refresh(inventory.live)
        with _point_of(client, generations, inventory.live) as point:
            entry = document.read().entry
            if tries_left and not _is_same(before, entry):
                continue
            holder = holder_of(entry, server_time(client), ttl)
            yield OpenSearchInspection(client, generations, inventory, entry, point, holder=holder)
            return


def _point_of(
    client: Client, generations: Generations, live: str | None
) -> AbstractContextManager[PointInTime | None]:
    return nullcontext() if live is None else point_in_time(client, live, generations.consumer.index)


def _record(hit: Hit) -> Record:
    return Record(hit.id, hit.version, bytes(hit.source))


def _is_same(before: StateEntry, after: StateEntry) -> bool:
    return (before.state, before.generation, before.swap) == (after.state, after.generation, after.swap)


def holder_of(entry: StateEntry, now: int, ttl: float) -> str | None:
    """The writer that holds the lease, as text; None if the lease is free. `now` is the server's time."""
    lease = entry.lease
    return None if lease is None or can_take_over(lease, now, ttl) else describe(lease)
