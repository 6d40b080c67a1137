"""OpenSearch 2.x and 3.x as a store: content behind an alias, state and lease in one document.

See also: `writer` (what a writer and a load do, in which order), `fencing` (what a writer settles first),
`lease` and `state_document`, `generations` (the indices), `records` (writes and reads), `bulk` (several bulks
at once), `search` (a content at one moment), `history` (reports of passes), `client` and `transport`
(requests).
"""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from ctisync import tls
from ctisync.core.health import CheckResult, guarded, ok, warning
from ctisync.core.model import Consumer, Footprint
from ctisync.core.pass_report import PassReport, Work
from ctisync.core.state import ConsumerState, Moved, Summary
from ctisync.errors import LOAD_ANEW, AnotherPass, ConfigurationError, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores import invariants
from ctisync.stores.opensearch.bulk import USUAL_PACE, Pace
from ctisync.stores.opensearch.client import Client, Transport, check_one_cluster, path
from ctisync.stores.opensearch.fencing import FencedLease
from ctisync.stores.opensearch.generations import ONE_SHARD, Generations, Inventory, Layout, consumers
from ctisync.stores.opensearch.hints import Curl
from ctisync.stores.opensearch.history import HistoryIndex
from ctisync.stores.opensearch.indices import count_records
from ctisync.stores.opensearch.lease import (
    LeaseHolder,
    can_take_over,
    is_dead,
    is_missing,
    server_time,
    this_process,
)
from ctisync.stores.opensearch.records import Records
from ctisync.stores.opensearch.search import Hit, point_in_time
from ctisync.stores.opensearch.security import check_nothing_hidden, hidden_from_reader
from ctisync.stores.opensearch.state_document import StateDocument, StateEntry, StoredDocument
from ctisync.stores.opensearch.verify import OpenSearchInspection, inspecting
from ctisync.stores.opensearch.writer import OpenSearchWriter

_SIZES: Final = "level=indices&filter_path=nodes.*.indices.indices.*ctisync-*.store.size_in_bytes"


class _Nodes(msgspec.Struct, frozen=True):
    """Below each node's id: `indices`, `indices` again, the index's name, `store`, `size_in_bytes`."""

    nodes: dict[str, dict[str, dict[str, dict[str, dict[str, dict[str, int]]]]]] = {}


_nodes_decoder: Final = msgspec.json.Decoder(_Nodes)


