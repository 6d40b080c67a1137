"""Requests to OpenSearch, with retries. A request ends with a reply or with a `CtisyncError`.

Every request of the store may be sent twice: writes of the state carry `if_seq_no`, records an external
version, deletes `if_seq_no`, and after a change of aliases a GET, not the reply, shows the result. So each
request is retried after a lost connection, a time-out or a reply of a busy node.
"""

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Final, Protocol, TypeVar
from urllib.parse import SplitResult, quote, unquote

import msgspec

from ctisync.core.json_text import UNDECODABLE
from ctisync.errors import AccessRefused, ConfigurationError, CtisyncError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.ports import Clock
from ctisync.stores.opensearch import hints
from ctisync.stores.opensearch.hints import SYNC, Curl
from ctisync.system.process import HURRY, finish, is_stop

T = TypeVar("T")

_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a request is sent again."""

_LEAST: Final = 0.05
"""Seconds. With less time left, a request is not tried."""

_NODE_TIMEOUT: Final = 5.0
"""Seconds for the name of a node's cluster. The next pass asks a node again that did not answer."""

_BLOCKS: Final = ("cluster_block_exception", "index_create_block_exception")
_MAY_PASS: Final = frozenset({429, 502, 503, 504})
_REASON_CHARACTERS: Final = 300

_MISSING_RIGHTS: Final = re.compile(r"no permissions for \[([\w:/*, \[\]]+?)\] and User", re.ASCII)
"""How the security plugin names the actions that no role of the user permits."""
_ON_A_SHARD: Final = re.compile(r"\[\w+\]$")
"""The end of an action on one shard: the action's name, then `[s]` or `[shard]`."""


class Cause(msgspec.Struct, frozen=True):
    """The cause of a problem; for a refused record it names the field and the error."""

    reason: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """The `error` object of a reply or of one of its items."""

    type: str = ""
    reason: str | None = None
    caused_by: Cause | None = None

    @property
    def is_block(self) -> bool:
        """A block stops writes until a person lifts it or disk space is freed; waiting does not help."""
        return self.type in _BLOCKS and "SERVICE_UNAVAILABLE" not in (self.reason or "")

    @property
    def is_of_too_many_shards(self) -> bool:
        """A limit of the cluster, which a person raises, or makes room below."""
        return hints.is_shard_limit(self.reason)

    @property
    def is_refusal(self) -> bool:
        """Whether the user's roles do not permit it. One item of a reply may say so while others succeed."""
        return self.type == "security_exception"

    @property
    def missing_rights(self) -> str:
        """The missing privileges, as a role grants them; empty if the problem names none."""
        match = _MISSING_RIGHTS.search(self.reason or "")
        return ", ".join(_ON_A_SHARD.sub("*", action) for action in match[1].split(", ")) if match else ""

    @property
    def is_missing_index(self) -> bool:
        return self.type == "index_not_found_exception"

    def __str__(self) -> str:
        cause = self.caused_by.reason if self.caused_by else None
        text = ": ".join(part for part in (self.type, self.reason, cause) if part) or "no reason given"
        return text if len(text) <= _REASON_CHARACTERS else text[:_REASON_CHARACTERS] + "…"


class _Health(msgspec.Struct, frozen=True):
    number_of_data_nodes: int


_NO_CLUSTER: Final = "_na_"
"""The cluster_uuid of a node that has not joined its cluster yet."""


class _Root(msgspec.Struct, frozen=True):
    cluster_uuid: str = _NO_CLUSTER


