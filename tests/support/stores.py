"""The stores for tests: each call of a `MakeStore` is like another process on the same storage."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from ctisync.ports import Store
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.support.folder_store import FolderStorage
from tests.support.memory_store import MemoryStorage, MemoryStore
from tests.support.opensearch_node import OpenSearchNode

MakeStore = Callable[[], Store]

OPENSEARCH: Final = {"opensearch-2.19.1": "opensearch_2", "opensearch-3.3.2": "opensearch_3"}
"""The kinds of store that need a server, and the fixture that starts it."""

SECURED: Final = {"opensearch-secured": "secured_node"}
"""The same, over TLS and as the user of the fixture `least_privilege`."""


@contextmanager
def stores_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[MakeStore]:
    """Yields a function that makes stores of this kind ("memory", "folder", "sqlite", one of OPENSEARCH or
    SECURED). They are closed after the block."""
    open_another: MakeStore
    match kind:
        case "memory":
            open_another = partial(MemoryStore, MemoryStorage())
        case "folder":
            open_another = partial(_folder, folder / "store")
        case "sqlite":
            open_another = partial(SqliteStore, folder / "ctisync.db", SystemClock())
        case _ if kind in SECURED:
            open_another = partial(_opensearch, **request.getfixturevalue("least_privilege"))
        case _:
            node: OpenSearchNode = request.getfixturevalue(OPENSEARCH[kind])
            open_another = partial(_opensearch, node.url)

    with ExitStack() as opened:

        def make() -> Store:
            store = open_another()
            opened.callback(store.close)
            return store

        yield make


def _folder(folder: Path) -> Store:
    return MemoryStore(FolderStorage(folder))


def _opensearch(url: str, **access: Any) -> Store:
    from tests.support.opensearch_store import opensearch_at

    # Bulks of a few records, several at once: a small content is then loaded as a large one is.
    return opensearch_at([url], SystemClock(), host_lock="the lock", senders=3, bulk_bytes=500, **access)
