"""Signed links: the token is exchanged for a link that lets in whoever has it, for one address and a short
time (OAuth 2.0 token exchange, RFC 8693; the form is that of Wazuh's console).

A signed link is a secret, as the token is. It is in no message, log, state or file.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ctisync.core.links import LONGEST_LINK
from ctisync.core.model import Consumer
from ctisync.errors import AccessRefused, ConfigurationError
from ctisync.feed.http.budget import RetryLater, which_server
from ctisync.feed.http.replies import (
    ASK_FOR_JSON,
    BAD_LOGIN,
    NO_SUBSCRIPTION,
    api_hints,
    in_words,
    object_in,
    signed_hints,
)
from ctisync.feed.http.transport import REFUSALS, FeedReply, FeedTransport, checked_token
from ctisync.feed.http.url_policy import Reach, has_login, origin, shown
from ctisync.ports import Clock

_TYPES: Final = "urn:ietf:params:oauth:token-type:"
_SIGNED: Final = "urn:wazuh:params:oauth:token-type:signed_url"
_FORM: Final = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": f"{_TYPES}access_token",
    "requested_token_type": _SIGNED,
}

_SETTING: Final = "cti.token_exchange_url"

_MARGIN: Final = 0.1
"""The share of a link's time in which it is no longer used: until the feed gets it, it may have expired."""

_AT_MOST: Final = 86_400
"""Seconds. A longer time counts as this."""

