"""The facts index: one document per record of the live generation, for dashboards.

It is derived from the content, after that is live and the command was sent. Its own mapping says up to where
it was filled (`FactsMark`), and is written last. A pass that dies leaves a lower mark, above which the next
one reads the content again. A deletion leaves no record to read: if the counts differ, names are compared.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from ctisync.core.facts_document import FORM, document_of
from ctisync.core.model import Record
from ctisync.core.pass_report import FactsFill
from ctisync.core.words import counted
from ctisync.errors import CtisyncError, StoreUnavailable
from ctisync.stores.opensearch.bulk import delete, index
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.fencing import FencedLease
from ctisync.stores.opensearch.generations import FACTS, Generations, add_alias, assert_alias, remove_index
from ctisync.stores.opensearch.indices import FactsMark, Index, count_records, fence_is_gone, refresh
from ctisync.stores.opensearch.lease import LeaseHolder
from ctisync.stores.opensearch.records import Records
from ctisync.stores.opensearch.search import Hit, PointInTime, point_in_time
from ctisync.system.process import HURRY

_KEYWORD: Final = {"type": "keyword"}
_SCORE: Final = {"properties": {"base": {"type": "float"}, "version": _KEYWORD}}
MAPPING: Final[dict[str, Any]] = {
    "dynamic": "strict",
    "properties": {
        "offset": {"type": "long"},
        "source": _KEYWORD,
        "cwe": _KEYWORD,
        "vulnerability": {
            "properties": {
                "id": _KEYWORD,
                "severity": _KEYWORD,
                "score": _SCORE,
                "published_at": {"type": "date"},
                "description": {"type": "text"},
            }
        },
        "package": {"properties": {"name": _KEYWORD, "vendor": _KEYWORD}},
    },
}

_SHARDS: Final = 1
"""`PointInTime.of_one_shard` needs it."""


class FactsIndex:
    """The facts index of one consumer, for the holder of its lease. `check`: called between requests; its
    errors end a fill."""

    def __init__(
        self,
        client: Client,
        lease: LeaseHolder,
        fenced: FencedLease,
        generations: Generations,
        records: Records,
        check: Callable[[], None],
    ) -> None:
        self._client = client
        self._lease = lease
        self._fenced = fenced
        self._generations = generations
        self._records = records
        self._check = check

    def fill(self, live: str, offset: int, deleted: Iterable[str]) -> FactsFill:
        """Make it equal to the content, which is the generation `live` at this offset. `deleted`: the records
        that this pass has deleted.

        Raises ForeignIndex if another index has the name of the alias, and what the requests raise.
        """
        listed, alias = self._generations.facts(), self._generations.facts_alias
        marks = {
            name: mark for name, each in listed.items() if (mark := _filled_mark(each, live)) is not None
        }
        name = max(marks, key=lambda each: alias in listed[each].aliases, default=None)
        strays = {each for each in listed if alias not in listed[each].aliases} - {name}
        self._begin(live, name, strays)
        with point_in_time(self._client, live, self._generations.consumer.index) as content:
            written = None
            if name is not None:
                written = self._update(name, content, marks[name], live, deleted)
            if name is None or written is None:
                name, written = self._build(content, live)
        self._set_mark(name, FactsMark(FORM, live, offset))
        if listed.keys() - strays != {name} or alias not in listed[name].aliases:
            self._show(name)
        return FactsFill(written)

    def remove(self, live: str) -> FactsFill:
        """Remove it: the settings do not want it."""
        self._begin(live, None, self._fenced.inventory.facts)
        return FactsFill(is_removed=True)

    def _begin(self, live: str, name: str | None, strays: Iterable[str]) -> None:
        """Fence the index, and remove what dead passes have left. If another pass has taken over, this has no
        effect, and the first request through the fence fails."""
        actions = [*assert_alias(live, self._fenced.fence(live)), *map(remove_index, sorted(strays))]
        if name is not None:
            actions.append(add_alias(name, self._fenced.fence(name)))
        self._generations.change_aliases(actions)

    def _update(
        self, name: str, content: PointInTime, mark: FactsMark, live: str, deleted: Iterable[str]
    ) -> int | None:
        """Write what has changed above the mark, remove what is gone. Returns the number of documents; None
        if the index has lost some and must be built anew."""
        fence, source = self._fenced.fence(name), self._fenced.fence(live)
        written = self._write(fence, content.by_place(mark.offset))
        self._drop_deleted(fence, source, [set(deleted)])
        if self._is_complete(fence, content):
            return written
        with point_in_time(self._client, name, self._generations.facts_alias) as stored:
            self._drop_deleted(fence, source, stored.of_one_shard())
        return written if self._is_complete(fence, content) else None

    def _build(self, content: PointInTime, live: str) -> tuple[str, int]:
        """A new index of all records, and their number."""
        name = self._generations.new_name(FACTS)
        fence = self._fenced.fence(name)
        meta = self._generations.meta(facts=FactsMark(FORM, live))
        try:
            self._generations.create_index(name, fence, MAPPING | meta, _SHARDS)
        except CtisyncError:
            self._fenced.discard_fence(name)
            raise
        self._lease.reload()  # a pass that has taken over has not seen this fence
        written = self._write(fence, content.by_place())
        self._generations.configure_for_reading(fence)
        if not self._is_complete(fence, content):
            expected = counted(content.count(), "record")
            raise StoreUnavailable(f"index {name} does not hold the facts of all {expected} after a fill")
        return name, written

    def _write(self, fence: str, pages: Iterable[Sequence[Hit]]) -> int:
        """Write the documents of these records. One that a pass which died has written before is there in the
        same version."""
        pool = self._records.pool(fence, self._keep_alive)
        try:
            parts = (pool.add(map(index, map(_document, hits))) for hits in pages)
            written = sum(len(each.versions) for results in parts for each in results)
            return written + sum(len(each.versions) for each in pool.drain())
        finally:
            pool.stop(HURRY)

    def _drop_deleted(self, fence: str, content: str, pages: Iterable[set[str]]) -> None:
        """Remove the documents of those names that the content does not hold."""
        for names in pages:
            self._keep_alive()
            gone = names.difference(self._records.versions(content, names))
            stored = self._records.versions(fence, gone)
            self._records.send(fence, [delete(each, 0, version) for each, version in stored.items()])

    def _keep_alive(self) -> None:
        self._lease.renew_if_due()
        self._check()

    def _is_complete(self, fence: str, content: PointInTime) -> bool:
        refresh(self._client, fence)
        return count_records(self._client, fence) == content.count()

    def _set_mark(self, name: str, mark: FactsMark) -> None:
        target = path(self._fenced.fence(name), "_mapping")
        if self._client.call("PUT", target, self._generations.meta(facts=mark), allow={404}).status == 404:
            raise fence_is_gone()

    def _show(self, name: str) -> None:
        """Let the alias point at this index, and remove all others. The next pass does it if this fails."""
        others = sorted(self._generations.facts().keys() - {name})
        shown = add_alias(name, self._generations.facts_alias)
        fenced = assert_alias(name, self._fenced.fence(name))
        if self._generations.change_aliases([*fenced, *map(remove_index, others), shown]):
            for each in others:
                self._fenced.discard_fence(each)
        else:
            self._lease.reload()


def _filled_mark(index: Index, live: str) -> FactsMark | None:
    """How far the index was filled; None if it is not of this generation and form, or was never filled."""
    mark = index.facts
    is_usable = mark is not None and (mark.form, mark.generation) == (FORM, live) and mark.offset >= 0
    return mark if is_usable else None


def _document(hit: Hit) -> Record:
    """The record with its document as the line."""
    return replace(hit.record, line=document_of(hit.record))
