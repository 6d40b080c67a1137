"""What the benches of one run share: options, feeds, one OpenSearch, places to work in."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

from bench.client import Client
from bench.feed import files
from bench.feed.files import Changes, Snapshot
from bench.feed.served import ServedFeed, served
from bench.places import SOURCES
from tests.support.opensearch_node import OpenSearchNode, restartable_nodes, start_node

Store = Literal["sqlite", "opensearch", "cluster"]

STORES: Final[tuple[Store, ...]] = ("sqlite", "opensearch")
"""What every bench is for when nobody says otherwise."""

ALL_STORES: Final[tuple[Store, ...]] = (*STORES, "cluster")
OPENSEARCH: Final = "2.19.1"
NODES: Final = 3
"""Of the cluster; each is a process of its own."""

_USUAL: Final[Mapping[Store, Mapping[str, str]]] = {
    "sqlite": {},
    "opensearch": {},
    "cluster": {"store.shards": str(NODES), "store.replicas": "1"},
}
"""Settings of ctisync: what one who has that store sets."""


class Options(NamedTuple):
    """`sizes` are the numbers of records whose memory and time are compared; `changes` are those of one run
    of an update; `stores` those that the benches of both are for; `revision` is what `against` compares
    with."""

    records: int
    changes: int
    pairs: int
    seed: int
    sizes: tuple[int, ...]
    stores: tuple[Store, ...]
    folder: Path
    revision: str = "HEAD"


class Workshop:
    """Feeds stay below the options' folder; all else is gone at the end of the `with`."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        self.options.folder.mkdir(parents=True, exist_ok=True)
        self._work = Path(tempfile.mkdtemp(prefix="work-", dir=self.options.folder))
        self._parts.callback(shutil.rmtree, self._work, ignore_errors=True)
        self._parts.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = str(self._work)  # the node's data, too: on the same disk as a SQLite file
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @cached_property
    def node(self) -> OpenSearchNode:
        """Started when first asked for."""
        return self._parts.enter_context(start_node(OPENSEARCH, measured=True))

    @cached_property
    def cluster(self) -> OpenSearchNode:
        """Started when first asked for. What is sent to it goes to its first node; `urls` are all of them."""
        started = self._parts.enter_context(restartable_nodes(OPENSEARCH, NODES, measured=True))
        nodes = [each.node for each in started]
        return replace(nodes[0], urls=tuple(node.url for node in nodes))

    def node_of(self, store: Store) -> OpenSearchNode:
        """For a store that is one."""
        return self.cluster if store == "cluster" else self.node

    def snapshot(self, records: int | None = None, kind: str = "snapshot") -> Snapshot:
        return files.snapshot(self.options.folder, records or self.options.records, self.options.seed, kind)

    def changes(
        self, steps: int, records: int | None = None, changes: int | None = None, kind: str = "snapshot"
    ) -> Changes:
        """So many times as many changes as one run applies; to a feed of so many records. `kind`: one of
        `files.KINDS`."""
        options = self.options
        records, changes = records or options.records, changes or options.changes
        return files.changes(options.folder, records, options.seed, steps, changes, kind)

    @contextmanager
    def feed(
        self,
        *,
        records: int | None = None,
        steps: int = 0,
        changes: int | None = None,
        kind: str = "snapshot",
    ) -> Iterator[ServedFeed]:
        later = self.changes(steps, records, changes, kind) if steps else None
        with served(self.snapshot(records, kind), later) as feed:
            yield feed

    @contextmanager
    def client(
        self,
        store: Store,
        feed: ServedFeed,
        settings: Mapping[str, str] | None = None,
        sources: str = SOURCES,
    ) -> Iterator[Client]:
        """With an empty home, and nothing in the store. `settings` (default: what is usual for the store) by
        their names: `store.senders`. `sources`: the folder of the package."""
        chosen = _USUAL[store] if settings is None else settings
        with self.new_folder() as home:
            if store == "sqlite":
                yield Client(home, feed, None, chosen, sources)
            else:
                node = self.node_of(store)
                node.wipe()
                hosts = ",".join(url.removeprefix("http://") for url in node.urls)
                yield Client(home, feed, f"http://{hosts}", chosen, sources)

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._work) as folder:
            yield Path(folder)
