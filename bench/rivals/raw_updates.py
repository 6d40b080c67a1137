"""Updates of the touched records in OpenSearch, with all that is written made before the clock starts."""

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from bench.feed.changes import Write
from bench.feed.files import RangeWork
from bench.processes import Run
from bench.rivals.plain_http import Connection, connected
from bench.rivals.prebaked import index_action

_VERSION: Final = "version=%d&version_type=external"


def raw(url: str, index: str, step: Sequence[RangeWork]) -> Run:
    """One `_mget` and one `_bulk` a range, over one connection."""
    ready = [(msgspec.json.encode({"ids": work.reads}), b"".join(map(_item, work.writes))) for work in step]
    with connected(url) as connection:
        began = time.perf_counter()
        for names, body in ready:
            connection.send("POST", f"/{index}/_mget", names)
            connection.bulk(index, body)
        return Run(time.perf_counter() - began)


def one_by_one(url: str, index: str, step: Sequence[RangeWork]) -> Run:
    """One request to read a record and one to write it, as a naive client does."""
    with connected(url) as connection:
        began = time.perf_counter()
        for work in step:
            reads = set(work.reads)
            for write in work.writes:
                _apply(connection, index, write, read=write.name in reads)
        return Run(time.perf_counter() - began)


def _item(write: Write) -> bytes:
    if write.line is not None:
        return index_action(write.name, write.offset) + write.line + b"\n"
    return b'{"delete":{"_id":"%b","version":%d,"version_type":"external"}}\n' % (
        write.name.encode(),
        write.offset,
    )


def _apply(connection: Connection, index: str, write: Write, *, read: bool) -> None:
    place = f"/{index}/_doc/{write.name}"
    if read:
        connection.send("GET", place)
    condition = _VERSION % write.offset
    if write.line is None:
        connection.send("DELETE", f"{place}?{condition}", allow={404})
    else:
        connection.send("PUT", f"{place}?{condition}", write.line)
