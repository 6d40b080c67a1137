"""One HTTP request to the feed: which origin gets the token, and what each failure means.

httpx is imported on the first request: its import takes 0.08 s, which `ctisync status` need not pay.
"""

import logging
import re
import ssl
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from ctisync import __version__, tls
from ctisync.core.retry import parse_retry_after
from ctisync.errors import AccessRefused, ConfigurationError, FeedRefused
from ctisync.feed.http.budget import PassLimits, ReadDeadline, RetryLater
from ctisync.feed.http.replies import PROXY_HINT, one_line, snapshot_hints, words_in
from ctisync.feed.http.url_policy import ConnectionWatch, Reach, hop, origin, shown
from ctisync.tls import Files
from ctisync.urls import address_of

if TYPE_CHECKING:
    import httpx

USER_AGENT: Final = f"ctisync/{__version__}"
MOST_REDIRECTS: Final = 5

_WINDOW: Final = 60.0
"""Seconds of waiting over which the rate is measured: a time-out applies to each chunk alone."""

_LEAST: Final = 0.001
"""Seconds. A time-out must be more than 0."""
_CONNECT: Final = 10.0
"""Seconds to open a connection."""
_READ: Final = 60.0
"""Seconds to receive the next bytes."""

REDIRECTS: Final = (301, 302, 303, 307, 308)
_TRANSIENT: Final = (408, 425, 429)
REFUSALS: Final = (401, 403)
"""Replies that do not let us in; another way in may."""

_LOCATION: Final = "ctisync.location"
"""The extension of a response that keeps its Location header."""


_LENGTH: Final = re.compile("[0-9]{1,19}")
_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
"""Headers with numbers that a file can have."""


