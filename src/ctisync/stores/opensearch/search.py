"""Searches: their replies, and a content as of one moment (OpenSearch's point in time) in pages."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from heapq import merge
from itertools import chain
from typing import Any, Final

import msgspec

from ctisync import hints
from ctisync.core.model import Record
from ctisync.errors import AccessRefused, StoreUnavailable
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.indices import Shards
from ctisync.system.process import HURRY

_KEEP_ALIVE: Final = "30m"
"""The longest time between two searches."""
_FIRST_PAGE: Final = 100
_LARGEST_PAGE: Final = 2_000
_PAGE_BYTES: Final = 4_000_000

_HAS_RESOURCE: Final = {"exists": {"field": "resource"}}

NAMED_BY: Final[Mapping[str, Mapping[str, Any]]] = {
    "resource": _HAS_RESOURCE,
    "name": {"bool": {"must_not": _HAS_RESOURCE}},
}
"""The fields that name records (`wire.name_of`), each with the query for the records that it names."""


def by(field: str, order: str = "asc") -> dict[str, Any]:
    """A sort by one of `NAMED_BY`. An index of an earlier version does not know all of them."""
    return {field: {"order": order, "unmapped_type": "keyword"}}


class Hit(msgspec.Struct, frozen=True):
    """A document, with the parts that the search requested."""

    id: str = msgspec.field(name="_id")
    version: int = msgspec.field(name="_version", default=0)
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b""))
    sort: list[Any] = []

    @property
    def record(self) -> Record:
        """The record that the document is; the search requested its version and its source."""
        return Record(self.id, self.version, bytes(self.source))


class _Total(msgspec.Struct, frozen=True):
    value: int


class Hits(msgspec.Struct, frozen=True):
    """`total` only if the search requested it."""

    hits: list[Hit]
    total: _Total = _Total(0)


class SearchReply(msgspec.Struct, frozen=True):
    """The reply to a search, which may have reached only a part of the documents."""

    hits: Hits


class _WholeReply(SearchReply, frozen=True, kw_only=True):
    timed_out: bool
    shards: Shards = msgspec.field(name="_shards")


class _Pit(msgspec.Struct, frozen=True):
    pit_id: str


search_decoder: Final = msgspec.json.Decoder(SearchReply)
_pit_decoder: Final = msgspec.json.Decoder(_Pit)
_whole_decoder: Final = msgspec.json.Decoder(_WholeReply)


class PointInTime:
    """Made by `point_in_time`. `alias`: the name in errors of a search."""

    def __init__(self, client: Client, pit: str, alias: str) -> None:
        self._client = client
        self._pit = pit
        self._alias = alias

    def search(self, **body: Any) -> Hits:
        """Raises StoreUnavailable if the answer is incomplete."""
        body |= {"pit": {"id": self._pit, "keep_alive": _KEEP_ALIVE}}
        reply = self._client.call("POST", path("_search"), body, allow={404}, on=[self._alias])
        if reply.status == 404:
            raise StoreUnavailable(
                f"OpenSearch closed the point in time of {self._alias}: no search came for {_KEEP_ALIVE}",
                hint="run the same command again, and let it write to a file instead of a pipe that waits",
            )
        answer = self._client.read(reply, _whole_decoder)
        if answer.shards.failed or answer.timed_out:
            raise StoreUnavailable(f"OpenSearch at {self._client.url} answered only a part of a search")
        return answer.hits

    def by_name(self) -> Iterator[Hit]:
        """All records, ascending by the UTF-8 bytes of their names, as a keyword sorts. Raises as `by_place`
        does."""
        pages = (self._pages(query, [by(field)]) for field, query in NAMED_BY.items())
        return merge(*map(chain.from_iterable, pages), key=lambda hit: hit.id.encode())

    def by_place(self, above: int = -1) -> Iterator[list[Hit]]:
        """The records above an offset with their versions, in pages of about 4 MB, by their sequence numbers
        in their shards, which is roughly their order on the disk.

        Records of different shards may have the same number, but not the same name. Raises AccessRefused if a
        role hides the names, which the order needs, from the user.
        """
        higher = [] if above < 0 else [{"range": {"offset": {"gt": above}}}]
        for field, query in NAMED_BY.items():
            of_both = {"bool": {"filter": [query, *higher]}}
            yield from self._pages(of_both, [{"_seq_no": "asc"}, by(field)], version=True)

    def names(self) -> Iterator[str]:
        """The names of all records. Raises as `by_place` does."""
        for field, query in NAMED_BY.items():
            for hits in self._pages(query, [by(field)], _source=False):
                yield from (hit.id for hit in hits)

    def of_one_shard(self) -> Iterator[set[str]]:
        """The ids of all documents of an index of one shard, in pages."""
        for hits in self._pages({"match_all": {}}, [{"_seq_no": "asc"}], _source=False):
            yield {hit.id for hit in hits}

    def count(self) -> int:
        """The number of documents."""
        return self.search(size=0, track_total_hits=True).total.value

    def neighbours(self, name: str, most: int) -> list[str]:
        """At most so many names before this one, and as many behind it, ascending."""
        before = self._nearest(most, "desc", {"lt": name})
        behind = self._nearest(most, "asc", {"gt": name})
        return [*before[-most:], *behind[:most]]

    def _nearest(self, most: int, order: str, side: Mapping[str, str]) -> list[str]:
        names: set[str] = set()
        for field, query in NAMED_BY.items():
            filters = {"bool": {"filter": [query, {"range": {field: side}}]}}
            hits = self.search(size=most, sort=[by(field, order)], query=filters).hits
            names |= {hit.id for hit in hits}
        return sorted(names, key=str.encode)

    def _pages(
        self, query: Mapping[str, Any], sort: Sequence[Mapping[str, Any]], **body: Any
    ) -> Iterator[list[Hit]]:
        body |= {"query": query, "sort": sort, "track_total_hits": False}
        size = _FIRST_PAGE
        while hits := self.search(size=size, **body).hits:
            self._check_order(body.get("search_after"), hits[0].sort)
            yield hits
            body["search_after"] = hits[-1].sort
            line_bytes = sum(len(bytes(hit.source)) for hit in hits) // len(hits)
            size = max(1, min(_LARGEST_PAGE, _PAGE_BYTES // max(1, line_bytes)))

    def _check_order(self, before: Sequence[Any] | None, first: Sequence[Any]) -> None:
        """Raises AccessRefused if a page, sorted by names, does not begin after the end of the page before.
        That happens if names are masked or left out, and such a search may never end."""
        if None in first or (before is not None and not list(before) < list(first)):
            raise AccessRefused(
                f"the records of {self._alias} cannot be read in order: "
                "a role hides the field name from your user",
                hint=f"{hints.command('doctor')} (as the user of the passes: it names the roles)",
            )


@contextmanager
def point_in_time(client: Client, index: str, alias: str) -> Iterator[PointInTime]:
    """`index`: the index or alias that is searched. Raises StoreUnavailable if a shard does not take part."""
    query = f"keep_alive={_KEEP_ALIVE}&allow_partial_pit_creation=false"
    reply = client.call("POST", path(index, "_search", "point_in_time", query=query))
    pit = client.read(reply, _pit_decoder).pit_id
    try:
        yield PointInTime(client, pit, alias)
    finally:
        # Best effort: it expires by itself, and the user may lack the right to close it.
        with suppress(StoreUnavailable):
            end = path("_search", "point_in_time")
            client.call("DELETE", end, {"pit_id": [pit]}, allow={403, 404}, within=HURRY)