class OpenSearchStore:
    """`ports.Store` in the cluster at `urls`. User, password and certificates are sent to these origins only.

    `host_lock`: the id of the lock file that the caller holds (`locks.host_lock`), None if it holds none. The
    holder of a lease that was taken under the same lock file is known to be dead.
    `lease_ttl`, `timeout` (of one request) and `within` (all requests of this store) are in seconds.
    Raises ConfigurationError for a URL that cannot be used.
    """

    def __init__(
        self,
        urls: Sequence[str],
        clock: Clock,
        *,
        host_lock: str | None = None,
        username: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
        layout: Layout = ONE_SHARD,
        pace: Pace = USUAL_PACE,
        lease_ttl: float = 900,
        timeout: float = 60,
        within: float = math.inf,
    ) -> None:
        # The import takes 0.2 s, which only users of OpenSearch should pay.
        from ctisync.stores.opensearch.transport import HttpTransport

        self._origins = origins = [_origin(url) for url in urls]
        self._name = ",".join(origin.geturl() for origin in origins)
        self._files = files = tls.Files("store", ca_file, client_cert, client_key)
        self._curl = Curl(origins[0].geturl(), username, files)

        def connect(nodes: Sequence[SplitResult]) -> Transport:
            return HttpTransport(nodes, files, timeout, username, password)

        self._connect = connect
        self._client = Client(connect(origins), self._curl, clock, within)
        self._is_one_cluster = len(origins) == 1
        self._clock = clock
        self._host_lock = host_lock
        self._layout = layout
        self._pace = pace
        self._lease_ttl = lease_ttl
        self._last_read: tuple[Consumer, StoredDocument, str | None] | None = None

    @property
    def name(self) -> str:
        return self._name

    def read_state(self, consumer: Consumer) -> ConsumerState:
        generations = self._generations(consumer)
        document = generations.document.read()
        inventory = generations.inventory()
        self._last_read = consumer, document, inventory.live
        return self._state(generations, document.entry, inventory)

    def summary(self, consumer: Consumer) -> Summary:
        generations = self._generations(consumer)
        entry = generations.document.read().entry
        inventory = generations.inventory()
        if _is_another(consumer, entry, inventory):  # a pass may have swapped in between
            entry = generations.document.read().entry
        live, moved = inventory.live, None
        if live is not None and entry.swap is None and _is_another(consumer, entry, inventory):
            moved = Moved(to=live, was=entry.generation)
        return Summary(
            self._state(generations, entry, inventory),
            None if live is None else self._count(generations, live),
            None if live is None else hidden_from_reader(self._client, live),
            moved,
        )

    def _state(self, generations: Generations, entry: StateEntry, inventory: Inventory) -> ConsumerState:
        if entry.lease is None:
            # A pass fences only while it holds a lease. A fence without a lease comes from a request that was
            # executed after its pass had ended.
            is_left = any(map(generations.fences, inventory.generations.values()))
        else:
            is_left = is_dead(entry.lease, this_process(self._host_lock))
        occupant, is_another = inventory.occupant, _is_another(generations.consumer, entry, inventory)
        return msgspec.structs.replace(
            entry.state,
            unsettled=entry.swap is not None or is_left or is_another,
            occupant=None if occupant is None else occupant.consumer,
        )

    def record_check(self, consumer: Consumer, state: ConsumerState) -> None:
        self._check_cluster()
        document = self._document(consumer)
        stored = document.read()
        entry = stored.entry
        before = msgspec.structs.replace(entry.state, unsettled=state.unsettled)
        if self._is_free(entry) and invariants.differs_by_check(before, state):
            # The write_id stays, so that a writer still finds its own.
            document.write(stored, msgspec.structs.replace(entry, state=state))

    def _is_free(self, entry: StateEntry) -> bool:
        """Whether no pass holds the lease, as far as its time tells."""
        return entry.lease is None or can_take_over(entry.lease, server_time(self._client), self._lease_ttl)

    @contextmanager
    def writer(self, consumer: Consumer) -> Iterator[OpenSearchWriter]:
        self._check_cluster()
        generations = self._generations(consumer)
        # Refuse another program's index, and one with hidden parts, before anything is written.
        document, live = self._take_last_read(consumer) or (None, generations.inventory().live)
        if live is not None:
            check_nothing_hidden(self._client, live)
        lease = self._lease(generations, document)
        records = Records(self._client, self._clock, self._pace)
        writer = OpenSearchWriter(self._client, lease, generations, records)
        try:
            with self._client.hurried_by_a_stop():
                writer.take_over()
                yield writer
        finally:
            writer.let_go()

    def _count(self, generations: Generations, live: str) -> int | None:
        generations.try_refresh(live)
        return count_records(self._client, generations.consumer.index)

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
        yield from tls.expiry_dates([origin.geturl() for origin in self._origins], self._files)

    def inspect(self, consumer: Consumer) -> AbstractContextManager[OpenSearchInspection]:
        return inspecting(self._client, self._generations(consumer), self._lease_ttl)

    def diagnose(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        from ctisync.stores.opensearch.diagnose import diagnose

        if len(self._origins) > 1:
            yield from guarded("store-nodes", self._check_nodes)
        generations = [self._generations(each) for each in consumers]
        yield from diagnose(self._client, generations, self._layout.replicas, self._lease_ttl)

    def refusals(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        from ctisync.stores.opensearch.diagnose import refusals

        return refusals(self._client, [self._generations(each) for each in consumers])

    def work(self, consumer: Consumer) -> Work | None:
        entry = self._document(consumer).read().entry
        if entry.lease is None or self._is_free(entry):
            return None
        return msgspec.structs.replace(entry.lease.work, process_missing=is_missing(entry.lease))

    def remember(self, report: PassReport, keep: int, within: float) -> None:
        with self._client.bounded(within):
            self._check_cluster()
            self._history().remember(report, keep)

    def passes(self, consumer: Consumer, most: int, *, touched: bool = False) -> Iterator[PassReport]:
        return self._history().passes(consumer, most, touched=touched)

    def consumers(self) -> list[Consumer]:
        return consumers(self._client)

    def footprint(self, consumer: Consumer) -> Footprint:
        generations = self._generations(consumer)
        document, indices = generations.document.read(), generations.list_all()
        live = document.entry.generation
        if live not in indices:
            live = next((name for name, each in indices.items() if generations.readers(each)), None)
        return Footprint(
            places=tuple(sorted(indices)),
            records=None if live is None else count_records(self._client, live, partial=True),
            bytes=self._bytes(indices) if indices else 0,
            passes=self._history().count(consumer),
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
        generations, history = self._generations(consumer), self._history()
        has_entry = generations.document.read().has_entry
        if not (has_entry or generations.list_all() or history.count(consumer)):
            return
        self._check_cluster()
        lease = self._lease(generations)
        try:
            with self._client.hurried_by_a_stop():
                FencedLease(lease, generations).remove_content()
                history.forget(consumer)
                lease.remove_entry()
        except BaseException:
            # The next pass that takes the lease settles what is left. It need not wait for the lease to
            # expire.
            with suppress(AnotherPass, StoreUnavailable, ConfigurationError):
                self._client.finish(lease.release)
            raise

    def close(self) -> None:
        self._client.close()

    def _check_cluster(self) -> None:
        """Once per store, before the first write."""
        if not self._is_one_cluster:
            check_one_cluster(self._origins, self._connect, self._curl)
            self._is_one_cluster = True

    def _check_nodes(self) -> Iterator[CheckResult]:
        silent, number = check_one_cluster(self._origins, self._connect, self._curl), len(self._origins)
        if silent:
            commands = "; ".join(self._curl._replace(url=url).get() for url in silent)
            text = f"{len(silent)} of the {number} nodes in store.url did not answer: {', '.join(silent)}"
            yield warning("store-nodes", text, f"check that each runs: {commands}")
        else:
            yield ok("store-nodes", f"all {number} nodes in store.url answered; they are of one cluster")

    def _take_last_read(self, consumer: Consumer) -> tuple[StoredDocument, str | None] | None:
        """The document and the live generation as `read_state` last read them, if it was of this consumer.
        They are used once."""
        last, self._last_read = self._last_read, None
        return None if last is None or last[0] != consumer else last[1:]

    def _lease(self, generations: Generations, document: StoredDocument | None = None) -> LeaseHolder:
        return LeaseHolder(
            self._client,
            generations.document,
            self._clock,
            self._lease_ttl,
            host_lock=self._host_lock,
            stored=document,
        )

    def _history(self) -> HistoryIndex:
        return HistoryIndex(self._client, self._layout.replicas)

    def _document(self, consumer: Consumer) -> StateDocument:
        return StateDocument(self._client, consumer, self._layout.replicas)

    def _generations(self, consumer: Consumer) -> Generations:
        return Generations(self._client, self._document(consumer), self._clock, self._layout)


def _is_another(consumer: Consumer, entry: StateEntry, inventory: Inventory) -> bool:
    """Whether the alias points at no generation, or another one than the state names. Does not apply to a
    content that was loaded under another alias: the inventory does not see it."""
    here = entry.state.index_elsewhere(consumer) is None and inventory.occupant is None
    return entry.state.content and here and inventory.live != entry.generation


def _line(hit: Hit) -> bytes:
    if hit.sort != [hit.id]:
        raise StoreUnavailable(
            f"another program wrote record {hit.id}: its name is {hit.sort[0]}", hint=LOAD_ANEW
        )
    return bytes(hit.source)


def _origin(url: str) -> SplitResult:
    """Scheme, host, port and path prefix of a node's URL. Raises ConfigurationError for anything else in
    it."""
    hint = "it looks like https://host:9200 or https://host:9200,https://host2:9200"
    try:
        parts = urlsplit(url)
        is_node = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise ConfigurationError("store.url contains an invalid URL", hint=hint) from None
    if "@" in parts.netloc:
        raise ConfigurationError(
            "store.url contains a user or a password",
            hint="use store.username and store.password_file instead",
        )
    if not is_node or parts.query or parts.fragment:
        raise ConfigurationError(f"store.url: {url} is no address of an OpenSearch node", hint=hint)
    return parts._replace(path=parts.path.rstrip("/"))