_CODES: Final = frozenset(
    {"access_denied", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope"}
    | {"invalid_target", "unauthorized_client", "unsupported_grant_type", "unsupported_token_type"}
)
"""The errors that a message names. Any other text may be a part of a secret."""


class _Link(NamedTuple):
    address: str
    until: float


class TokenExchange:
    """Exchanges the token at `url`, and keeps the links that it gets until they expire.

    Only the host of `url` gets the token. Raises as the transport does.
    """

    def __init__(self, transport: FeedTransport, url: str, token: str, clock: Clock) -> None:
        """Raises ConfigurationError for a token that a header cannot contain."""
        self._transport = transport
        self._url = url
        self._token = checked_token(token)
        self._clock = clock
        self._links: dict[str, _Link] = {}

    def signed(self, url: str) -> str:
        """A link to the address that lets us in, for a request that follows at once."""
        now = self._clock.monotonic()
        self._links = {each: link for each, link in self._links.items() if now < link.until}
        if url not in self._links:
            try:
                self._links[url] = self._exchange(url, now)
            except RetryLater as failure:
                failure.setting = _SETTING
                raise
        return self._links[url].address

    def forget(self, url: str) -> None:
        """The feed does not accept the link: the next one is a new one."""
        self._links.pop(url, None)

    def _exchange(self, url: str, now: float) -> _Link:
        form = {**_FORM, "subject_token": self._token, "resource": url}
        headers = {**ASK_FOR_JSON, "Authorization": f"Bearer {self._token}"}
        with self._transport.post(self._url, form=form, headers=headers) as reply:
            answer = object_in(reply.headers, reply.chunks)
            if 200 < reply.status < 400:
                raise self._no_link(f"{reply.status}, without a signed link")
            if reply.status != 200:
                raise self._refusal(reply, answer)
        if answer is None:
            raise RetryLater(f"the reply of {shown(self._url)} is not JSON", bad_data=True)
        link = answer.get("access_token")
        if answer.get("issued_token_type", _SIGNED) != _SIGNED or not isinstance(link, str):
            raise self._no_link("without a signed link")
        if not is_signed_for(url, link):
            raise self._no_link("with a link to another address")
        seconds = answer.get("expires_in")
        if not isinstance(seconds, int) or isinstance(seconds, bool):
            seconds = 0  # unknown: for one request
        lasts = min(max(0, seconds), _AT_MOST)
        return _Link(link, now + lasts * (1 - _MARGIN))

    def _no_link(self, how: str) -> ConfigurationError:
        return ConfigurationError(
            f"{shown(self._url)} answers {how}",
            hint=which_server(_SETTING),
        )

    def _refusal(self, reply: FeedReply, answer: dict[str, object] | None) -> ConfigurationError:
        """The error of a refused exchange, which only you can resolve."""
        fields = answer or {}
        code, about = fields.get("error"), fields.get("error_description")
        if not isinstance(code, str) or code not in _CODES:
            code = None
        named = f", {code}" if code else ""
        words = f": {in_words(about, (self._token,))}" if isinstance(about, str) and about.strip() else ""
        message = f"{shown(self._url)} refuses to exchange cti.token ({reply.status}{named}){words}"
        if reply.status == 401 or code == "unauthorized_client":
            return AccessRefused(message, hint=BAD_LOGIN)
        if reply.status == 403 or code == "access_denied":
            return AccessRefused(message, hint=NO_SUBSCRIPTION)
        if code == "invalid_target":
            hint = f"check cti.url, and the context and consumer in consumers; {NO_SUBSCRIPTION}"
            return AccessRefused(message, hint=hint)
        return ConfigurationError(message, hint=which_server(_SETTING))


def is_signed_for(url: str, link: str) -> bool:
    """Whether a link leads to the address: a signature is all that it may have in addition."""
    try:
        one, other = urlsplit(url), urlsplit(link)
        if origin(url) != origin(link) or other.port == 0 or has_login(link):
            return False
        if (
            not link.isprintable()
            or " " in link
            or "\\" in link
            or len(link) > LONGEST_LINK
            or other.fragment
        ):
            return False
        requested = parse_qsl(one.query, keep_blank_values=True)
        offered = parse_qsl(other.query, keep_blank_values=True)
    except ValueError:
        return False
    names = {name for name, _ in requested}
    same = _segments(one.path) == _segments(other.path)
    return same and sorted(pair for pair in offered if pair[0] in names) == sorted(requested)


def _segments(path: str) -> list[str]:
    """An escaped slash is not a separator (RFC 3986, 2.2)."""
    return [unquote(segment) for segment in path.split("/")]


class Access:
    """How requests of one pass get in: with the token in a header or, if there is an exchange, with signed
    links for a consumer that is not public.

    The first request is sent without a signature: its answer shows whether the consumer needs one.
    """

    def __init__(self, transport: FeedTransport, exchange: TokenExchange | None, consumer: Consumer) -> None:
        self._transport = transport
        self._exchange = exchange
        self._consumer = consumer
        self._signs = False
        self._is_public: bool | None = None

    def set_public(self, is_public: bool | None) -> None:
        """What the consumer's information says."""
        if is_public is not None:
            self._is_public = is_public
            self._signs = self._signs or not is_public

    @contextmanager
    def get(self, url: str, *, headers: Mapping[str, str]) -> Iterator[FeedReply]:
        """As `FeedTransport.get`."""
        # A server may hide from strangers that there is such a consumer.
        hidden = () if self._is_public else (404,)
        for address, or_refused in self._addresses(url, hidden):
            is_plain = address == url
            hints = (api_hints if is_plain else signed_hints)(self._consumer)
            with self._transport.get(
                address, headers=headers, hints=hints, quoting=is_plain, or_refused=or_refused
            ) as reply:
                if reply.status == 200:
                    yield reply
                    return

    @contextmanager
    def follow(
        self, url: str, *, headers: Mapping[str, str], accept: tuple[int, ...], reach: Reach | None
    ) -> Iterator[FeedReply]:
        """As `FeedTransport.follow`. An address of another host that you passed is never signed."""
        signs = reach is not None or self._transport.is_same_origin(url)
        if reach is not None:
            reach.check(url)  # before anything is signed
        for address, or_refused in self._addresses(url) if signs else [(url, ())]:
            with self._transport.follow(
                address, headers=headers, accept=accept, reach=reach, or_refused=or_refused
            ) as reply:
                if reply.status in accept:
                    yield reply
                    return

    def _addresses(self, url: str, hidden: tuple[int, ...] = ()) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The addresses to ask one after the other, each if the one before it was refused; and with which
        statuses it is, if another one follows. `hidden`: further statuses of an address without a signature.
        """
        exchange = self._exchange
        if exchange is None:
            yield url, ()
            return
        if not self._signs:
            yield url, (*REFUSALS, *hidden)
            self._signs = True
        for may_retry in (True, False):  # the link that is at hand may have expired
            yield exchange.signed(url), REFUSALS if may_retry else ()
            exchange.forget(url)
