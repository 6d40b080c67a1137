"""OpenSearch 2.x and 3.x as a store: content behind an alias, state and lease in one document.

See also: `writer` (what a writer and a load do, in which order), `fencing` (what a writer settles first),
`lease` and `state_document`, `generations` (the indices), `records` (writes and reads), `bulk` (several bulks
at once), `search` (a content at one moment), `history` (reports of passes), `client` and `transport`
(requests).
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import replace

from ctisync import hints, tls
from ctisync.backends import Access, StoreSettings
from ctisync.core.health import CheckResult, guarded, ok, warning
from ctisync.core.model import Consumer, Footprint
from ctisync.core.pass_report import PassReport, Work
from ctisync.core.state import ConsumerState, Moved, Summary
from ctisync.errors import AnotherPass, ConfigurationError, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores import invariants
from ctisync.stores.opensearch import diagnose
from ctisync.stores.opensearch.bulk import Pace
from ctisync.stores.opensearch.client import Client, check_one_cluster, path
from ctisync.stores.opensearch.fencing import FencedLease
from ctisync.stores.opensearch.generations import Generations, Inventory, consumers
from ctisync.stores.opensearch.history import HistoryIndex
from ctisync.stores.opensearch.indices import count_records
from ctisync.stores.opensearch.lease import (
    LeaseHolder,
    current_lease,
    is_dead,
    new_lease,
    server_time,
    work_of,
)
from ctisync.stores.opensearch.records import Records
from ctisync.stores.opensearch.refusals import Curl
from ctisync.stores.opensearch.search import Hit, point_in_time
from ctisync.stores.opensearch.security import check_nothing_hidden, hidden_from_reader
from ctisync.stores.opensearch.state_document import Lease, StateDocument, StateEntry, StoredDocument
from ctisync.stores.opensearch.transport import HttpTransport
from ctisync.stores.opensearch.verify import OpenSearchInspection, inspecting
from ctisync.stores.opensearch.writer import OpenSearchWriter

_TIMEOUT: Final = 60.0
"""Seconds for a request."""

_SIZES: Final = "level=indices&filter_path=nodes.*.indices.indices.*ctisync-*.store.size_in_bytes"


class _Nodes(msgspec.Struct, frozen=True):
    """Below each node's id: `indices`, `indices` again, the index's name, `store`, `size_in_bytes`."""

    nodes: dict[str, dict[str, dict[str, dict[str, dict[str, dict[str, int]]]]]] = {}


_nodes_decoder: Final = msgspec.json.Decoder(_Nodes)


class OpenSearchStore:
    """`ports.Store` in the cluster whose nodes have these origins as `urls`. User, password and certificates
    are sent to them only.

    The holder of a lease that was taken under the lock file of `access` is known to be dead.
    """

    def __init__(self, urls: Sequence[str], options: StoreSettings, clock: Clock, access: Access) -> None:
        self._urls = urls
        self._files = files = tls.Files("store", options.ca_file, options.client_cert, options.client_key)
        timeout = min(_TIMEOUT, access.wait)
        self._connect = partial(HttpTransport, files=files, settings=options, timeout=timeout)
        curl = Curl(urls[0], options.username, files)
        self._client = Client(self._connect(urls), curl, clock, access.within)
        self._is_one_cluster = len(urls) == 1
        self._host_lock = access.host_lock
        self._options = options
        self._history = HistoryIndex(self._client, options.replicas)
        self._last_read: dict[Consumer, tuple[StoredDocument, Inventory]] = {}
        """What `read_state` has read last, until a writer uses it."""

    @property
    def name(self) -> str:
        return ",".join(self._urls)

    def read_state(self, consumer: Consumer) -> ConsumerState:
        generations = self._generations(consumer)
        stored, inventory = _read(generations)
        self._last_read = {consumer: (stored, inventory)}
        return self._state(generations, stored.entry, inventory)

    def summary(self, consumer: Consumer) -> Summary:
        generations = self._generations(consumer)
        entry = generations.document.read().entry
        inventory = generations.inventory()
        if _is_another(consumer, entry, inventory):  # a pass may have swapped in between
            entry = generations.document.read().entry
        summary = Summary(self._state(generations, entry, inventory), None)
        if (live := inventory.live) is None:
            return summary
        generations.try_refresh(live)
        is_moved = entry.swap is None and _is_another(consumer, entry, inventory)
        return replace(
            summary,
            records=count_records(self._client, consumer.index),
            hidden=hidden_from_reader(self._client, live),
            moved=Moved(to=live, was=entry.generation) if is_moved else None,
            facts_offset=generations.facts_offset(inventory),
        )

    def _state(self, generations: Generations, entry: StateEntry, inventory: Inventory) -> ConsumerState:
        if entry.lease is None:
            # A pass fences only while it holds a lease. A fence without a lease comes from a request that was
            # executed after its pass had ended.
            is_left = any(map(generations.fences, inventory.generations.values()))
        else:
            is_left = is_dead(entry.lease, new_lease(self._host_lock))
        unsettled = entry.swap is not None or is_left or _is_another(generations.consumer, entry, inventory)
        return replace(entry.state, unsettled=unsettled, occupant=inventory.occupant)

    def record_check(self, consumer: Consumer, state: ConsumerState) -> None:
        self._check_cluster()
        document = self._document(consumer)
        stored = document.read()
        entry = stored.entry
        before = replace(entry.state, unsettled=state.unsettled)
        if not self._holder(entry) and invariants.differs_by_check(before, state):
            # The write_id stays, so that a writer still finds its own.
            document.write(stored, replace(entry, state=state))

    def facts_behind(self, consumer: Consumer) -> bool:
        if consumer not in self._last_read:
            return False
        stored, inventory = self._last_read[consumer]
        return self._generations(consumer).facts_behind(inventory, stored.entry.state.offset)

    @contextmanager
    def writer(self, consumer: Consumer) -> Iterator[OpenSearchWriter]:
        self._check_cluster()
        generations = self._generations(consumer)
        last_read, self._last_read = self._last_read, {}
        # Refuse another program's index, and one with hidden parts, before anything is written.
        stored, inventory = last_read.get(consumer) or _read(generations)
        if inventory.live is not None:
            check_nothing_hidden(self._client, inventory.live)
        pace = Pace(self._options.senders, self._options.bulk_bytes)
        records = Records(self._client, pace)
        writer = OpenSearchWriter(self._client, self._lease(generations, stored), generations, records)
        with self._client.finishing(writer.let_go):
            writer.take_over()
            yield writer

    def export(self, consumer: Consumer) -> Iterator[bytes]:
        generations = self._generations(consumer)
        live = generations.inventory().live
        if live is None:
            raise invariants.no_content(self.name, consumer, self.read_state(consumer))
        generations.try_refresh(live)
        return self._lines(consumer.index)

    def _lines(self, alias: str) -> Iterator[bytes]:
        """All lines by name, from one point in time."""
        with point_in_time(self._client, alias, alias) as point:
            yield from map(_line, point.by_name())

    def certificates(self) -> Iterator[tuple[str, datetime]]:
        yield from tls.expiry_dates(self._urls, self._files)

    def inspect(self, consumer: Consumer) -> AbstractContextManager[OpenSearchInspection]:
        return inspecting(self._client, self._generations(consumer))

    def diagnose(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        if len(self._urls) > 1:
            yield from guarded("store-nodes", self._check_nodes)
        generations = list(map(self._generations, consumers))
        yield from diagnose.diagnose(self._client, generations, self._options.replicas)

    def refusals(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        yield from diagnose.refusals(self._client, list(map(self._generations, consumers)))

    def work(self, consumer: Consumer) -> Work | None:
        lease = self._holder(self._document(consumer).read().entry)
        return None if lease is None else work_of(lease)

    def remember(self, report: PassReport, keep: int, within: float) -> None:
        with self._client.bounded(within):
            self._check_cluster()
            self._history.remember(report, keep)

    def passes(self, consumer: Consumer, most: int, *, touched: bool = False) -> Iterator[PassReport]:
        return self._history.passes(consumer, most, touched=touched)

    def consumers(self) -> list[Consumer]:
        return consumers(self._client)

    def footprint(self, consumer: Consumer) -> Footprint:
        generations = self._generations(consumer)
        document, indices = generations.document.read(), generations.list_all()
        live = document.entry.generation
        if live not in indices:
            contents = {name: each for name, each in indices.items() if each.facts is None}
            live = next((name for name, each in contents.items() if generations.readers(each)), None)
        return Footprint(
            places=tuple(sorted(indices)),
            records=None if live is None else count_records(self._client, live, partial=True),
            bytes=self._bytes(indices) if indices else 0,
            passes=self._history.count(consumer),
            state=document.has_entry,
        )

    def _bytes(self, indices: Collection[str]) -> int | None:
        """Bytes on all nodes; None if the user may not read that."""
        target = path("_nodes", "stats", "indices", "store", query=_SIZES)
        reply = self._client.call("GET", target, allow={403})
        if reply.status == 403:
            return None
        nodes = self._client.read(reply, _nodes_decoder).nodes.values()
        sizes = [node["indices"]["indices"] for node in nodes]
        return sum(of[name]["store"]["size_in_bytes"] for of in sizes for name in indices if name in of)

    def forget(self, consumer: Consumer) -> None:
        """See `ports.Store.forget`. Readers find the whole content until the aliases are removed, and none of
        it after that. The state, and with it the lease, is removed last."""
        generations, history = self._generations(consumer), self._history
        stored = generations.document.read()
        if not (stored.has_entry or generations.list_all() or history.count(consumer)):
            return
        self._check_cluster()
        lease, is_removed = self._lease(generations, stored), False

        def give_back() -> None:
            """The next pass that takes the lease settles what is left. It need not wait for the lease to
            expire."""
            if not is_removed:
                with suppress(AnotherPass, StoreUnavailable, ConfigurationError):
                    lease.release()

        with self._client.finishing(give_back):
            FencedLease(lease, generations).remove_content()
            history.forget(consumer)
            lease.remove_entry()
            is_removed = True

    def close(self) -> None:
        self._client.close()

    def _check_cluster(self) -> None:
        """Once per store, before the first write."""
        if not self._is_one_cluster:
            check_one_cluster(self._urls, self._connect, self._client.curl)
            self._is_one_cluster = True

    def _check_nodes(self) -> Iterator[CheckResult]:
        curl, number = self._client.curl, len(self._urls)
        if silent := check_one_cluster(self._urls, self._connect, curl):
            commands = "; ".join(curl._replace(url=url).get() for url in silent)
            text = f"{len(silent)} of the {number} nodes in store.url did not answer: {', '.join(silent)}"
            yield warning("store-nodes", text, f"check that each runs: {commands}")
        else:
            yield ok("store-nodes", f"all {number} nodes in store.url answered; they are of one cluster")

    def _lease(self, generations: Generations, stored: StoredDocument) -> LeaseHolder:
        return LeaseHolder(self._client, generations.document, stored, host_lock=self._host_lock)

    def _holder(self, entry: StateEntry) -> Lease | None:
        return None if entry.lease is None else current_lease(entry.lease, server_time(self._client))

    def _document(self, consumer: Consumer) -> StateDocument:
        return StateDocument(self._client, consumer, self._options.replicas)

    def _generations(self, consumer: Consumer) -> Generations:
        return Generations(self._client, self._document(consumer), self._options)


def _read(generations: Generations) -> tuple[StoredDocument, Inventory]:
    return generations.document.read(), generations.inventory()


def _is_another(consumer: Consumer, entry: StateEntry, inventory: Inventory) -> bool:
    """Whether the alias points at no generation, or another one than the state names. Does not apply to a
    content that was loaded under another alias: the inventory does not see it."""
    here = entry.state.index_elsewhere(consumer) is None and inventory.occupant is None
    return entry.state.content and here and inventory.live != entry.generation


def _line(hit: Hit) -> bytes:
    if hit.sort != [hit.id]:
        raise StoreUnavailable(
            f"another program wrote record {hit.id}: its name is {hit.sort[0]}", hint=hints.load_anew()
        )
    return bytes(hit.source)
