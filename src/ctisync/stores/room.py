"""How much a database file can still take."""

import shutil
from pathlib import Path

from ctisync.errors import StoreUnavailable
from ctisync.stores.sqlite_file import reading


def room_in(database: Path) -> int:
    """Bytes: what is free on its disk, and its own pages that earlier contents have left empty.

    Raises StoreUnavailable when neither can be told.
    """
    try:
        free = shutil.disk_usage(database.parent).free
    except OSError as error:
        raise StoreUnavailable(
            f"the disk of {database} cannot be looked at: {error.strerror}", hint=f"ls -ld {database.parent}"
        ) from error
    with reading(database, untouched=True) as connection:
        if connection is None:
            return free
        (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        return free + int(pages) * int(page_size)
