"""How long a server may take for each part of its answer: its head, and each next piece of its body.

A time-out of httpx is for the next bytes, whatever they are. A server that sends a byte a minute, or
without end what is no part of the answer (interim responses, chunk extensions, trailers), never meets it.
"""

from collections.abc import Iterator
from typing import Any

from ctisync.feed.http.pass_limits import PassLimits
from ctisync.ports import Clock


class ReadDeadline:
    """The wait for the next part, at most `seconds`, and no longer than the pass has time."""

    def __init__(self, seconds: float, pass_limits: PassLimits, clock: Clock) -> None:
        self._seconds = seconds
        self._pass_limits = pass_limits
        self._clock = clock
        self._end = 0.0

    def begin(self) -> None:
        """The next part is awaited from now on."""
        self._end = self._clock.monotonic() + self._seconds

    def for_each(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces; what is done with one takes no time from the next."""
        self.begin()
        while (piece := next(pieces, None)) is not None:
            yield piece
            self.begin()

    def watch(self, stream: Any) -> None:
        """Bound the reads of an httpx network stream by what is left of the wait, then and later.

        They raise httpx.ReadTimeout, or what `PassLimits.check_time` does.
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
