"""What one pass may take of this machine: sizes, time, and the room for what it loads."""

from collections.abc import Callable
from typing import Final, NamedTuple

from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.errors import FeedUnreachable, StoreUnavailable
from ctisync.harmless import quoted
from ctisync.ports import Clock

PIECE: Final = 1 << 20
"""The most bytes that come out in one piece, however well they were packed."""


class PassLimits:
    """The settings' limits, and the pass's time, which runs from here on."""

    def __init__(self, clock: Clock, limits: Limits = USUAL_LIMITS) -> None:
        self.limits = limits
        self._clock = clock
        self._end = clock.monotonic() + (limits.pass_seconds or float("inf"))

    def end(self) -> None:
        """The pass has had its time, however much was left: whoever still asks something for it gives up."""
        self._end = float("-inf")

    @property
    def seconds_left(self) -> float:
        return self._end - self._clock.monotonic()

    def check_time(self) -> None:
        """Between two requests, chunks or batches: raises FeedUnreachable when the pass has had its time."""
        if self.seconds_left <= 0:
            raise FeedUnreachable(
                f"the pass took longer than limits.pass_seconds, {self.limits.pass_seconds:.0f} s",
                hint="run the same command again: it goes on from what is done; or raise limits.pass_seconds",
            )


class FreeDiskSpace(NamedTuple):
    """Where a load's records go, how many more bytes fit there, and what a byte of them comes to."""

    place: str
    free: Callable[[], int]
    share: float = 1.0

    def check(self, size: int, to_come: int = 0) -> None:
        """Raises StoreUnavailable when records of so many bytes do not fit, beside a download of which
        `to_come` bytes are not on the same disk yet."""
        needed = int(size * self.share)
        if needed + to_come > (free := self.free()):
            beside = f" beside {to_come >> 20} MiB that are still to be downloaded" if to_come else ""
            raise StoreUnavailable(
                f"the snapshot's records take about {needed >> 20} MiB{beside}, and {self.place} has room "
                f"for {free >> 20} MiB",
                hint=f"make room (what was downloaded is kept); look with: df -h {quoted(self.place)}",
            )
