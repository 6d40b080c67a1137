"""One HTTP request to the feed: who is told the token, what each failure means.

httpx is imported when the first pass needs it (0.08 s that `ctisync status` shall not pay).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from ctisync import __version__, tls
from ctisync.core.retry import retry_after
from ctisync.errors import AccessRefused, ConfigurationError, FeedRefused
from ctisync.feed.http.connection_watch import ConnectionWatch
from ctisync.feed.http.pass_limits import PassLimits
from ctisync.feed.http.read_deadline import ReadDeadline
from ctisync.feed.http.retry_budget import Again
from ctisync.feed.http.url_policy import Origin, Reach, hop, origin, shown
from ctisync.ports import Clock
from ctisync.tls import Files

if TYPE_CHECKING:
    import httpx

USER_AGENT: Final = f"ctisync/{__version__}"
MOST_REDIRECTS: Final = 5

_WINDOW: Final = 60.0
"""Seconds of waiting over which a rate is taken: a time-out sees each chunk alone."""

_LEAST: Final = 0.001
"""Seconds: a time-out must be more than none."""

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_TRANSIENT: Final = (408, 425, 429)
_MOST_WORDS: Final = 200
_MOST_LOOKED_AT: Final = 4096

_LOCATION: Final = "ctisync.location"
"""Where httpx keeps, beside a response, what its Location header was."""


class Timeouts(NamedTuple):
    """Seconds: for a connection to stand, and for the next bytes to come."""

    connect: float
    read: float


DEFAULT_TIMEOUTS: Final = Timeouts(connect=10.0, read=60.0)


class FeedReply(NamedTuple):
    """An answer whose body has not been read: `chunks` are its raw bytes, still in their encoding.

    `location`: where a redirect leads, as it came; empty when the answer does not say.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    location: str
    chunks: Iterator[bytes]


