"""A ctisync with other migrations than this one: an older or a newer one."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from ctisync.stores.sqlite import connection
from ctisync.stores.sqlite.schema import Migration


@contextmanager
def with_migrations(*migrations: Migration) -> Iterator[None]:
    """In the block, files are opened and read as by the ctisync with these migrations."""
    with patch.object(connection, "MIGRATIONS", migrations):
        yield


@contextmanager
def read_with(path: Path, *migrations: Migration) -> Iterator[sqlite3.Connection]:
    """A read by that ctisync, in a block of this one."""
    with ExitStack() as reads:
        with with_migrations(*migrations):
            reader = reads.enter_context(connection.reading(path))
        yield reader


def create_with(path: Path, *migrations: Migration) -> None:
    """A new file of that ctisync."""
    with with_migrations(*migrations):
        connection.open_writable(path).close()
