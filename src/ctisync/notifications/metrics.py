"""The metrics of passes as a Prometheus textfile, for the textfile collector of node_exporter.

One file for all consumers: those without a pass in this call keep their metrics.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from ctisync import __version__
from ctisync.core.health import believed
from ctisync.core.pass_report import PassReport
from ctisync.errors import DONE
from ctisync.escaping import escape
from ctisync.system.files import UntrustedFile, atomic_write, open_own

_LONGEST: Final = 1 << 20
"""Bytes; a file with the metrics of some thousand consumers is smaller."""

LAST_SUCCESS: Final = "ctisync_last_success_timestamp_seconds"


GAUGES: Final[dict[str, tuple[str, Callable[[PassReport], float | None]]]] = {
    "ctisync_pass_exit_code": ("Exit code of the last pass", lambda it: it.exit_code),
    "ctisync_pass_end_timestamp_seconds": ("When the last pass ended", lambda it: it.ended_at.timestamp()),
    "ctisync_pass_duration_seconds": ("Duration of the last pass", lambda it: it.seconds),
    "ctisync_pass_initialisations": ("Snapshots that the last pass loaded", lambda it: it.initialisations),
    "ctisync_pass_changes": ("Changes that the last pass applied", lambda it: it.changes),
    "ctisync_pass_records": ("Records that the last pass wrote", lambda it: it.records),
    "ctisync_pass_received_bytes": ("Bytes received from the feed", lambda it: it.received),
    "ctisync_pass_retries": ("Retried requests to the feed", lambda it: it.retries),
    "ctisync_pass_notices": ("Records that the last pass reported to watches", lambda it: it.notices),
    "ctisync_watches_failed": ("Watches whose hook failed in the last pass", lambda it: it.watches_failed),
    LAST_SUCCESS: (
        "When the last pass with exit code 0 ended",
        lambda it: it.ended_at.timestamp() if it.exit_code == DONE else None,
    ),
    "ctisync_pass_tolerated": (
        "1 if a cool-down ended the last pass and --tolerate-cooldown made that exit code 0",
        lambda it: it.exit_code == DONE and it.outcome == "cooldown",
    ),
    "ctisync_offset": ("Offset of the content", lambda it: it.offset),
    "ctisync_feed_offset": ("Last offset of the feed when it last answered", lambda it: it.last_offset),
    "ctisync_behind_offsets": ("Offsets that the content is behind the feed", lambda it: it.behind),
    "ctisync_in_step_timestamp_seconds": (
        "When the content was last known to be in step with the feed",
        lambda it: _timestamp(it.in_step_at),
    ),
    "ctisync_updated_timestamp_seconds": (
        "When the content last changed",
        lambda it: _timestamp(believed(it.updated_at, it.ended_at)),
    ),
    "ctisync_checked_timestamp_seconds": (
        "When the feed last answered",
        lambda it: _timestamp(believed(it.checked_at, it.ended_at)),
    ),
    "ctisync_command_owed": (
        "1 until the Command Manager accepts the update command",
        lambda it: None if it.phase is None else it.command_owed,
    ),
    "ctisync_blocked": (
        "1 while a change that cannot be applied blocks the content",
        lambda it: None if it.phase is None else it.phase == "blocked",
    ),
}
"""The metrics of a consumer: what each means, and its value after a pass, None while it is unknown."""


def write(reports: Sequence[PassReport], path: Path) -> None:
    """Write the metrics of these passes to the file, atomically and readable for all users.

    Raises OSError.
    """
    figures = generate_latest(_Figures(reports, _before(path)))
    with atomic_write(path, mode=0o644) as file:  # the collector runs as another user
        file.write(figures)


class _Figures(Collector):
    def __init__(self, reports: Sequence[PassReport], before: dict[str, dict[str, float]]) -> None:
        self._reports = reports
        self._before = before

    def collect(self) -> Iterator[Metric]:
        version = GaugeMetricFamily("ctisync_info", "Version of ctisync", labels=["version"])
        version.add_metric([__version__], 1)
        yield version
        for name, (meaning, value_of) in GAUGES.items():
            values = dict(self._before.get(name, {}))
            for report in self._reports:
                value = value_of(report)
                if value is not None:
                    values[report.consumer] = float(value)
                elif name != LAST_SUCCESS:
                    values.pop(report.consumer, None)
            family = GaugeMetricFamily(name, meaning, labels=["consumer"])
            for consumer, number in sorted(values.items()):
                family.add_metric([escape(consumer)], number)
            yield family


def _before(path: Path) -> dict[str, dict[str, float]]:
    """The metrics in the file, by name and consumer; none if the file is missing or another user's: other
    users may be able to write to the folder."""
    try:
        with open_own(path) as file:
            text = file.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            return {}
        families = list(text_string_to_metric_families(text.decode()))
    except (FileNotFoundError, UntrustedFile, ValueError):
        return {}
    return {
        family.name: {sample.labels.get("consumer", ""): sample.value for sample in family.samples}
        for family in families
    }


def _timestamp(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
