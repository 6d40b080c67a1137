"""Alerts after a pass: each incident once, again after `hooks.again_after`, and once when it is over.

The stored state remembers what was alerted, for all hosts. While the store cannot, a file beside the lock
does, for this host.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from ctisync.core.incidents import Incident, Incidents, News, after, merged, news
from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport, Reason
from ctisync.errors import CtisyncError, StoreUnavailable
from ctisync.ports import Clock, Log
from ctisync.settings import Settings
from ctisync.system.files import atomic_write, open_own
from ctisync.system.process import only_ctisync_errors
from ctisync.wiring import lock_path, opened_store

Hook = Callable[[Reason, Incident], bool]
"""Runs the hook of this reason, if there is one. Returns whether it succeeded."""

_MOST: Final = 1 << 16
_decoder: Final = msgspec.json.Decoder(Incidents)


class Alerts:
    """The alerts after one pass. Call `send`, then `remember`."""

    def __init__(
        self,
        settings: Settings,
        consumer: Consumer,
        clock: Clock,
        log: Log,
        report: PassReport,
        at_end: Incidents,
    ) -> None:
        """`at_end`: the incidents in the state that the pass last read."""
        self.report = report
        self._settings = settings
        self._consumer = consumer
        self._clock = clock
        self._log = log
        self._file = lock_path(settings, consumer).with_suffix(".alerts")
        self._store_fails = report.phase is None or report.exit_code == StoreUnavailable.exit_code
        hooks = settings.hooks
        found, self._ended = report.incidents(timedelta(seconds=hooks.stale_after))
        watched = {"error": hooks.on_error, "stale": hooks.on_stale}
        self._found = [each for each in found if watched[each.reason] or settings.ping_url is not None]
        self._known = merged(at_end, self._in_file())
        self._now = report.ended_at
        self.sent = News((), ())
        """What was reported. An alert whose hook failed is not: the next pass sends it again."""

    def send(self, hook: Hook) -> bool:
        """Run the hooks. Returns whether all succeeded."""
        if not (self._found or self._known):
            return True
        self._known = self._read()
        again_after = timedelta(seconds=self._settings.hooks.again_after)
        due = news(self._known, self._found, self._ended, again_after, self._now)
        alerts = tuple(each for each in due.alerts if hook(each.reason, each))
        over = tuple(each for each in due.over if hook("recovered", each))
        self.sent = News(alerts, over)
        return self.sent == due

    def remember(self) -> None:
        """Store what was sent. Best effort: if neither the store nor the file can, the next pass alerts
        again."""
        incidents = after(self._known, self.sent)
        if incidents == self._known:
            return
        try:
            with only_ctisync_errors():
                if not self._store_fails and self._stored(incidents):
                    self._file.unlink(missing_ok=True)
                else:
                    with atomic_write(self._file, mode=0o600) as file:
                        file.write(msgspec.json.encode(incidents))
        except CtisyncError as error:
            self._log.event(
                "warning", "alerts-not-remembered", consumer=str(self._consumer), why=error.message
            )

    def _read(self) -> Incidents:
        """As they are now: a pass on another host may have alerted since this one began."""
        if self._store_fails:
            return self._known
        try:
            with only_ctisync_errors(), opened_store(self._settings, self._clock) as store:
                return merged(store.read_state(self._consumer).incidents, self._in_file())
        except CtisyncError:
            self._store_fails = True
            return self._known

    def _stored(self, incidents: Incidents) -> bool:
        try:
            with only_ctisync_errors(), opened_store(self._settings, self._clock) as store:
                state = store.read_state(self._consumer)
                store.record_check(self._consumer, msgspec.structs.replace(state, incidents=incidents))
        except CtisyncError:
            return False
        return True

    def _in_file(self) -> Incidents:
        try:
            with open_own(self._file) as file:
                return decode_as(file.read(_MOST), _decoder)
        except (OSError, *UNDECODABLE):
            return ()
