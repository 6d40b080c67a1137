"""`backends.Backend` for a SQLite file."""

from pathlib import Path
from typing import ClassVar, Final

import msgspec

from ctisync.backends import Access, StoreSettings
from ctisync.errors import ConfigurationError
from ctisync.ports import Clock, Store
from ctisync.system.files import absolute, file_name
from ctisync.urls import redacted

_PACKED_SHARE: Final = 0.25
"""Bytes per byte of records in a compressed file: about a sixth, plus a margin."""


def parse(url: str, where: str) -> "SqliteBackend":
    """See `backends.parse_store_url`."""
    path = url.removeprefix("sqlite:///")
    if "?" in path:
        raise ConfigurationError(
            f"{where}: {redacted(url)} has a query", hint="use a file name without a question mark"
        )
    if path in (url, "", "/") or path.endswith("/") or path.startswith(":") or "\0" in path:
        raise ConfigurationError(
            f"{where}: {redacted(url)} names no file",
            hint="write sqlite:///relative/to/here.db, or four slashes: sqlite:////var/lib/ctisync/ctisync.db",
        )
    try:
        return SqliteBackend(absolute(Path(file_name(path)).expanduser(), where))
    except RuntimeError:
        raise ConfigurationError(
            f"{where}: {redacted(url)} begins with the home folder of a user that does not exist",
            hint="write the absolute path: sqlite:////var/lib/ctisync/ctisync.db",
        ) from None


class SqliteBackend(msgspec.Struct, frozen=True):
    """The file at `path`; its own `LocalFiles`."""

    path: Path

    kind: ClassVar[str] = "SQLite"
    urls: ClassVar[tuple[str, ...]] = ()

    @property
    def local(self) -> "SqliteBackend":
        return self

    def open(self, options: StoreSettings, clock: Clock, access: Access) -> Store:
        from ctisync.stores.sqlite.connection import LOCK_PATIENCE
        from ctisync.stores.sqlite.store import SqliteStore

        patience = min(LOCK_PATIENCE, access.wait)
        return SqliteStore(self.path, clock, patience, options.compression, read_only=access.read_only)

    def free_space(self, *, read_only: bool = False) -> int:
        """Free disk space, and the file's own free pages."""
        from ctisync.stores.sqlite.connection import reading
        from ctisync.stores.sqlite.schema import value_of
        from ctisync.system.folders import free_in

        with reading(self.path, read_only=read_only) as connection:
            pages = value_of(connection, "PRAGMA freelist_count")
            size = value_of(connection, "PRAGMA page_size")
            return free_in(self.path.parent) + int(pages * size)

    def bytes_per_byte(self, options: StoreSettings) -> float:
        return _PACKED_SHARE if options.compression == "zstd" else 1.0
