"""Trying again, within one budget a pass."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from ctisync.core.retry import next_delay
from ctisync.core.state import LONGEST_COOLDOWN
from ctisync.core.words import counted
from ctisync.errors import CtisyncError, FeedRefused, FeedUnreachable
from ctisync.feed.http.pass_limits import PassLimits
from ctisync.ports import Clock, Log

T = TypeVar("T")


class Again(Exception):
    """One try failed in a way that may be gone at the next.

    `asked_for` are the seconds that the server wants to be left alone; `bad_data`: it answered,
    but with something unusable, so that in the end its data is refused instead of called unreachable.
    """

    def __init__(self, reason: str, *, asked_for: float | None = None, bad_data: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.asked_for = asked_for
        self.bad_data = bad_data


class RetryBudget:
    """What is left of a pass's budget: the seconds spent on tries that failed and on waiting.

    Work that gets on is not counted, so a snapshot may take hours and still be resumed.
    """

    def __init__(
        self,
        seconds: float,
        cooldown: float,
        pass_limits: PassLimits,
        clock: Clock,
        log: Log,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`cooldown`: seconds for which the feed is to be left alone once the budget is spent; 0 for none."""
        self._budget = seconds
        self._cooldown = cooldown
        self._pass_limits = pass_limits
        self._left = seconds
        self._clock = clock
        self._log = log
        self._jitter = jitter
        self.retries = 0
        self.begin()

    def persist(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns, once it does not raise Again.

        Raises FeedUnreachable, or FeedRefused for bad data, when the budget or the pass's time allows no
        further try.
        """
        self.begin()
        while True:
            try:
                return attempt()
            except Again as failure:
                self.failed(failure)

    def begin(self) -> None:
        """The first try of something begins."""
        self._since = self._clock.monotonic()
        self._tries = 1

    def failed(self, failure: Again) -> None:
        """Wait before the next try, which then begins. Raises as `persist` does."""
        self._left -= self._clock.monotonic() - self._since
        left = min(self._left, self._pass_limits.seconds_left)
        wait = next_delay(self._tries, failure.asked_for, left, self._jitter())
        if wait is None:
            raise self._given_up(failure) from failure
        self._log.event("info", "retry", attempt=self._tries, wait=round(wait, 1), reason=failure.reason)
        self.retries += 1
        self._clock.sleep(wait)
        self._left -= wait
        self._since = self._clock.monotonic()
        self._tries += 1

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """What is done meanwhile with what the try has brought so far takes none of its time."""
        began = self._clock.monotonic()
        yield
        self._since += self._clock.monotonic() - began

    def progressed(self) -> None:
        """The try under way has got on: its time so far is not counted, nor the tries before it."""
        self.begin()

    def _given_up(self, failure: Again) -> CtisyncError:
        if failure.bad_data:
            return FeedRefused(
                f"{failure.reason}, and so after {counted(self._tries, 'try', 'tries')}",
                hint="look at what answers under cti.url (a proxy, a sign-in page?), then try again",
            )
        if failure.asked_for is not None and failure.asked_for > self._left:
            when = self._clock.now() + min(timedelta(seconds=failure.asked_for), LONGEST_COOLDOWN)
            return FeedUnreachable(
                f"{failure.reason}; it asks to come back in {failure.asked_for:.0f} s",
                hint=f"run the same command after {when:%Y-%m-%dT%H:%M:%SZ}",
                come_back_in=failure.asked_for,
            )
        return FeedUnreachable(
            f"{failure.reason}; given up after {counted(self._tries, 'try', 'tries')} "
            f"(cti.retry_budget is {self._budget:.0f} s)",
            hint="run the same command later; nothing is lost",
            come_back_in=failure.asked_for or self._cooldown or None,
        )