class FeedReply(NamedTuple):
    """A reply whose body has not been read. `chunks`: its raw bytes, still encoded.

    `location`: the Location header, unchanged; empty if there is none. `setting`: the one with the address of
    the server.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    location: str
    chunks: Iterator[bytes]
    setting: str = "cti.url"

    @property
    def content_length(self) -> int | None:
        text = self.headers.get("content-length", "")
        return int(text) if _LENGTH.fullmatch(text) else None

    @property
    def content_range(self) -> tuple[int, int, int] | None:
        """The first byte, the last byte and the size of the whole."""
        match = _RANGE.fullmatch(self.headers.get("content-range", ""))
        return None if match is None else (int(match[1]), int(match[2]), int(match[3]))

    @property
    def whole_size(self) -> int | None:
        """The size of the whole file, also if the reply has only its first byte."""
        if self.status != 206:
            return self.content_length
        part = self.content_range
        return part[2] if part is not None and part[:2] == (0, 0) else None

    @property
    def may_change(self) -> bool:
        """Whether a later try may have another reply. A 403 with Retry-After blocks a client for a while."""
        retry_after = parse_retry_after(self.headers.get("retry-after"), _EPOCH)
        blocked_for_now = self.status == 403 and retry_after is not None
        return self.status in _TRANSIENT or self.status >= 500 or blocked_for_now

    def refuses(self, statuses: Collection[int]) -> bool:
        """Whether it has one of the statuses, and not only for now."""
        return self.status in statuses and not self.may_change


_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class FeedTransport:
    """Sends requests. Every failure, also while a body is read, is a RetryLater or a `CtisyncError`.

    Only the origin of `base_url` gets the token, and only it and that of `exchange_url` get `headers`.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        ca_file: Path | None,
        pass_limits: PassLimits,
        *,
        headers: Mapping[str, str] = {},
        exchange_url: str | None = None,
        setting: str = "cti.url",
        read: float | None = None,
    ) -> None:
        """`base_url`: also one that begins with `mirror+`. `setting`: the one with it. `read`: seconds to
        receive the next bytes, by default 60."""
        self._base_url = address_of(base_url)
        self._origin = origin(self._base_url)
        self._setting = setting
        self._token = None if token is None else checked_token(token)
        self._headers = headers
        self._headers_to = {self._origin} if exchange_url is None else {self._origin, origin(exchange_url)}
        self._pass_limits = pass_limits
        self._clock = pass_limits.clock
        self._read = _READ if read is None else read
        self._deadline = ReadDeadline(self._read, pass_limits)
        self._files = Files("cti", ca_file, prefix=base_url.removesuffix(self._base_url))
        self._client = _client(self._files, self._origin.scheme)
        self._is_checked = False  # a connection of the client, which keeps it for its next requests
        self._others: dict[str, httpx.Client] = {}  # by scheme, for addresses of any host
        self.reached = False
        """Whether a server has accepted a connection, or answered through a proxy, so far."""
        self.received = 0
        """Received bytes of all bodies so far, still encoded."""

    def close(self) -> None:
        for client in (self._client, *self._others.values()):
            client.close()

    def is_same_origin(self, url: str) -> bool:
        """Whether the address is on the server of `base_url`."""
        return origin(url) == self._origin

    @contextmanager
    def follow(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        accept: tuple[int, ...],
        reach: Reach | None,
        or_refused: Collection[int] = (),
    ) -> Iterator[FeedReply]:
        """A snapshot's reply, with one of the statuses in `accept`, after up to five redirects, or one of
        `or_refused`, if there was no redirect.

        Each hop is checked, also for the token, and has its own connection. `reach` is None for an address
        that you passed. Raises FeedRefused after more redirects.
        """
        for number in range(MOST_REDIRECTS + 1):
            if reach is not None:
                reach.check(url)
            # A query may be a signature, which a server may repeat in its answer.
            signed = "?" in url
            with self.open(url, headers, reach=reach, signed=signed) as reply:
                if reply.status not in REDIRECTS:
                    refused = number == 0 and reply.refuses(or_refused)
                    if reply.status not in accept and not refused:
                        self.refuse(reply, snapshot_hints(), quoting=not signed)
                    yield reply
                    return
                url = hop(url, reply.location)
        raise FeedRefused(f"more than {MOST_REDIRECTS} redirects, the last one to {shown(url)}")

    def _other(self, url: str) -> "httpx.Client":
        """The client for another address of this scheme. An invalid address fails in the request."""
        scheme = "http" if url.lower().startswith("http:") else "https"
        if scheme not in self._others:
            self._others[scheme] = _client(self._files, scheme, keep_alive=False)
        return self._others[scheme]

    @contextmanager
    def open(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        form: Mapping[str, str] | None = None,
        reach: Reach | None = None,
        keep_alive: bool = False,
        signed: bool = False,
    ) -> Iterator[FeedReply]:
        """The reply to a GET, or to a POST of `form` to the token exchange, whatever its status is.

        `reach`: the addresses that are allowed; None: any. `keep_alive`: the connection is that of other such
        requests, to the API. `signed`: the address is a secret.
        """
        import httpx

        self._pass_limits.check_time()
        in_body = False
        client = self._client if keep_alive else self._other(url)
        setting = self._setting if form is None else "cti.token_exchange_url"
        connect = min(_CONNECT, max(_LEAST, self._pass_limits.seconds_left))
        watch = ConnectionWatch(url, self._deadline, reach, checked=keep_alive and self._is_checked)
        self._deadline.begin()
        try:
            with client.stream(
                "GET" if form is None else "POST",
                url,
                data=form,
                headers={**headers, **self._own_headers(url)},
                timeout=httpx.Timeout(self._read, connect=connect),
                extensions={"trace": watch.step},
            ) as response:
                watch.check()
                self._is_checked = self._is_checked or keep_alive
                self.reached = in_body = True
                location = response.extensions[_LOCATION]
                chunks = self._steady(response.iter_raw(), url)
                yield FeedReply(url, response.status_code, response.headers, location, chunks, setting)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            if in_body and isinstance(error, UnicodeError):
                raise  # of the caller; httpx raises it for an international name that is invalid
            self.reached = self.reached or watch.reached
            self._pass_limits.check_time()
            # A library quotes an invalid answer, which may repeat the address.
            raise self._failure(error, url, in_body, setting) from None if signed else error

    def _failure(self, error: Exception, url: str, in_body: bool, setting: str) -> Exception:
        """The error for a failure of httpx: RetryLater, unless only you can correct it, as in `setting`."""
        import httpx

        own = self.is_same_origin(url)
        advice = tls.refusal(error, self._base_url if own else url, self._files)
        broken = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) and not in_body
        if advice is None and broken and own:
            advice = tls.speaks_tls(self._base_url, self._files)
        if advice is not None:
            return AccessRefused(advice.text, hint=advice.hint)
        where = shown(url)
        match error:
            case httpx.ProxyError() if str(error).startswith("407"):
                return AccessRefused(f"the proxy refuses the connection to {where}: {error}", hint=PROXY_HINT)
            case (
                httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | UnicodeError()
            ):
                return ConfigurationError(
                    f"the request to {where} failed: {type(error).__name__}", hint=f"check {setting}"
                )
            case httpx.RemoteProtocolError() if in_body:
                return RetryLater(f"the reply of {where} is incomplete", bad_data=True)
            case httpx.RemoteProtocolError():
                # After the colon come bytes of the server.
                return RetryLater(f"{where} sends an invalid HTTP response: {str(error).split(':')[0]}")
            case httpx.TimeoutException():
                return RetryLater(f"{where} does not answer in time")
            case _:
                return RetryLater(
                    f"{where} cannot be reached: {one_line(str(error)) or type(error).__name__}"
                )

    def _own_headers(self, url: str) -> dict[str, str]:
        """Those of the settings, and the token: each for its origins alone."""
        headers = dict(self._headers) if origin(url) in self._headers_to else {}
        if self._token is not None and self.is_same_origin(url):
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _steady(self, chunks: Iterator[bytes], url: str) -> Iterator[bytes]:
        """The chunks. Raises RetryLater if the server is slow. A slow caller, such as a load,
        does not count."""
        waited, amount = 0.0, 0
        while True:
            self._deadline.begin()
            since = self._clock.monotonic()
            if (chunk := next(chunks, None)) is None:
                return
            self._pass_limits.check_time()
            amount += len(chunk)
            self.received += len(chunk)
            waited += self._clock.monotonic() - since
            if waited >= _WINDOW:
                slowest = self._pass_limits.limits.min_rate
                if amount < slowest * waited:
                    raise RetryLater(f"{shown(url)} sends less than {slowest:.0f} bytes a second")
                waited, amount = 0.0, 0
            yield chunk

    def refuse(self, reply: FeedReply, hints: Mapping[int, str], *, quoting: bool) -> NoReturn:
        """Raises the error for a reply with another status than the expected one; for a redirect
        ConfigurationError: the setting is wrong. `hints`: by status. `quoting`: the error may quote the
        reply, which may repeat the address."""
        message = f"{shown(reply.url)} answers {reply.status}"
        if reply.may_change:
            retry_after = parse_retry_after(reply.headers.get("retry-after"), self._clock.now())
            raise RetryLater(message, retry_after=retry_after)
        if reply.status in REDIRECTS:
            raise ConfigurationError(
                f"{message}, a redirect to {shown(reply.location) or 'no address'}; "
                "ctisync does not follow it",
                hint=f"set {reply.setting} to an https address that does not redirect",
            )
        secrets = (*self._headers.values(), *filter(None, [self._token]))  # a server may repeat them
        words = words_in(reply.headers, reply.chunks, secrets) if quoting else ""
        message += f": {words}" if words else ""
        if reply.status in hints:
            raise AccessRefused(message, hint=hints[reply.status])
        if reply.status < 400:
            raise RetryLater(f"{message}, which is not a valid answer", bad_data=True)
        raise FeedRefused(message)


