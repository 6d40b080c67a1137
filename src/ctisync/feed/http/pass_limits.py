"""The limits of one pass: sizes, time, and the free disk space for a load."""

from collections.abc import Callable
from typing import Final, NamedTuple

from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.errors import FeedUnreachable, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.ports import Clock

PIECE: Final = 1 << 19
"""The highest number of bytes that are decompressed in one piece. Larger ones take more memory, and no less
time."""


class PassLimits:
    """The limits of the settings, and the time of the pass, which starts here."""

    def __init__(self, clock: Clock, limits: Limits = USUAL_LIMITS) -> None:
        self.limits = limits
        self._clock = clock
        self._end = clock.monotonic() + (limits.pass_seconds or float("inf"))

    def end(self) -> None:
        """End the time of the pass now, so that a request that is still running fails."""
        self._end = float("-inf")

    @property
    def seconds_left(self) -> float:
        """Seconds until the pass must end; infinite without limits.pass_seconds."""
        return self._end - self._clock.monotonic()

    def check_time(self) -> None:
        """Raises FeedUnreachable if the time is over. Called between two requests, chunks or batches."""
        if self.seconds_left <= 0:
            raise FeedUnreachable(
                f"the pass took longer than limits.pass_seconds, {self.limits.pass_seconds:.0f} s",
                hint="run the same command again (it continues there), or raise limits.pass_seconds",
            )


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