class FeedTransport:
    """Sends GET requests; every failure leaves as Again or as a `CtisyncError`, while a body is read, too."""

    def __init__(
        self,
        base_url: str,
        token: str | None,
        ca_file: str | None,
        timeouts: Timeouts,
        pass_limits: PassLimits,
        clock: Clock,
    ) -> None:
        self._origin = _configured_origin(base_url)
        self._base_url = base_url
        self._token = _checked(token)
        self._pass_limits = pass_limits
        self._clock = clock
        self._timeouts = timeouts
        self._deadline = ReadDeadline(timeouts.read, pass_limits, clock)
        self._client = _client(ca_file)
        self._is_seen = False  # a connection of the client, which keeps it for its next requests
        self._ca_file = ca_file
        self._following: httpx.Client | None = None
        self.received = 0
        """Bytes of all bodies so far, as they came."""

    def close(self) -> None:
        self._client.close()
        if self._following is not None:
            self._following.close()

    @contextmanager
    def get(self, url: str, *, headers: Mapping[str, str]) -> Iterator[FeedReply]:
        """The API's reply. A redirect is refused: it would be a setting that is wrong."""
        with self._open(self._client, url, headers, None) as reply:
            if reply.status != 200:
                self._refuse(reply, _API_HINTS, quoting=True)
            yield reply

    @contextmanager
    def follow(
        self, url: str, *, headers: Mapping[str, str], accept: tuple[int, ...], reach: Reach | None
    ) -> Iterator[FeedReply]:
        """A snapshot's reply, with one of the statuses in `accept`, through up to five redirects.

        Each hop is looked at anew, also for the token, and has a connection of its own. `reach` is None for
        an address that a person gave.
        """
        if self._following is None:
            self._following = _client(self._ca_file, keep_alive=False)
        for _ in range(MOST_REDIRECTS + 1):
            if reach is not None:
                reach.check(url)
            with self._open(self._following, url, headers, reach) as reply:
                if reply.status not in _REDIRECTS:
                    if reply.status not in accept:
                        # A query may be a signature, which a server that refuses it likes to repeat.
                        self._refuse(reply, _SNAPSHOT_HINTS, quoting="?" not in url)
                    yield reply
                    return
                url = hop(url, reply.location)
        raise FeedRefused(f"more than {MOST_REDIRECTS} redirects, the last one to {shown(url)}")

    @contextmanager
    def _open(
        self, client: "httpx.Client", url: str, headers: Mapping[str, str], reach: Reach | None
    ) -> Iterator[FeedReply]:
        import httpx

        self._pass_limits.check_time()
        in_body = False
        headers = {**headers, **self._authorization(url)}
        connect = min(self._timeouts.connect, max(_LEAST, self._pass_limits.seconds_left))
        timeout = httpx.Timeout(self._timeouts.read, connect=connect)
        self._deadline.begin()
        try:
            watch = ConnectionWatch(
                url, self._deadline, reach, known=client is self._client and self._is_seen
            )
            trace = {"trace": watch.step}
            with client.stream("GET", url, headers=headers, timeout=timeout, extensions=trace) as response:
                watch.check()
                self._is_seen = self._is_seen or client is self._client
                in_body = True
                yield FeedReply(
                    url,
                    response.status_code,
                    response.headers,
                    response.extensions[_LOCATION],
                    self._steady(response.iter_raw(), url),
                )
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            self._pass_limits.check_time()
            raise self._meaning(error, url, in_body) from error

    def _meaning(self, error: Exception, url: str, in_body: bool) -> Exception:
        import httpx

        files = Files("cti", self._ca_file)
        own = origin(url) == self._origin
        told = tls.refusal(error, self._base_url if own else url, files)
        broken = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) and not in_body
        if told is None and broken and own:
            told = tls.speaks_tls(self._base_url, files)
        return _meaning(error, url, in_body) if told is None else AccessRefused(told.said, hint=told.hint)

    def _authorization(self, url: str) -> dict[str, str]:
        if self._token is None or origin(url) != self._origin:
            return {}
        return {"Authorization": f"Bearer {self._token}"}

    def _steady(self, chunks: Iterator[bytes], url: str) -> Iterator[bytes]:
        """The chunks. Whoever takes them may be slow (a store that loads them); the server may not."""
        waited, amount = 0.0, 0
        since = self._clock.monotonic()
        for chunk in self._deadline.for_each(chunks):
            self._pass_limits.check_time()
            amount += len(chunk)
            self.received += len(chunk)
            waited += self._clock.monotonic() - since
            if waited >= _WINDOW:
                slowest = self._pass_limits.limits.min_rate
                if amount < slowest * waited:
                    raise Again(f"{shown(url)} sends less than {slowest:.0f} bytes a second")
                waited, amount = 0.0, 0
            yield chunk
            since = self._clock.monotonic()

    def _refuse(self, reply: FeedReply, hints: Mapping[int, str], *, quoting: bool) -> NoReturn:
        said = f"{shown(reply.url)} answers {reply.status}"
        asked_for = retry_after(reply.headers.get("retry-after"), self._clock.now())
        blocked_for_now = reply.status == 403 and asked_for is not None
        if reply.status in _TRANSIENT or reply.status >= 500 or blocked_for_now:
            raise Again(said, asked_for=asked_for)
        if reply.status in _REDIRECTS:
            raise ConfigurationError(
                f"{said}, a redirect to {shown(reply.location)}; ctisync does not follow it",
                hint="set cti.url to where the API is (https, no redirect)",
            )
        words = self._words(reply) if quoting else ""
        if reply.status in hints:
            raise AccessRefused(said + words, hint=hints[reply.status])
        if reply.status < 400:
            raise Again(f"{said}, which is no answer to the question", bad_data=True)
        raise FeedRefused(said + words)

    def _words(self, reply: FeedReply) -> str:
        """What the server says, when it is meant for people: `: words`, one short line."""
        if "html" in reply.headers.get("content-type", "").lower() or "content-encoding" in reply.headers:
            return ""
        text = next(reply.chunks, b"").decode("utf-8", "replace")
        if self._token is not None:
            text = text.replace(self._token, "***")  # half of it, where the line ends, no one could mask
        return f": {line}" if (line := _one_line(text[:_MOST_LOOKED_AT])) else ""


