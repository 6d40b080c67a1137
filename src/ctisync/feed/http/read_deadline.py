"""The read deadline: how long a server may take for the head of its answer, and for each piece of its body.

A time-out of httpx is for the next bytes only. It never ends a server that sends a byte a minute, or endless
bytes that are no part of the answer (interim responses, chunk extensions, trailers).
"""

from collections.abc import Iterator
from typing import Any

from ctisync.feed.http.pass_limits import PassLimits
from ctisync.ports import Clock


class ReadDeadline:
    """The deadline for the next part: `seconds` after the last one, and never after the time of the pass."""

    def __init__(self, seconds: float, pass_limits: PassLimits, clock: Clock) -> None:
        self._seconds = seconds
        self._pass_limits = pass_limits
        self._clock = clock
        self._end = 0.0

    def begin(self) -> None:
        """Start the wait for the next part."""
        self._end = self._clock.monotonic() + self._seconds

    def for_each(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces. The time that the caller takes for one does not count for the next."""
        self.begin()
        while (piece := next(pieces, None)) is not None:
            yield piece
            self.begin()

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
            found: bytes = read(max_bytes, left if timeout is None else min(timeout, left))
            return found

        stream.read = bounded
