"""OpenSearch 2.x and 3.x as a store: content behind an alias, state and lease in one document.

See also: `writer` (what a writer does, in which order), `fencing` (what it settles first), `lease` and
`state_document`, `generations` (the indices), `load` and `bulk_pool` (a new content, several bulks at once),
`bulk` (writes and reads), `history` (reports of passes), `forget` (removes a consumer), `client` and
`transport` (requests).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from ctisync import tls
from ctisync.core.health import CheckResult, guarded, ok, warning
from ctisync.core.model import Consumer, Footprint
from ctisync.core.pass_report import PassReport, Work
from ctisync.core.state import ConsumerState, Moved, Summary
from ctisync.core.words import counted
from ctisync.errors import LOAD_ANEW, AnotherPass, ConfigurationError, CtisyncError, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores import invariants
from ctisync.stores.opensearch import forget
from ctisync.stores.opensearch.bulk import Records
from ctisync.stores.opensearch.bulk_pool import USUAL_PACE, Pace
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.cluster import check_one_cluster
from ctisync.stores.opensearch.curl import Curl
from ctisync.stores.opensearch.generations import ONE_SHARD, Generations, Inventory, Layout, consumers
from ctisync.stores.opensearch.hidden import check_nothing_hidden, hidden_from_reader
from ctisync.stores.opensearch.history import HistoryIndex
from ctisync.stores.opensearch.lease import HeldLease, is_dead, is_missing, may_be_taken, myself, server_time
from ctisync.stores.opensearch.point_in_time import Hit, point_in_time
from ctisync.stores.opensearch.state_document import SeenDocument, StateDocument, StateEntry
from ctisync.stores.opensearch.verify import OpenSearchInspection, inspecting
from ctisync.stores.opensearch.writer import OpenSearchWriter, ShardsReply, shards_decoder

if TYPE_CHECKING:
    from ctisync.stores.opensearch.diagnose import Subject


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
        ca_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        layout: Layout = ONE_SHARD,
        pace: Pace = USUAL_PACE,
        lease_ttl: float = 900,
        timeout: float = 60,
        within: float = math.inf,
    ) -> None:
        # The import takes 0.2 s, which only users of OpenSearch should pay.
        from ctisync.stores.opensearch.transport import Credentials, HttpTransport

        self._origins = origins = [_origin(url) for url in urls]
        access = Credentials(username, password, ca_file, client_cert, client_key)
        self._name = ",".join(origin.geturl() for origin in origins)
        self._curl = Curl(origins[0].geturl(), username, ca_file, client_cert, client_key)
        transport = HttpTransport(origins, access, timeout)
        self._client = Client(transport, self._curl.url, clock, self._curl, within)
        self._connect = lambda url: HttpTransport([url], access, timeout)
        self._is_one_cluster = len(origins) == 1
        self._clock = clock
        self._host_lock = host_lock
        self._files = tls.Files("store", ca_file, client_cert, client_key)
        self._layout = layout
        self._pace = pace
        self._lease_ttl = lease_ttl
        self._looked: tuple[Consumer, SeenDocument, str | None] | None = None

    @property
    def name(self) -> str:
        return self._name

    def read_state(self, consumer: Consumer) -> ConsumerState:
        seen = self._document(consumer).read()
        inventory = self._generations(consumer).inventory()
        self._looked = consumer, seen, inventory.live
        return self._state(consumer, seen.entry, inventory)

    def summary(self, consumer: Consumer) -> Summary:
        document = self._document(consumer)
        entry = document.read().entry
        inventory = self._generations(consumer).inventory()
        if _is_another(consumer, entry, inventory):  # a pass may have swapped in between
            entry = document.read().entry
        live, moved = inventory.live, None
        if live is not None and entry.swap is None and _is_another(consumer, entry, inventory):
            moved = Moved(to=live, was=entry.generation)
        return Summary(
            self._state(consumer, entry, inventory),
            None if live is None else self._count(consumer, live),
            None if live is None else hidden_from_reader(self._client, live),
            moved,
        )

    def _state(self, consumer: Consumer, entry: StateEntry, inventory: Inventory) -> ConsumerState:
        generations = self._generations(consumer)
        missing = _is_another(consumer, entry, inventory)
        if entry.lease is None:
            # A pass fences only while it holds a lease. A fence without a lease comes from a request that was
            # executed after its pass had ended.
            left = any(map(generations.fences, inventory.generations.values()))
        else:
            left = is_dead(entry.lease, myself(self._host_lock))
        occupant = inventory.occupant
        return msgspec.structs.replace(
            entry.state,
            unsettled=entry.swap is not None or missing or left,
            occupant=None if occupant is None else occupant.consumer,
        )

    def record_check(self, consumer: Consumer, state: ConsumerState) -> None:
        self._check_cluster()
        document = self._document(consumer)
        seen = document.read()
        lease = seen.entry.lease
        free = lease is None or may_be_taken(lease, server_time(self._client), self._lease_ttl, None)
        stored = msgspec.structs.replace(seen.entry.state, unsettled=state.unsettled)
        if free and invariants.only_looked(stored, state):
            # The write_id stays, so that a writer still finds its own.
            document.write(seen, msgspec.structs.replace(seen.entry, state=state))

    @contextmanager
    def writer(self, consumer: Consumer) -> Iterator[OpenSearchWriter]:
        self._check_cluster()
        generations = self._generations(consumer)
        # Refuse another program's index, and one with hidden parts, before anything is written.
        seen, live = self._just_looked(consumer) or (None, generations.inventory().live)
        if live is not None:
            check_nothing_hidden(self._client, live)
        lease = self._lease(consumer, seen)
        records = Records(self._client, self._clock, self._pace)
        writer = OpenSearchWriter(self._client, consumer, lease, generations, records)
        try:
            with self._client.hurried_by_a_stop():
                writer.take_over()
                yield writer
        finally:
            writer.let_go()

    def _count(self, consumer: Consumer, live: str) -> int:
        self._generations(consumer).show_all(live)
        reply = self._client.read(self._client.call("GET", path(consumer.index, "_count")), shards_decoder)
        _check_shards(reply)
        return reply.count

    def export(self, consumer: Consumer) -> Iterator[bytes]:
        generations = self._generations(consumer)
        live = generations.inventory().live
        if live is None:
            raise invariants.no_content(self.name, consumer, self.read_state(consumer))
        generations.show_all(live)
        return self._lines(consumer.index)

    def certificates(self) -> Iterator[tuple[str, datetime]]:
        yield from tls.expiry_dates([origin.geturl() for origin in self._origins], self._files)

    def inspect(self, consumer: Consumer) -> AbstractContextManager[OpenSearchInspection]:
        document, generations = self._document(consumer), self._generations(consumer)
        return inspecting(self._client, consumer, document, generations, self._lease_ttl)

    def diagnose(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        from ctisync.stores.opensearch.diagnose import diagnose

        if len(self._origins) > 1:
            yield from guarded("store-nodes", self._examine_nodes)
        subjects = self._subjects(consumers)
        yield from diagnose(self._client, subjects, self._layout.replicas, self._lease_ttl)

    def refusals(self, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
        from ctisync.stores.opensearch.diagnose import refusals

        return refusals(self._client, self._subjects(consumers))

    def work(self, consumer: Consumer) -> Work | None:
        lease = self._document(consumer).read().entry.lease
        if lease is None or may_be_taken(lease, server_time(self._client), self._lease_ttl, None):
            return None
        return msgspec.structs.replace(lease.work, process_missing=is_missing(lease))

    def remember(self, report: PassReport, keep: int, within: float) -> None:
        with self._client.bounded(within):
            self._check_cluster()
            self._history().remember(report, keep)

    def passes(self, consumer: Consumer, most: int, *, touched: bool = False) -> Iterator[PassReport]:
        return self._history().passes(consumer, most, touched=touched)

    def consumers(self) -> list[Consumer]:
        return consumers(self._client)

    def footprint(self, consumer: Consumer) -> Footprint:
        return forget.footprint(
            self._client, consumer, self._document(consumer), self._generations(consumer), self._history()
        )

    def forget(self, consumer: Consumer) -> None:
        generations, history = self._generations(consumer), self._history()
        known = self._document(consumer).read().known
        if not (known or generations.own() or history.count(consumer)):
            return
        self._check_cluster()
        lease = self._lease(consumer)
        try:
            with self._client.hurried_by_a_stop():
                forget.forget(lease, consumer, generations, history)
        except BaseException:
            # The next pass that takes the lease settles what is left. It need not wait for the lease to
            # expire.
            with suppress(AnotherPass, StoreUnavailable, ConfigurationError):
                self._client.finish(lease.release)
            raise

    def close(self) -> None:
        self._client.close()

    def _lines(self, alias: str) -> Iterator[bytes]:
        """All lines by name, from one point in time."""
        with point_in_time(self._client, alias, alias) as point:
            yield from map(_line, point.by_name())

    def _check_cluster(self) -> None:
        """Once per store, before the first write."""
        if not self._is_one_cluster:
            check_one_cluster(self._origins, self._connect, self._curl)
            self._is_one_cluster = True

    def _examine_nodes(self) -> Iterator[CheckResult]:
        silent, listed = check_one_cluster(self._origins, self._connect, self._curl), len(self._origins)
        if silent:
            shown = "; ".join(self._curl._replace(url=url).looks() for url in silent)
            said = f"{len(silent)} of the {listed} nodes in store.url did not answer: {', '.join(silent)}"
            yield warning("store-nodes", said, f"check that each runs: {shown}")
        else:
            yield ok("store-nodes", f"all {listed} nodes in store.url answered; they are of one cluster")

    def _just_looked(self, consumer: Consumer) -> tuple[SeenDocument, str | None] | None:
        """What the last `look` found, if it was at this consumer. It is used once."""
        looked, self._looked = self._looked, None
        return None if looked is None or looked[0] != consumer else looked[1:]

    def _lease(self, consumer: Consumer, seen: SeenDocument | None = None) -> HeldLease:
        document = self._document(consumer)
        return HeldLease(
            self._client, document, self._clock, self._lease_ttl, host_lock=self._host_lock, seen=seen
        )

    def _history(self) -> HistoryIndex:
        return HistoryIndex(self._client, self._layout.replicas)

    def _subjects(self, consumers: Sequence[Consumer]) -> "list[Subject]":
        from ctisync.stores.opensearch.diagnose import Subject

        return [Subject(each, self._document(each), self._generations(each)) for each in consumers]

    def _document(self, consumer: Consumer) -> StateDocument:
        return StateDocument(self._client, consumer, self._layout.replicas)

    def _generations(self, consumer: Consumer) -> Generations:
        def stored() -> str | None:
            with suppress(CtisyncError):
                return self._document(consumer).read().entry.generation
            return None

        return Generations(self._client, consumer, self._clock, self._layout, stored)


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


def _check_shards(reply: ShardsReply) -> None:
    if reply.shards.failed:
        raise StoreUnavailable(f"{counted(reply.shards.failed, 'shard')} of OpenSearch did not answer")


def _origin(url: str) -> SplitResult:
    """Scheme, host, port and path prefix of a node's URL. Raises ConfigurationError for anything else in
    it."""
    try:
        parts = urlsplit(url)
        known = (
            parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        raise ConfigurationError("store.url contains an invalid URL", hint=_URL_HINT) from None
    if "@" in parts.netloc:
        raise ConfigurationError(
            "store.url contains a user or a password",
            hint="use store.username and store.password_file instead",
        )
    if not known or parts.query or parts.fragment:
        raise ConfigurationError(f"store.url: {url} is no address of an OpenSearch node", hint=_URL_HINT)
    return parts._replace(path=parts.path.rstrip("/"))


_URL_HINT: Final = "it looks like https://host:9200 or https://host:9200,https://host2:9200"