_PROXY_HINT: Final = "the proxy wants a password: put it into HTTPS_PROXY, or name the host in NO_PROXY"

_API_HINTS: Final = {
    401: "set cti.token or cti.token_file (environment CTISYNC_CTI__TOKEN) to a valid token",
    403: "this consumer needs a subscription, or cti.token is not allowed to read it",
    404: "look at cti.url and at the context and consumer of consumers (the usual ones: vd_1.0.0, vd_4.8.0)",
    407: _PROXY_HINT,
}

_NO_SNAPSHOT: Final = (
    "run the same command later, or load another copy: ctisync init-snapshot --from FILE_OR_URL"
)

_SNAPSHOT_HINTS: Final = {401: _NO_SNAPSHOT, 403: _NO_SNAPSHOT, 404: _NO_SNAPSHOT, 407: _PROXY_HINT}


def _configured_origin(base_url: str) -> Origin:
    try:
        found: Origin | None = origin(base_url)
    except ValueError:
        found = None
    if found is None or found.scheme not in ("http", "https") or not found.host:
        raise ConfigurationError(f"cti.url {shown(base_url)!r} is no http(s) address", hint="set cti.url")
    return found


def _checked(token: str | None) -> str | None:
    """A token that can stand in a header; httpx would print one that cannot."""
    if token is not None and (not token.isascii() or not token.isprintable() or " " in token or not token):
        raise ConfigurationError(
            "cti.token is empty or holds spaces, line ends or other characters that no token has",
            hint="look at cti.token, cti.token_file or CTISYNC_CTI__TOKEN",
        )
    return token


def _client(ca_file: str | None, *, keep_alive: bool = True) -> "httpx.Client":
    import httpx

    def keep_location(response: httpx.Response) -> None:
        """Take it away from httpx, which would fail for one that it cannot read, redirects or not."""
        response.extensions[_LOCATION] = response.headers.pop("location", "")

    for name in ("httpx", "httpcore"):  # they log each address, queries included
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return httpx.Client(
            verify=True if ca_file is None else tls.context(Files("cti", ca_file)),
            headers={"User-Agent": USER_AGENT},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            event_hooks={"response": [keep_location]},
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20 if keep_alive else 0),
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        raise ConfigurationError(
            "the proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used",
            hint="give it as http://host:port, or unset it",
        ) from None  # it may quote a part of the password that no one would know again


def _meaning(error: Exception, url: str, in_body: bool) -> Exception:
    """What a failure of httpx is for a pass: Again, unless only a person can mend it."""
    import httpx

    where = shown(url)
    match error:
        case httpx.ProxyError() if str(error).startswith("407"):
            return AccessRefused(f"the proxy refuses the connection to {where}: {error}", hint=_PROXY_HINT)
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return ConfigurationError(
                f"{where} cannot be asked: {type(error).__name__}", hint="look at cti.url"
            )
        case httpx.RemoteProtocolError() if in_body:
            return Again(f"the reply of {where} is incomplete", bad_data=True)
        case httpx.RemoteProtocolError():
            # What follows a colon are the server's bytes.
            return Again(f"{where} gives no proper HTTP answer: {str(error).split(':')[0]}")
        case httpx.TimeoutException():
            return Again(f"{where} does not answer in time")
        case _:
            return Again(f"{where} cannot be reached: {_one_line(str(error)) or type(error).__name__}")


def _one_line(text: str) -> str:
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _MOST_WORDS else line[:_MOST_WORDS] + "..."
