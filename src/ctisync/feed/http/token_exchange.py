"""Signed links: the token is exchanged for a link that lets in whoever has it, for one address and a short
time (OAuth 2.0 token exchange, RFC 8693; the form is that of Wazuh's console).

A signed link is a secret, as the token is. It is in no message, log, state or file.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ctisync.core.model import Consumer
from ctisync.errors import AccessRefused, ConfigurationError
from ctisync.feed.http.budget import RetryLater, which_server
from ctisync.feed.http.replies import ASK_FOR_JSON, BAD_LOGIN, PROXY_HINT, in_words, object_in
from ctisync.feed.http.transport import REDIRECTS, REFUSALS, FeedReply, FeedTransport, checked_token
from ctisync.feed.http.url_policy import Reach, has_login, is_plain, origin, shown

_SIGNED: Final = "urn:wazuh:params:oauth:token-type:signed_url"
_FORM: Final = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "requested_token_type": _SIGNED,
}

_SETTING: Final = "cti.token_exchange_url"

_CODES: Final = frozenset(
    {"access_denied", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope"}
    | {"invalid_target", "unauthorized_client", "unsupported_grant_type", "unsupported_token_type"}
)
"""The errors that a message names. Any other text may be a part of a secret."""


_NO_SUBSCRIPTION: Final = "this consumer needs a subscription, or cti.token is not allowed to read it"
_OF_WAZUH_5: Final = "a consumer of Wazuh 5 that is not public also needs cti.token_exchange_url"

_DEFAULT: Final = Consumer()


def _api_hints(consumer: Consumer) -> dict[int, str]:
    """For a request of the API about this consumer."""
    is_another = consumer.context == _DEFAULT.context and consumer.name != _DEFAULT.name
    usual = f" (usually {_DEFAULT})" if is_another else ""
    return {
        401: f"{BAD_LOGIN}; {_OF_WAZUH_5}",
        403: f"{_NO_SUBSCRIPTION}; {_OF_WAZUH_5}",
        404: f"check cti.url, and context and consumer in consumers: the feed has no {consumer}{usual}",
        407: PROXY_HINT,
    }


def _signed_hints(consumer: Consumer) -> dict[int, str]:
    """The same for a signed link."""
    just_now = f"the link was signed just now: check that the clock of this host is right; {_NO_SUBSCRIPTION}"
    return {**_api_hints(consumer), 401: BAD_LOGIN, 403: just_now}


class TokenExchange:
    """Exchanges the token at `url`. Only the host of `url` gets the token. Raises as the transport does."""

    def __init__(self, transport: FeedTransport, url: str, token: str) -> None:
        """Raises ConfigurationError for a token that a header cannot contain."""
        self._transport = transport
        self._url = url
        self._token = checked_token(token)

    def signed(self, url: str) -> str:
        """A link to the address that lets us in, for one request that follows at once."""
        try:
            link = self._exchange(url)
        except RetryLater as failure:
            failure.setting = _SETTING
            raise
        if not is_signed_for(url, link):
            raise self._no_link("with a link to another address")
        return link

    def _exchange(self, url: str) -> str:
        form = {**_FORM, "subject_token": self._token, "resource": url}
        headers = {**ASK_FOR_JSON, "Authorization": f"Bearer {self._token}"}
        with self._transport.open(self._url, headers, form=form) as reply:
            if reply.status in (*REDIRECTS, 407) or reply.may_change:
                self._transport.refuse(reply, {407: PROXY_HINT}, quoting=False)
            answer = object_in(reply.headers, reply.chunks)
            if 200 < reply.status < 400:
                raise self._no_link(f"{reply.status}, without a signed link")
            if reply.status != 200:
                raise self._refusal(reply.status, answer or {})
        if answer is None:
            raise RetryLater(f"the reply of {shown(self._url)} is not JSON", bad_data=True)
        link = answer.get("access_token")
        if answer.get("issued_token_type", _SIGNED) != _SIGNED or not isinstance(link, str):
            raise self._no_link("without a signed link")
        return link

    def _no_link(self, how: str) -> ConfigurationError:
        return ConfigurationError(f"{shown(self._url)} answers {how}", hint=which_server(_SETTING))

    def _refusal(self, status: int, answer: Mapping[str, object]) -> ConfigurationError:
        """The error of a refused exchange, which only you can resolve."""
        code, about = answer.get("error"), answer.get("error_description")
        named = f", {code}" if isinstance(code, str) and code in _CODES else ""
        words = f": {in_words(about, (self._token,))}" if isinstance(about, str) and about.strip() else ""
        message = f"{shown(self._url)} refuses to exchange cti.token ({status}{named}){words}"
        if status == 401 or code == "unauthorized_client":
            return AccessRefused(message, hint=BAD_LOGIN)
        if status == 403 or code == "access_denied":
            return AccessRefused(message, hint=_NO_SUBSCRIPTION)
        if code == "invalid_target":
            hint = f"check cti.url, and the context and consumer in consumers; {_NO_SUBSCRIPTION}"
            return AccessRefused(message, hint=hint)
        return ConfigurationError(message, hint=which_server(_SETTING))


def is_signed_for(url: str, link: str) -> bool:
    """Whether a link leads to the address: a signature is all that it may have in addition."""
    if origin(url) != origin(link) or has_login(link) or not is_plain(link):
        return False
    one, other = urlsplit(url), urlsplit(link)
    requested = parse_qsl(one.query, keep_blank_values=True)
    offered = parse_qsl(other.query, keep_blank_values=True)
    names = {name for name, _ in requested}
    same = _segments(one.path) == _segments(other.path) and other.port != 0 and not other.fragment
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
        """A reply of the API with status 200. Raises as `FeedTransport.refuse` does for another one."""
        # A server may hide from strangers that there is such a consumer.
        hidden = () if self._is_public else (404,)
        for address, or_refused in self._addresses(url, hidden):
            signed = address != url
            with self._transport.open(address, headers, keep_alive=True, signed=signed) as reply:
                if reply.status == 200:
                    yield reply
                    return
                if not reply.refuses(or_refused):
                    hints = _signed_hints(self._consumer) if signed else _api_hints(self._consumer)
                    self._transport.refuse(reply, hints, quoting=not signed)

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
        yield exchange.signed(url), ()
