"""Adds the report of a pass to the store's history."""

from typing import Final

from ctisync.core.pass_report import PassReport
from ctisync.errors import CtisyncError, StoreUnavailable
from ctisync.ports import HistoryStore, Log
from ctisync.system.process import no_other_errors

USUAL_SECONDS: Final = 10.0
HURRIED_SECONDS: Final = 1.0
"""Seconds for writing the history; the second value after a signal or an error of the store."""


def remember(
    store: HistoryStore, report: PassReport, keep: int, log: Log, within: float = USUAL_SECONDS
) -> None:
    """Add the report to the history, which keeps the `keep` newest of the consumer; none if `keep` is 0.

    An error is logged and has no other effect. If the pass could not read the store at all, ctisync does not
    try; if the store failed later, it tries once, for a short time.
    """
    if not keep or report.phase is None:
        return
    store_failed = report.exit_code == StoreUnavailable.exit_code
    try:
        with no_other_errors():
            store.remember(report, keep, HURRIED_SECONDS if store_failed else within)
    except CtisyncError as error:
        if not store_failed:  # otherwise the error of the pass says it
            log.event("warning", "history-not-written", consumer=report.consumer, why=error.message)