def checked_token(token: str) -> str:
    """The token, if a header can contain it. httpx would print one that it cannot."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            "cti.token is empty or contains invalid characters (spaces, line ends or others)",
            hint="check cti.token, cti.token_file or CTISYNC_CTI__TOKEN",
        )
    return token


def _client(files: Files, scheme: str, *, keep_alive: bool = True) -> "httpx.Client":
    """A client for addresses of this scheme; for another one it trusts no server.

    Reading the authorities of the system takes 0.02 s, a tenth of a pass with nothing to do.
    """
    import httpx

    def keep_location(response: httpx.Response) -> None:
        """Remove the header: httpx would fail for one that it cannot parse, even without redirects."""
        response.extensions[_LOCATION] = response.headers.pop("location", "")

    for name in ("httpx", "httpcore"):  # they log each address with its query
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return httpx.Client(
            verify=_trust(files, scheme),
            headers={"User-Agent": USER_AGENT},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            event_hooks={"response": [keep_location]},
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20 if keep_alive else 0),
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        raise ConfigurationError(
            "the proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used",
            hint="set it to http://host:port, or unset it",
        ) from None  # the error may quote a part of the password, which masking would not find


def _trust(files: Files, scheme: str) -> ssl.SSLContext | bool:
    if files.ca_file is not None:  # also without TLS: a file that cannot be used is reported
        return tls.context(files)
    return True if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
