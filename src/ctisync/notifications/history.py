"""Adds the report of a pass to the store's history."""

from typing import Final

from ctisync.core.pass_report import PassReport
from ctisync.errors import CtisyncError, StoreUnavailable
from ctisync.ports import HistoryStore, Log
from ctisync.process import no_other_errors

USUAL_SECONDS: Final = 10.0
HURRIED_SECONDS: Final = 1.0
"""Seconds that the history may take; the second when a signal or the store itself has ended the pass."""


def remember(
    store: HistoryStore, report: PassReport, keep: int, log: Log, within: float = USUAL_SECONDS
) -> None:
    """Keep the report, and the `keep` newest of its consumer; none when `keep` is 0.

    What goes wrong with that is logged, and has no other effect. A store that the pass could not even look at
    is not asked again; one that has failed it is, once and briefly.
    """
    if not keep or report.phase is None:
        return
    store_failed = report.exit_code == StoreUnavailable.exit_code
    try:
        with no_other_errors():
            store.remember(report, keep, HURRIED_SECONDS if store_failed else within)
    except CtisyncError as error:
        if not store_failed:  # else the pass's own error says it
            log.event("warning", "history-not-written", consumer=report.consumer, why=error.message)
