"""`history`: the reports of past passes."""

from typing import Any, Final, NamedTuple

import msgspec

from ctisync.cli.invocation import Invocation
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport
from ctisync.wiring import opened_store

HISTORY_SCHEMA: Final = 1
"""Version of the JSON document: keys may be added; none is removed or changes its meaning."""


class Passes(NamedTuple):
    """The last passes over a consumer, newest first."""

    consumer: Consumer
    reports: list[PassReport]


class History(NamedTuple):
    """`store` is the name of the store, without secrets."""

    store: str
    consumers: list[Passes]


def look(invocation: Invocation, most: int) -> History:
    """Read at most `most` passes of each consumer."""
    with opened_store(invocation.settings, invocation.clock) as store:
        return History(
            store.name, [Passes(each, list(store.passes(each, most))) for each in invocation.consumers]
        )


def as_document(found: History) -> Any:
    """`history --json`: the stored reports, with values derived from them."""
    return {
        "schema": HISTORY_SCHEMA,
        "store": found.store,
        "consumers": [
            {"consumer": str(consumer), "passes": [_told(report) for report in reports]}
            for consumer, reports in found.consumers
        ],
    }


def _told(report: PassReport) -> Any:
    told = msgspec.to_builtins(report)
    for name in ("consumer", "touched", "untold", "was_in_step_at"):
        del told[name]
    return told | {"ended_at": report.ended_at, "behind": report.behind, "in_step_at": report.in_step_at}
