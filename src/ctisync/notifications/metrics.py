"""The figures of passes as a Prometheus textfile, for node_exporter's collector or whoever reads the format.

One file for all consumers: those that this run did not pass over keep the figures that they had.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from ctisync import __version__
from ctisync.core.pass_report import PassReport
from ctisync.core.state import believed
from ctisync.errors import DONE
from ctisync.harmless import harmless
from ctisync.own_files import Unfit, reading
from ctisync.whole_file import replacing

_LONGEST: Final = 1 << 20
"""Bytes of a file with the figures of some thousand consumers."""

LAST_SUCCESS: Final = "ctisync_last_success_timestamp_seconds"


class Gauge(NamedTuple):
    """One figure of a consumer; None while it is not known."""

    name: str
    meaning: str
    of: Callable[[PassReport], float | None]


GAUGES: Final = (
    Gauge("ctisync_pass_exit_code", "Exit code of the last pass", lambda each: each.exit_code),
    Gauge(
        "ctisync_pass_end_timestamp_seconds",
        "When the last pass ended",
        lambda each: each.ended_at.timestamp(),
    ),
    Gauge("ctisync_pass_duration_seconds", "How long the last pass took", lambda each: each.seconds),
    Gauge(
        "ctisync_pass_initialisations",
        "Snapshots that the last pass made the content",
        lambda each: each.initialisations,
    ),
    Gauge("ctisync_pass_changes", "Changes that the last pass applied", lambda each: each.changes),
    Gauge("ctisync_pass_records", "Records that the last pass wrote", lambda each: each.records),
    Gauge("ctisync_pass_received_bytes", "What came from the feed", lambda each: each.received),
    Gauge(
        "ctisync_pass_retries", "Requests to the feed that had to be tried again", lambda each: each.retries
    ),
    Gauge(
        LAST_SUCCESS,
        "When the last pass with exit code 0 ended",
        lambda each: each.ended_at.timestamp() if each.exit_code == DONE else None,
    ),
    Gauge("ctisync_offset", "Where the content stands", lambda each: each.offset),
    Gauge("ctisync_feed_offset", "Where the feed stood when it last answered", lambda each: each.last_offset),
    Gauge("ctisync_behind_offsets", "How far the content is behind the feed", lambda each: each.behind),
    Gauge(
        "ctisync_in_step_timestamp_seconds",
        "When the content was last known to be all that the feed has",
        lambda each: _moment(each.in_step_at),
    ),
    Gauge(
        "ctisync_updated_timestamp_seconds",
        "When the content last changed",
        lambda each: _moment(believed(each.updated_at, each.ended_at)),
    ),
    Gauge(
        "ctisync_checked_timestamp_seconds",
        "When the feed last answered",
        lambda each: _moment(believed(each.checked_at, each.ended_at)),
    ),
    Gauge(
        "ctisync_command_owed",
        "1 while the update command is not accepted",
        lambda each: None if each.phase is None else each.command_owed,
    ),
    Gauge(
        "ctisync_blocked",
        "1 while a change that cannot be applied blocks the content",
        lambda each: None if each.phase is None else each.phase == "blocked",
    ),
)


def write(reports: Sequence[PassReport], path: Path) -> None:
    """Put the figures of these passes into the file, whole or not at all, for everybody to read.

    Raises OSError.
    """
    registry = CollectorRegistry()
    registry.register(_Figures(reports, _before(path)))
    figures = generate_latest(registry)
    with replacing(path, mode=0o644) as file:  # the collector is another user
        file.write(figures)


class _Figures(Collector):
    def __init__(self, reports: Sequence[PassReport], before: dict[str, dict[str, float]]) -> None:
        self._reports = reports
        self._before = before

    def collect(self) -> Iterator[Metric]:
        version = GaugeMetricFamily("ctisync_info", "Which ctisync it was", labels=["version"])
        version.add_metric([__version__], 1)
        yield version
        for gauge in GAUGES:
            yield self._family(gauge)

    def _family(self, gauge: Gauge) -> Metric:
        found = dict(self._before.get(gauge.name, {}))
        for report in self._reports:
            value = gauge.of(report)
            if value is not None:
                found[report.consumer] = float(value)
            elif gauge.name != LAST_SUCCESS:
                found.pop(report.consumer, None)
        family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=["consumer"])
        for consumer, value in sorted(found.items()):
            family.add_metric([harmless(consumer)], value)
        return family


def _before(path: Path) -> dict[str, dict[str, float]]:
    """The figures in the file, by name and consumer; none when it isn't there, or isn't one of ours: what
    others have put into a folder that they may write to is not believed."""
    try:
        with reading(path) as file:
            text = file.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            return {}
        families = list(text_string_to_metric_families(text.decode()))
    except (FileNotFoundError, Unfit, ValueError):
        return {}
    return {
        family.name: {sample.labels.get("consumer", ""): sample.value for sample in family.samples}
        for family in families
    }


def _moment(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
