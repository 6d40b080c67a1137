"""What a pass may spend: sizes, time, free disk space, and retries of requests."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.retry import next_delay
from ctisync.core.state import LONGEST_COOLDOWN
from ctisync.core.words import counted
from ctisync.errors import CtisyncError, FeedRefused, FeedUnreachable, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.ports import Clock, Log

PIECE: Final = 1 << 19
"""The highest number of bytes that are decompressed in one piece. Larger ones take more memory, and no less
time."""


class PassLimits:
    """The limits of the settings, the free disk space, and the time of the pass, which starts here."""

    def __init__(
        self, clock: Clock, limits: Limits = USUAL_LIMITS, disk: "FreeDiskSpace | None" = None
    ) -> None:
        """`disk` None: free disk space is not checked."""
        self.clock = clock
        self.limits = limits
        self.disk = disk
        self._end = clock.monotonic() + (limits.pass_seconds or float("inf"))

    def end(self) -> None:
        """End the time of the pass now, so that a request that is still running fails."""
        self._end = float("-inf")

    @property
    def seconds_left(self) -> float:
        """Seconds until the pass must end; infinite without limits.pass_seconds."""
        return self._end - self.clock.monotonic()

    def check_time(self) -> None:
        """Raises FeedUnreachable if the time is over. Called between two requests, chunks or batches."""
        if self.seconds_left <= 0:
            raise FeedUnreachable(
                f"the pass took longer than limits.pass_seconds, {self.limits.pass_seconds:.0f} s",
                hint="run the same command again (it continues there), or raise limits.pass_seconds",
            )


class ReadDeadline:
    """The deadline for the next part of an answer, its head or a piece of its body: `seconds` after the last
    one, and never after the time of the pass.

    A time-out of httpx is for the next bytes only. It never ends a server that sends a byte a minute, or
    endless bytes that are no part of the answer (interim responses, chunk extensions, trailers).
    """

    def __init__(self, seconds: float, pass_limits: PassLimits) -> None:
        self._seconds = seconds
        self._pass_limits = pass_limits
        self._clock = pass_limits.clock
        self._end = 0.0

    def begin(self) -> None:
        """Start the wait for the next part."""
        self._end = self._clock.monotonic() + self._seconds

    def watch(self, stream: Any) -> None:
        """Limit all later reads of an httpx network stream to the rest of the wait.

        They raise httpx.ReadTimeout, or what `PassLimits.check_time` raises.
        """
        import httpx

        read = stream.read

        def bounded(max_bytes: int, timeout: float | None = None) -> bytes:
            self._pass_limits.check_time()
            left = min(self._end - self._clock.monotonic(), self._pass_limits.seconds_left)
            if left <= 0:
                raise httpx.ReadTimeout("a part of the answer takes too long")
            data: bytes = read(max_bytes, left if timeout is None else min(timeout, left))
            return data

        stream.read = bounded


class FreeDiskSpace(NamedTuple):
    """The free disk space for a load. `place`: its folder or store. `free`: returns the free bytes. `share`:
    stored bytes per byte of a record."""

    place: str
    free: Callable[[], int]
    share: float = 1.0

    def check(self, size: int, to_come: int = 0) -> None:
        """Raises StoreUnavailable if `size` bytes of records do not fit, together with `to_come` bytes that
        are still to be downloaded to the same disk."""
        needed = int(size * self.share)
        if needed + to_come > (free := self.free()):
            beside = f", plus {to_come >> 20} MiB still to download" if to_come else ""
            raise StoreUnavailable(
                f"the snapshot's records need about {needed >> 20} MiB{beside}, but {self.place} has "
                f"{free >> 20} MiB of free disk space",
                hint=f"free disk space (the download is kept); check with: df -h {quoted(self.place)}",
            )


T = TypeVar("T")


class RetryLater(Exception):
    """A try failed, and the next one may succeed.

    `retry_after`: seconds that the server asks to wait (Retry-After). `bad_data`: the server answered with
    unusable data, so that the last failure is FeedRefused instead of FeedUnreachable. `setting`: the one with
    the address of the server.
    """

    setting = "cti.url"

    def __init__(self, reason: str, *, retry_after: float | None = None, bad_data: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.bad_data = bad_data


def which_server(setting: str) -> str:
    """The hint for a server that answers with something else than the API does."""
    return f"check which server answers at {setting} (a proxy or a sign-in page?)"


class RetryBudget:
    """The budget of one pass: seconds for failed tries and the waits between them.

    Progress is not counted, so a download may take hours and still be resumed.
    """

    def __init__(
        self, seconds: float, cooldown: float, pass_limits: PassLimits, log: Log, reached: Callable[[], bool]
    ) -> None:
        """`seconds`: the budget. `cooldown`: seconds of the cool-down after it is spent; 0 for none.
        `reached`: whether any request of the pass has reached a server; else there is no cool-down."""
        self._budget = seconds
        self._cooldown = cooldown
        self._pass_limits = pass_limits
        self._left = seconds
        self._clock = pass_limits.clock
        self._log = log
        self._reached = reached
        self.retries = 0
        self.begin()

    def persist(self, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it does not raise RetryLater. Returns its result.

        Raises FeedUnreachable, or FeedRefused for bad data, if the budget or the time of the pass allows no
        further try.
        """
        self.begin()
        while True:
            try:
                return attempt()
            except RetryLater as failure:
                self.failed(failure)

    def begin(self) -> None:
        """Start the first try of a request; also after progress: the time and the tries before no longer
        count."""
        self._since = self._clock.monotonic()
        self._tries = 1

    def failed(self, failure: RetryLater) -> None:
        """Wait, and start the next try. Raises as `persist` does."""
        self._left -= self._clock.monotonic() - self._since
        left = min(self._left, self._pass_limits.seconds_left)
        wait = next_delay(self._tries, failure.retry_after, left, random.random())  # noqa: S311
        if wait is None:
            raise self._final_error(failure) from failure
        self._log.event(
            "info",
            "retry",
            attempt=self._tries,
            wait=round(wait, 1),
            budget_left=round(left),
            reason=failure.reason,
        )
        self.retries += 1
        self._log.pause(wait, self._clock.sleep)
        self._left -= wait
        self._since = self._clock.monotonic()
        self._tries += 1

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """The time in the block does not count as time of the try."""
        began = self._clock.monotonic()
        yield
        self._since += self._clock.monotonic() - began

    def _final_error(self, failure: RetryLater) -> CtisyncError:
        tries = f"after {counted(self._tries, 'try', 'tries')}"
        if failure.bad_data:
            hint = f"{which_server(failure.setting)}, then try again"
            return FeedRefused(f"{failure.reason} ({tries})", hint=hint)
        if failure.retry_after is not None and failure.retry_after > self._left:
            when = self._clock.now() + min(timedelta(seconds=failure.retry_after), LONGEST_COOLDOWN)
            return FeedUnreachable(
                f"{failure.reason}; it asks for a pause of {failure.retry_after:.0f} s",
                hint=f"run the same command after {when:%Y-%m-%dT%H:%M:%SZ}",
                cooldown=failure.retry_after,
            )
        message = f"{failure.reason}; gave up {tries} (cti.retry_budget is {self._budget:.0f} s)"
        if not self._reached():
            hint = f"check {failure.setting} and the network of this host, then run the same command"
            return FeedUnreachable(message, hint=hint)
        hint = "run the same command later (nothing is lost)"
        return FeedUnreachable(message, hint=hint, cooldown=failure.retry_after or self._cooldown or None)