_health_decoder: Final = msgspec.json.Decoder(_Health)
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
        self._clock = clock
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
        end = min(self._end, self._clock.monotonic() + within)
        for wait in (*_PAUSES, None):
            left = end - self._clock.monotonic()
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
            self._clock.sleep(pause)
        raise AssertionError("the last round returns or raises")

    @property
    def user(self) -> str:
        """The user of the settings, for a sentence."""
        return f"user {quoted(self.curl.username)}" if self.curl.username else "your user"

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
    def hurried_by_a_stop(self) -> Iterator[None]:
        """If a signal ends the block, limit all later requests, with their retries, to a short time: the
        server may be what hangs."""
        try:
            yield
        except BaseException as error:
            if is_stop(error):
                self._end_within(HURRY)
            raise

    def finish(self, work: Callable[[], None]) -> None:
        """Do work that can be done twice. If a signal interrupts it, it starts again with a short limit."""

        def within(seconds: float) -> None:
            self._end_within(seconds)
            work()

        finish(within)

    def close(self) -> None:
        self._transport.close()

    def _end_within(self, seconds: float) -> None:
        self._end = min(self._end, self._clock.monotonic() + seconds)

    def refusal(
        self, reply: OpenSearchReply, method: str, target: str, on: Iterable[str] = ()
    ) -> CtisyncError:
        """The error of a reply, or of one item of a reply, whose status is no success. It names the request,
        the indices `on` that it is for, and the missing privileges."""
        status, problem = reply.status, reply.problem
        if problem.is_block:
            return self._blocked(problem)
        if problem.is_of_too_many_shards:
            return self._too_many_shards(problem)
        if status == 401:
            return self._not_authenticated()
        if status == 403:
            request = f"{method} {unquote(target.partition('?')[0])}"
            indices = f" on {', '.join(sorted(set(on)))}" if on else ""
            rights = problem.missing_rights or "the privilege named above"
            return AccessRefused(
                f"OpenSearch at {self.url} does not permit {request}{indices} (403): {problem}",
                hint="ctisync examples opensearch --output roles "
                f"(grants all privileges that a pass needs; {self.user} lacks {rights})",
            )
        if status in (404, 405):
            return AccessRefused(
                f"{self.url} does not answer like OpenSearch ({status}): {problem}",
                hint=f"check store.url: {self.curl.get()}",
            )
        if 300 <= status < 400:
            return ConfigurationError(
                f"{self.url} answers with a redirect ({status}); ctisync does not follow it",
                hint="set store.url to the address of OpenSearch itself",
            )
        return StoreUnavailable(
            f"OpenSearch at {self.url} refuses a request ({status}): {problem}",
            hint=f"look at its log, and at: {self.curl.get('/_cluster/health')}{SYNC}",
        )

    def _blocked(self, problem: Problem) -> StoreUnavailable:
        settings = hints.block_settings(problem.reason)
        if settings:
            hint = hints.remove_blocks(self.curl, settings)
        else:
            hint = f"look at: {self.curl.get('/_all/_settings?filter_path=*.*.*.blocks')}"
        if not settings or hints.is_of_a_full_disk(settings):
            state = "accepts no writes, its disk is probably full"
        else:
            state = "is blocked by a setting"
        return StoreUnavailable(f"OpenSearch at {self.url} {state}: {problem}", hint=hint)

    def _too_many_shards(self, problem: Problem) -> StoreUnavailable:
        nodes = 1
        with suppress(CtisyncError):  # without the right to count the nodes, the limit becomes the larger
            reply = self.call("GET", "/_cluster/health?filter_path=number_of_data_nodes", within=HURRY)
            nodes = max(1, self.read(reply, _health_decoder).number_of_data_nodes)
        return StoreUnavailable(
            f"OpenSearch at {self.url} has reached its limit of shards: {problem}",
            hint=hints.raise_shard_limit(self.curl, problem.reason, nodes),
        )

    def _not_authenticated(self) -> AccessRefused:
        user, certificate = self.curl.username, self.curl.files.client_cert
        if certificate is not None and user is None:
            return AccessRefused(
                f"OpenSearch at {self.url} does not accept client certificate {certificate} (401)",
                hint="enable client certificate authentication in its security plugin, or set store.username "
                "and store.password_file",
            )
        who = f"user {user}" if user else "a request without user and password"
        return AccessRefused(
            f"OpenSearch at {self.url} refuses {who} (401)",
            hint="check store.username and store.password_file",
        )


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


def check_one_cluster(
    urls: Sequence[SplitResult], connect: Callable[[Sequence[SplitResult]], Transport], curl: Curl
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
        if cluster is None:
            silent.append(url.geturl())
        else:
            node_of.setdefault(cluster, url.geturl())
    if len(node_of) > 1:
        one, other, *_ = node_of.values()
        raise ConfigurationError(
            f"store.url lists nodes of different clusters: {one} and {other}; "
            "one could get the state and the other the content",
            hint="list nodes of one cluster in store.url; each node shows its cluster_uuid: "
            f"{curl._replace(url=one).get()}; {curl._replace(url=other).get()}",
        )
    return silent


def _cluster_uuid(transport: Transport) -> str | None:
    try:
        reply = transport.send("GET", "/", None, min(_NODE_TIMEOUT, transport.timeout))
        uuid = _root_decoder.decode(reply.body).cluster_uuid if reply.status == 200 else _NO_CLUSTER
    except (NoReply, msgspec.DecodeError):
        return None
    return None if uuid == _NO_CLUSTER else uuid
