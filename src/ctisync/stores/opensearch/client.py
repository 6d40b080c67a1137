"""Requests to OpenSearch, with retries. A request ends with a reply or with a `CtisyncError`.

Every request of the store may be sent twice: writes of the state carry `if_seq_no`, records an external
version, deletes `if_seq_no`, and after a change of aliases a GET, not the reply, shows the result. So each
request is retried after a lost connection, a time-out or a reply of a busy node.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final, Protocol, TypeVar
from urllib.parse import quote, unquote

import msgspec

from ctisync.core.json_text import UNDECODABLE
from ctisync.errors import ConfigurationError, CtisyncError, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores.opensearch.refusals import Curl, Problem, refusal
from ctisync.system.process import HURRY, finish, is_stop

T = TypeVar("T")

_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a request is sent again."""

_LEAST: Final = 0.05
"""Seconds. With less time left, a request is not tried."""

_NODE_TIMEOUT: Final = 5.0
"""Seconds for the name of a node's cluster. The next pass asks a node again that did not answer."""

_MAY_PASS: Final = frozenset({429, 502, 503, 504})

_NO_CLUSTER: Final = "_na_"
"""The cluster_uuid of a node that has not joined its cluster yet."""


class _Root(msgspec.Struct, frozen=True):
    cluster_uuid: str = _NO_CLUSTER


_root_decoder: Final = msgspec.json.Decoder(_Root)


class OpenSearchReply(msgspec.Struct, frozen=True):
    """A node's answer: `body` if the status is a success, else `problem`."""

    status: int
    body: bytes = b""
    problem: Problem = Problem()


class NoReply(Exception):
    """The request got no usable answer. The node may have executed it."""


class Transport(Protocol):
    """Sends one request once, from any thread. Raises NoReply, or AccessRefused for a TLS error.

    `timeout`: seconds to wait for a connection, and for the next bytes of an answer; the attribute is the
    longest time-out.
    """

    timeout: float

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply: ...

    def close(self) -> None: ...


class Client:
    """Sends the store's requests and retries them. `curl` writes the commands of hints, and its URL is named
    in errors; `within`: seconds for all requests."""

    def __init__(self, transport: Transport, curl: Curl, clock: Clock, within: float = math.inf) -> None:
        self._transport = transport
        self.clock = clock
        self._end = clock.monotonic() + within
        self.url = curl.url
        self.curl = curl

    def call(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        allow: Collection[int] = (),
        within: float = math.inf,
        on: Iterable[str] = (),
    ) -> OpenSearchReply:
        """The reply to a request whose status is a success or one of `allow`.

        `target` is path and query, ready to be sent (see `path`); a `body` that isn't bytes is sent as JSON;
        `within`: seconds for all tries; `on`: the indices of the request, if the target names none. Raises
        StoreUnavailable, AccessRefused or ConfigurationError otherwise.
        """
        content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        end = min(self._end, self.clock.monotonic() + within)
        for wait in (*_PAUSES, None):
            left = end - self.clock.monotonic()
            pause = None if wait is None or wait + _LEAST > left else wait
            try:
                timeout = max(_LEAST, min(self._transport.timeout, left))
                reply = self._transport.send(method, target, content, timeout)
            except NoReply as failure:
                if pause is None:
                    raise StoreUnavailable(
                        f"OpenSearch at {self.url} cannot be reached: {failure}",
                        hint=f"check that it runs and that store.url is right: {self.curl.get()}",
                    ) from failure
            else:
                if 200 <= reply.status < 300 or reply.status in allow:
                    return reply
                if pause is None or reply.status not in _MAY_PASS or reply.problem.is_block:
                    raise self.refusal(reply, method, target, on)
            self.clock.sleep(pause)
        raise AssertionError("the last round returns or raises")

    def refusal(
        self, reply: OpenSearchReply, method: str, target: str, on: Iterable[str] = ()
    ) -> CtisyncError:
        """The error of a reply, or of one item of a reply. It names the request and the indices `on` that it
        is for."""
        return refusal(reply.status, reply.problem, describe_request(method, target, on), self.curl)

    def read(self, reply: OpenSearchReply, decoder: msgspec.json.Decoder[T]) -> T:
        """The body of a reply as a typed value. Raises StoreUnavailable if it cannot be decoded.

        It takes a decoder, not a type: the decoder was built before any thread was started (ADR 21).
        """
        return decode(reply.body, decoder, f"a reply of OpenSearch at {self.url}")

    @contextmanager
    def bounded(self, seconds: float) -> Iterator[None]:
        """Limit all requests in the block, with their retries, to so many seconds."""
        end = self._end
        self._end_within(seconds)
        try:
            yield
        finally:
            self._end = end

    @contextmanager
    def finishing(self, work: Callable[[], None]) -> Iterator[None]:
        """Do `work`, which can be done twice, after the block. If a signal ends the block, or interrupts the
        work, all later requests have a short time, with their retries: the server may be what hangs."""

        def work_within(seconds: float) -> None:
            self._end_within(seconds)
            work()

        try:
            yield
        except BaseException as error:
            if is_stop(error):
                self._end_within(HURRY)
            raise
        finally:
            finish(work_within)

    def close(self) -> None:
        self._transport.close()

    def _end_within(self, seconds: float) -> None:
        self._end = min(self._end, self.clock.monotonic() + seconds)


def decode(text: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T], what: str) -> T:
    """JSON as a typed value. Raises StoreUnavailable, which names `what` was read."""
    try:
        return decoder.decode(text)
    except UNDECODABLE as error:
        raise StoreUnavailable(f"{what} cannot be read: {error}") from error


def path(*parts: str, query: str = "") -> str:
    """A request's target. Parts are escaped, except for `*` and `,`, which select several indices."""
    joined = "".join(f"/{quote(part, safe='*,')}" for part in parts)
    return f"{joined}?{query}" if query else joined


def describe_request(method: str, target: str, on: Iterable[str] = ()) -> str:
    """Method, path and the indices `on` that it is for, for people."""
    indices = f" on {', '.join(sorted(set(on)))}" if on else ""
    return f"{method} {unquote(target.partition('?')[0])}{indices}"


def check_one_cluster(
    urls: Sequence[str], connect: Callable[[Sequence[str]], Transport], curl: Curl
) -> list[str]:
    """Check that the nodes at `urls` belong to one cluster: requests go to them in turn. With two clusters,
    one could get the state and the other the content.

    Returns the URLs of the nodes that did not name their cluster, for example because they cannot be reached.
    Raises ConfigurationError if the others name different ones.
    """
    node_of: dict[str, str] = {}
    silent: list[str] = []
    for url in urls:
        with closing(connect([url])) as transport:
            cluster = _cluster_uuid(transport)
        if cluster == _NO_CLUSTER:
            silent.append(url)
        else:
            node_of.setdefault(cluster, url)
    if len(node_of) > 1:
        one, other, *_ = node_of.values()
        raise ConfigurationError(
            f"store.url lists nodes of different clusters: {one} and {other}; "
            "one could get the state and the other the content",
            hint="list nodes of one cluster in store.url; each node shows its cluster_uuid: "
            f"{curl._replace(url=one).get()}; {curl._replace(url=other).get()}",
        )
    return silent


def _cluster_uuid(transport: Transport) -> str:
    try:
        reply = transport.send("GET", "/", None, min(_NODE_TIMEOUT, transport.timeout))
        return _root_decoder.decode(reply.body or b"{}").cluster_uuid
    except (NoReply, msgspec.DecodeError):
        return _NO_CLUSTER
