"""What the benches of one run share: options, feeds, one OpenSearch, places to work in."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

from bench.client import Client
from bench.feed import files
from bench.feed.files import Changes, Snapshot
from bench.feed.served import ServedFeed, served
from tests.support.opensearch_node import OpenSearchNode, start_node

Store = Literal["sqlite", "opensearch"]

STORES: Final[tuple[Store, ...]] = ("sqlite", "opensearch")
OPENSEARCH: Final = "2.19.1"


class Options(NamedTuple):
    """`sizes` are the numbers of records whose memory and time are compared; `changes` are those of one run
    of an update; `stores` those that the benches of both are for."""

    records: int
    changes: int
    pairs: int
    seed: int
    sizes: tuple[int, ...]
    stores: tuple[Store, ...]
    folder: Path


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
        return self._parts.enter_context(start_node(OPENSEARCH))

    def snapshot(self, records: int | None = None) -> Snapshot:
        return files.snapshot(self.options.folder, records or self.options.records, self.options.seed)

    def changes(self, steps: int) -> Changes:
        """So many times as many changes as one run applies."""
        options = self.options
        return files.changes(options.folder, options.records, options.seed, steps, options.changes)

    @contextmanager
    def feed(self, *, records: int | None = None, steps: int = 0) -> Iterator[ServedFeed]:
        with served(self.snapshot(records), self.changes(steps) if steps else None) as feed:
            yield feed

    @contextmanager
    def client(self, store: Store, feed: ServedFeed) -> Iterator[Client]:
        """With an empty home, and nothing in the store."""
        with self.new_folder() as home:
            if store == "opensearch":
                self.node.wipe()
            yield Client(home, feed, self.node.url if store == "opensearch" else None)

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._work) as folder:
            yield Path(folder)
