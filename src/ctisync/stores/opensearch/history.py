"""The history on OpenSearch: index `ctisync-history`, one document per pass, with the pass's id.

    {"consumer": "vd_1.0.0/vd_4.8.0", "began_at": "2026-…Z", "exit_code": 0, "behind": 0, …, "touched": […]}

The fields that dashboards search by are mapped; `touched` is stored only.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport
from ctisync.stores.opensearch.client import Client, decode, path
from ctisync.stores.opensearch.indices import create_index
from ctisync.stores.opensearch.search import Hits, search_decoder

HISTORY_INDEX: Final = "ctisync-history"

_PAGE: Final = 200
_PAGE_TOUCHED: Final = 20
"""Passes. The touched records of one may take a MB."""

_WORDS: Final = ("pass_id", "consumer", "index", "command", "outcome", "phase")
_NUMBERS: Final = (
    *("exit_code", "from_offset", "offset", "last_offset", "behind"),
    *("initialisations", "changes", "records", "received", "retries"),
)
_TIMES: Final = ("began_at", "ended_at", "checked_at", "updated_at", "tried_at")
_MAPPING: Final[dict[str, Any]] = {
    "dynamic": False,
    "properties": {
        **{name: {"type": "keyword", "ignore_above": 1024} for name in _WORDS},
        **{name: {"type": "long"} for name in _NUMBERS},
        **{name: {"type": "date"} for name in _TIMES},
        "seconds": {"type": "double"},
        "why": {"type": "text"},
        "command_owed": {"type": "boolean"},
        "touched": {"type": "object", "enabled": False},
    },
}

# The order in which the only shard wrote them. Times may come from a wrong clock.
_LAST_FIRST: Final = [{"_seq_no": "desc"}, {"pass_id": "desc"}]


_report_decoder: Final = msgspec.json.Decoder(PassReport)


class HistoryIndex:
    """The reports of the passes of all consumers, as `ports.Store` says."""

    def __init__(self, client: Client, replicas: int) -> None:
        self._client = client
        self._replicas = replicas

    def remember(self, report: PassReport, keep: int) -> None:
        """Add the pass, and remove the consumer's passes beyond the last `keep`."""
        beyond = self._search(report.consumer, {"size": 1, "from": max(0, keep - 1), "_source": False})
        if beyond is None:
            create_index(self._client, HISTORY_INDEX, self._replicas, _MAPPING)
        elif beyond.hits:
            self._delete(report.consumer, {"range": {"_seq_no": {"lte": beyond.hits[0].sort[0]}}})
        document = msgspec.to_builtins(report) | {"behind": report.behind, "ended_at": report.ended_at}
        # The id is the pass's own, so that a repeated request adds nothing.
        target = path(HISTORY_INDEX, "_doc", report.pass_id, query="refresh=true")
        self._client.call("PUT", target, msgspec.json.encode(document))

    def passes(self, consumer: Consumer, most: int, *, touched: bool) -> Iterator[PassReport]:
        """The last `most` passes, newest first. `touched`: with the records that each one touched."""
        body: dict[str, Any] = {"_source": {"excludes": [] if touched else ["touched"]}}
        while most > 0:
            body["size"] = min(most, _PAGE_TOUCHED if touched else _PAGE)
            page = self._search(str(consumer), body)
            hits = [] if page is None else page.hits
            for hit in hits:
                yield decode(hit.source, _report_decoder, f"report {hit.id} of {HISTORY_INDEX}")
            if len(hits) < body["size"]:
                return
            most -= body["size"]
            body["search_after"] = hits[-1].sort

    def count(self, consumer: Consumer) -> int:
        """The number of passes of the consumer."""
        page = self._search(str(consumer), {"size": 0, "track_total_hits": True})
        return 0 if page is None else page.total.value

    def forget(self, consumer: Consumer) -> None:
        """Remove all passes of the consumer."""
        if self.count(consumer):
            self._delete(str(consumer))

    def _search(self, consumer: str, body: dict[str, Any]) -> Hits | None:
        """None if the index does not exist yet."""
        query = {"query": {"term": {"consumer": consumer}}, "sort": _LAST_FIRST, "track_total_hits": False}
        reply = self._client.call("POST", path(HISTORY_INDEX, "_search"), query | body, allow={404})
        return None if reply.status == 404 else self._client.read(reply, search_decoder).hits

    def _delete(self, consumer: str, *filters: dict[str, Any]) -> None:
        query = {"bool": {"filter": [{"term": {"consumer": consumer}}, *filters]}}
        target = path(HISTORY_INDEX, "_delete_by_query", query="conflicts=proceed&refresh=true")
        self._client.call("POST", target, {"query": query})
