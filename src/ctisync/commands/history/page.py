"""`history --html`: one self-contained page with charts.

It has no script and fetches nothing: you can mail it, or serve it with the strictest content policy.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from ctisync import __version__
from ctisync.commands.history.chart import Chart, Span, bars, steps
from ctisync.commands.history.look import History
from ctisync.commands.history.table import duration
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport
from ctisync.core.words import noun_for
from ctisync.errors import DONE, UsageError
from ctisync.escaping import escape
from ctisync.system.files import atomic_write

_MOST_ROWS: Final = 50


def as_page(found: History, now: datetime) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("ctisync.commands.history"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        finalize=_put_in,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": _moment, "number": _number, "duration": duration, "noun": noun_for}
    moments = [report.ended_at for _, reports in found.consumers for report in reports]
    span = (min(moments, default=now), max(moments, default=now))
    return environment.get_template("history.html").render(
        consumers=[_of(each.consumer, each.reports, span) for each in found.consumers],
        store=found.store,
        now=now,
        version=__version__,
    )


def _put_in(value: Any) -> Any:
    """Cleans each text that the template inserts; markup of the template itself is not a plain `str`."""
    return escape(value) if type(value) is str else value


def _of(consumer: Consumer, newest_first: Sequence[PassReport], span: Span) -> dict[str, Any]:
    reports = list(reversed(newest_first))
    failures = [each for each in newest_first if each.exit_code != DONE]
    return {
        "name": str(consumer),
        "index": consumer.index,
        "passes": len(reports),
        "first": reports[0] if reports else None,
        "last": reports[-1] if reports else None,
        "failures": failures[:_MOST_ROWS],
        "reasons": Counter(each.outcome for each in failures).most_common(),
        "initialisations": sum(each.initialisations for each in reports),
        "changes": sum(each.changes for each in reports),
        "charts": _charts(reports, span) if reports else [],
        "newest": newest_first[:_MOST_ROWS],
    }


def _charts(reports: Sequence[PassReport], span: Span) -> list[Chart]:
    failed = [each.ended_at for each in reports if each.exit_code != DONE]
    lag = [(each.ended_at, float(each.behind)) for each in reports if each.behind is not None]
    ages = [
        (each.ended_at, (each.ended_at - each.in_step_at).total_seconds())
        for each in reports
        if each.in_step_at is not None
    ]
    took = [(each.ended_at, each.seconds) for each in reports]
    days: Counter[datetime] = Counter()
    for each in reports:
        day = each.ended_at.replace(hour=0, minute=0, second=0, microsecond=0)
        days[day] += each.changes
    return [
        steps("Lag", "offsets behind the feed, at the end of each pass", lag, failed, span),
        steps("Age", "since the content was known to be in step", ages, failed, span, seconds=True),
        bars(
            "Changes",
            "applied on each day (UTC)",
            sorted((day, float(sum_)) for day, sum_ in days.items()),
            span,
        ),
        steps("Duration", "of each pass", took, failed, span, seconds=True),
    ]


def _moment(time: datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,}"


def write_page(page: str, path: Path) -> None:
    """Writes the page atomically. Raises UsageError."""
    try:
        with atomic_write(path) as file:
            file.write(page.encode())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"--html: cannot write {path}: {error.strerror}") from error
