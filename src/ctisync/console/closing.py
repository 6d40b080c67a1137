"""The last line of a pass at a terminal."""

from ctisync.core.pass_report import PassReport
from ctisync.core.words import counted, lasting


def closing(report: PassReport) -> str | None:
    """What the pass did, how long it took, and the offset of the content. None if another message says how
    the pass ended."""
    match report.outcome:
        case "up-to-date" | "initialised":
            return f"{report.consumer}: {_done(report)}; {_stands(report)}."
        case "cooldown":
            return f"{report.consumer}: {report.why}."
        case _:
            return None


def _done(report: PassReport) -> str:
    parts = ["a snapshot loaded"] if report.initialisations else []
    if report.changes:
        parts.append(f"{counted(report.changes, 'change')} applied")
    return f"{' and '.join(parts)} in {lasting(report.seconds)}" if parts else "nothing new"


def _stands(report: PassReport) -> str:
    at = f"at offset {report.offset:,}"
    if report.behind:
        return f"{at}, {counted(report.behind, 'offset')} behind the feed"
    return at if report.behind is None else f"up to date {at}"
