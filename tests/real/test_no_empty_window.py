"""Readers find the old content or the whole new one, whatever happens to loads: never none, part or both."""

import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from ctisync.core.model import Consumer, Record
from ctisync.errors import EmptyStore
from ctisync.ports import Store
from ctisync.stores.opensearch.store import OpenSearchStore
from ctisync.stores.sqlite.compression import register
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.real.readers import ContentCounts, Reader
from tests.support.figures import figure
from tests.support.long import LONG
from tests.support.opensearch_node import OpenSearchNode
from tests.support.opensearch_store import opensearch_at
from tests.support.records import record

SECONDS: Final = 25.0 if LONG else 6.0
FEWEST_SWAPS: Final = 4
BATCHES: Final = 4
POINTS: Final = (2, BATCHES, 0, 1, 3)
"""After how many batches a load fails; BATCHES is at its end."""
PAGE: Final = 100
FEWEST: Final = 200


class Contents:
    """One content after another: the records of each tell which it is, and each has another size."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}

    def next(self) -> list[Record]:
        number = len(self.sizes) + 1
        self.sizes[number] = FEWEST + number
        offset = 1000 * number
        return [
            record(f"CVE-{place}", offset + place, {"content": number, "text": "words " * 100})
            for place in range(self.sizes[number])
        ]


def count_contents(lines: Sequence[bytes]) -> ContentCounts:
    return Counter(_Line.decode(line).payload.content for line in lines)


class _Payload(msgspec.Struct):
    content: int


class _Line(msgspec.Struct):
    payload: _Payload

    @staticmethod
    def decode(line: bytes) -> "_Line":
        return msgspec.json.decode(line, type=_Line)


def initialise(store: Store, consumer: Consumer, contents: Contents, fails_after: int | None) -> None:
    """A pass that loads a content in batches; one that fails does so after some of them, 0 to BATCHES."""
    records = contents.next()
    offset = max(each.offset for each in records)
    size = -(-len(records) // BATCHES)
    with (
        suppress(_Damaged),
        store.writer(consumer) as writer,
        writer.load(passes.snapshot(offset)) as load,
    ):
        for number in range(BATCHES):
            _fail_if(number == fails_after)
            load.add(records[number * size : (number + 1) * size])
        _fail_if(fails_after == BATCHES)
        load.publish(passes.loaded(writer, consumer, offset))


class _Damaged(Exception):
    pass


def _fail_if(so: bool) -> None:
    if so:
        raise _Damaged


def keep_initialising(
    make: Callable[[], Store],
    consumer: Consumer,
    contents: Contents,
    between: Callable[[Callable[[], None]], None],
) -> tuple[int, int]:
    """For SECONDS, and FEWEST_SWAPS: every other initialisation fails, at another point each time; `between`
    is given the one to run. How many contents went live, and how many loads failed."""
    swaps = failures = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or swaps < FEWEST_SWAPS:
        fails_after = POINTS[failures % len(POINTS)] if swaps > failures else None
        with closing(make()) as store:
            between(partial(initialise, store, consumer, contents, fails_after))
        swaps += fails_after is None
        failures += fails_after is not None
    return swaps, failures


def at_once(work: Callable[[], None]) -> None:
    work()


def assert_no_window(readers: Sequence[Reader], swaps: int, failures: int, where: str) -> None:
    """Fails when a reader has seen what must not be seen."""
    reads = {reader.name: reader.reads for reader in readers}
    wrong = [each for reader in readers for each in reader.wrong]
    done = f"{swaps} swaps, {failures} failed loads"
    figure(f"no empty window, {where}: reads {reads}, {done}, {len(wrong)} wrong")
    assert wrong == []
    assert all(len(reader.contents) >= 2 for reader in readers), "no reader has seen a swap"


def test_readers_of_a_sqlite_file_see_no_empty_window(tmp_path: Path) -> None:
    path, consumer, contents = tmp_path / "ctisync.db", Consumer(), Contents()

    def make() -> SqliteStore:
        return SqliteStore(path, SystemClock())

    def view() -> ContentCounts | None:
        if not path.exists():
            return None
        with closing(sqlite3.connect(path, timeout=30)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'content'").fetchall():
                return None
            register(database)
            column = "json_extract(ctisync_line(line), '$.payload.content')"
            counted = f"SELECT {column}, count(*) FROM content GROUP BY 1"  # noqa: S608  # as above
            return Counter(dict(database.execute(counted).fetchall()))

    def export() -> ContentCounts | None:
        try:
            return count_contents(list(make().export(consumer)))
        except EmptyStore:
            return None

    readers = [Reader("view", view, contents.sizes), Reader("export", export, contents.sizes)]
    with ExitStack() as running:
        for reader in readers:
            running.enter_context(reader)
        swaps, failures = keep_initialising(make, consumer, contents, at_once)
    assert_no_window(readers, swaps, failures, "SQLite")


def test_readers_of_opensearch_see_no_empty_window(opensearch_2: OpenSearchNode) -> None:
    """Searches and counts through the alias, exports, and a point in time that is held over a swap."""
    token = uuid.uuid4().hex[:12]
    consumer = Consumer(context=f"vd_{token}", name="vd_4.8.0", index=f"window-cve-{token}")
    contents = Contents()
    spanned: Counter[str] = Counter()

    def make() -> OpenSearchStore:
        return opensearch_at([opensearch_2.url], SystemClock())

    def export() -> ContentCounts | None:
        try:
            return count_contents(list(exporting.export(consumer)))
        except EmptyStore:
            return None

    with ExitStack() as running:
        exporting = running.enter_context(closing(make()))
        client = running.enter_context(httpx.Client(base_url=opensearch_2.url, timeout=30))
        alias = Alias(client, consumer.index)
        readers = [
            Reader("search", alias.search, contents.sizes),
            Reader("export", export, contents.sizes),
        ]
        counting = Reader("count", alias.count, contents.sizes)

        def within_point_in_time(work: Callable[[], None]) -> None:
            before = alias.search()
            if before is None:
                work()
                return
            with closing(alias.point_in_time()) as pages:
                records = list(next(pages))
                work()
                records += [each for page in pages for each in page]
            assert Counter(records) == before
            spanned["swap" if alias.search() != before else "failure"] += 1

        for reader in (*readers, counting):
            running.enter_context(reader)
        swaps, failures = keep_initialising(make, consumer, contents, within_point_in_time)
    where = f"OpenSearch (points in time held over: {dict(spanned)})"
    assert_no_window((*readers, counting), swaps, failures, where)
    assert spanned["swap"] >= 2


class Alias:
    """What readers ask through the alias, in the ways that OpenSearch has."""

    def __init__(self, client: httpx.Client, name: str) -> None:
        self._client = client
        self._name = name

    def search(self) -> ContentCounts | None:
        hits = self._ask(f"/{self._name}/_search", {"size": 1000, "_source": ["payload.content"]})
        return None if hits is None else Counter(_contents(hits))

    def count(self) -> ContentCounts | None:
        counted = self._ask(f"/{self._name}/_count", {})
        return None if counted is None else Counter({counted["count"] - FEWEST: counted["count"]})

    def point_in_time(self) -> Generator[list[int]]:
        """Pages of which content each record belongs to, from one point in time."""
        opened = self._ask(f"/{self._name}/_search/point_in_time?keep_alive=5m", None)
        assert opened is not None
        pit = {"id": opened["pit_id"], "keep_alive": "5m"}
        after: list[Any] | None = None
        while True:
            search: dict[str, Any] = {"pit": pit, "size": PAGE, "sort": ["name"]}
            page = self._ask("/_search", search if after is None else search | {"search_after": after})
            assert page is not None
            if not page["hits"]["hits"]:
                return
            after = page["hits"]["hits"][-1]["sort"]
            yield _contents(page)

    def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        reply = self._client.post(path, json=body)
        if reply.status_code == 404 and "index_not_found" in reply.text:
            return None
        reply.raise_for_status()
        answer = reply.json()
        assert answer["_shards"]["failed"] == 0
        return answer


def _contents(page: Any) -> list[int]:
    return [hit["_source"]["payload"]["content"] for hit in page["hits"]["hits"]]
