"""The connection of a request: the read deadline of each part of its answer, and the address that it is open
to.

A time-out of httpx is for the next bytes only. It never ends a server that sends a byte a minute, or endless
bytes that are no part of the answer (interim responses, chunk extensions, trailers). So each read has a
deadline: for the head of the answer, and for each piece of its body.

httpx reports each step of a request to the `trace` function of its extensions, but does not guarantee the
steps' names (https://www.python-httpx.org/advanced/extensions/). So a connection that was not reported is not
trusted.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final

from ctisync.errors import ConfigurationError
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.http.url_policy import Reach, shown
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
            data: bytes = read(max_bytes, left if timeout is None else min(timeout, left))
            return data

        stream.read = bounded


_CONNECTING: Final = ".connect_tcp.started"
_CONNECTED: Final = ".connect_tcp.complete"
_ENCRYPTED: Final = ".start_tls.complete"
_FIRST_HOP: Final = "connection."
"""Begins the names of steps with the host that is connected to: the server, or a proxy."""
_SENDING: Final = ".send_request_headers.started"


class ConnectionWatch:
    """The watch on one request. A connection to another host than the one in its address is one to a
    proxy."""

    def __init__(self, url: str, deadline: ReadDeadline, reach: Reach | None, *, checked: bool) -> None:
        """`reach` None: any address is allowed. `checked`: the request may use a connection that was
        checked."""
        import httpx

        address = httpx.URL(url)
        self._url = url
        self._host = address.raw_host.decode("ascii")
        self._port = address.port or {"http": 80, "https": 443}.get(address.scheme)
        self._deadline = deadline
        self._reach = reach
        self._connecting_to: tuple[str, int | None] = ("", 0)
        self._is_checked = checked
        self.reached = False
        """Whether the server itself has accepted the connection. A proxy alone is not the server."""

    def step(self, name: str, info: dict[str, Any]) -> None:
        """Called by httpx. Raises SnapshotRefused for an address that is not allowed, and what `check`
        does."""
        if name.endswith(_CONNECTING):
            self._connecting_to = info["host"], info.get("port")
        elif name.endswith(_CONNECTED):
            self._check_address(info["return_value"])
            self._is_checked = True
            self.reached = self._connecting_to == (self._host, self._port)
        elif name.endswith(_ENCRYPTED) and not name.startswith(_FIRST_HOP):
            self.reached = True  # through the tunnel of a proxy
        elif name.endswith(_SENDING):
            self.check()
        if name.endswith((_CONNECTED, _ENCRYPTED)):
            self._deadline.watch(info["return_value"])

    def check(self) -> None:
        """Raises ConfigurationError if httpx has not reported the request's connection."""
        if not self._is_checked:
            raise ConfigurationError(
                f"ctisync cannot check the address of {shown(self._url)}, so it sends no request: "
                "it does not support the installed versions of httpx and httpcore",
                hint="pip install --requirement requirements/runtime.txt (of the release that is installed)",
            )

    def _check_address(self, stream: Any) -> None:
        if self._reach is None or self._connecting_to[0] != self._host:
            return
        try:
            self._reach.check_address(self._host, ip_address(stream.get_extra_info("server_addr")[0]))
        except BaseException:
            stream.close()
            raise
