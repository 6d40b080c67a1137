"""Incidents: what was alerted after passes over a consumer, so that not every pass alerts again."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from ctisync.core.health import CLOCKS_APART
from ctisync.core.model import Moment

Trouble = Literal["error", "stale"]


class Incident(msgspec.Struct, frozen=True):
    """Passes that end with the same exit code, or a content that is stale (`exit_code` is then 0).

    `why`: one line, from the first alert. `since`: the end of the first such pass. `alerted_at`: the last
    alert.
    """

    reason: Trouble
    exit_code: int
    why: str
    since: Moment
    alerted_at: Moment

    @property
    def key(self) -> tuple[Trouble, int]:
        """Equal keys are the same incident."""
        return self.reason, self.exit_code


Incidents = tuple[Incident, ...]


class News(NamedTuple):
    """`alerts`: incidents that are new, or due to be alerted again. `over`: those that have ended."""

    alerts: Incidents
    over: Incidents


def news(
    stored: Incidents,
    present: Sequence[Incident],
    ended: Collection[Trouble],
    again_after: timedelta,
    now: datetime,
) -> News:
    """What to report after a pass that met the incidents in `present` and ended those of the kinds in
    `ended`. An alert in the future comes from a wrong clock and does not count."""
    alerts = []
    by_key = {each.key: each for each in stored}
    for one in present:
        old = by_key.get(one.key)
        if old is None:
            alerts.append(one)
        elif now - old.alerted_at >= again_after or old.alerted_at - now > CLOCKS_APART:
            alerts.append(msgspec.structs.replace(old, alerted_at=now))
    return News(tuple(alerts), tuple(each for each in stored if each.reason in ended))


def after(stored: Incidents, reported: News) -> Incidents:
    """The incidents to store once all of `reported` was sent."""
    renewed = {each.key: each for each in (*stored, *reported.alerts)}
    return tuple(each for each in renewed.values() if each not in reported.over)


def merged(stored: Incidents, others: Incidents) -> Incidents:
    """Those of `stored`, and those of `others` that are not among them."""
    keys = {each.key for each in stored}
    return (*stored, *(each for each in others if each.key not in keys))
