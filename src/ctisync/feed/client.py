"""The CTI API for one consumer: its information, its changes, its snapshot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from ctisync.core import json_text, wire
from ctisync.core.json_text import Excess, Scan, TooDeep, TooMany, check
from ctisync.core.links import public_link
from ctisync.core.model import MAX_RANGE, Change, Consumer, ConsumerInfo, Json, OffsetRange, Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import CtisyncError, FeedRefused, ReplyTooLarge, UsageError
from ctisync.feed.http.budget import FreeDiskSpace, PassLimits, RetryBudget, RetryLater
from ctisync.feed.http.replies import ASK_FOR_JSON, decoded
from ctisync.feed.http.token_exchange import Access, TokenExchange
from ctisync.feed.http.transport import DEFAULT_TIMEOUTS, FeedTransport, Timeouts
from ctisync.feed.http.url_policy import Origin, Reach, has_login, origin, shown, snapshot_url
from ctisync.feed.snapshot.file import LocalSnapshot, open_given
from ctisync.feed.snapshot.spool import Spool
from ctisync.ports import Clock, Log
from ctisync.system.threads import Start, start_on_thread, submit

if TYPE_CHECKING:
    from ctisync.feed.diagnose import Probed


_LAST_ANSWER_WITHIN: Final = 0.5
"""Seconds that the end of a pass waits for an answer that it no longer needs."""


class _Taken:
    """The size of all replies to one request for changes so far."""

    def __init__(self) -> None:
        self.bytes = 0
        self.values = 0

    def add(self, scan: Scan) -> None:
        self.bytes += scan.size
        self.values += scan.values


class CtiFeed:
    """`ports.Feed` over HTTP, for one pass: each instance has its own retry budget."""

    def __init__(
        self,
        *,
        base_url: str,
        consumer: Consumer,
        token: str | None,
        ca_file: str | None,
        retry_budget: float,
        lock: Path,
        clock: Clock,
        log: Log,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        cooldown: float = 0.0,
        allowed_hosts: Sequence[str] = (),
        pass_limits: PassLimits | None = None,
        room: FreeDiskSpace | None = None,
        load_while_downloading: bool = True,
        token_exchange_url: str | None = None,
        headers: Mapping[str, str] = {},
    ) -> None:
        """`lock`: the lock file of the pass; downloads are stored beside it. `retry_budget` and `cooldown`
        are in seconds. `pass_limits` None: the default limits; `room` None: free disk space is not checked.
        Raises ConfigurationError for an address, token or proxy that cannot be used."""
        self._base_url = base_url.rstrip("/")
        self._consumer = consumer
        self._clock = clock
        self._log = log
        self._room = room
        self._load_while_downloading = load_while_downloading
        self._pass_limits = PassLimits(clock) if pass_limits is None else pass_limits
        # With an exchange, nothing else gets the token.
        own = token if token_exchange_url is None else None
        self._transport = FeedTransport(
            self._base_url,
            own,
            ca_file,
            timeouts,
            self._pass_limits,
            clock,
            headers=headers,
            exchange_url=token_exchange_url,
        )
        exchange = None
        if token_exchange_url is not None and token is not None:
            exchange = TokenExchange(self._transport, token_exchange_url, token, clock)
        self._access = Access(self._transport, exchange, consumer)
        self._reach = Reach(self._base_url, allowed_hosts)
        self._retry_budget = RetryBudget(
            retry_budget, cooldown, self._pass_limits, clock, log, lambda: self._transport.reached
        )
        self._spool = Spool(lock, consumer, clock, self._access, self._retry_budget, self._pass_limits, log)
        self._prefetch = Prefetch(self._fetch_changes, start_on_thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        # After a signal there is little time, and the history still has to be written.
        is_stop = error is not None and not isinstance(error, Exception)
        self.close(within=0.0 if is_stop else _LAST_ANSWER_WITHIN)

    def close(self, within: float = _LAST_ANSWER_WITHIN) -> None:
        """Close the connections, unless a prefetch still uses one after so many seconds."""
        if self._prefetch.has_ended(within):
            self._transport.close()
        else:  # the connection is in use and stays open; the limits prevent further requests
            self._pass_limits.end()
        self._log.event("debug", "feed-left", consumer=str(self._consumer), received=self.received)

    @property
    def received(self) -> int:
        return self._transport.received

    @property
    def retries(self) -> int:
        return self._retry_budget.retries

    @property
    def _url(self) -> str:
        context, name = quote(self._consumer.context, safe=""), quote(self._consumer.name, safe="")
        return f"{self._base_url}/catalog/contexts/{context}/consumers/{name}"

    def check_time(self) -> None:
        """Raises FeedUnreachable if the time of the pass is over."""
        self._pass_limits.check_time()

    def consumer_info(self) -> ConsumerInfo:
        self._prefetch.drop()
        return self._info(self._retry_budget.persist(self._read_info))

    def changes(self, wanted: OffsetRange) -> list[Change]:
        return self._prefetch.changes(wanted)

    def prefetch(self, wanted: OffsetRange) -> None:
        self._prefetch.ask(wanted)

    def _fetch_changes(self, wanted: OffsetRange) -> list[Change]:
        """All changes of the range. A reply that ends before the range may be truncated: the rest is
        requested from its last offset, and only an empty reply to that confirms a gap (API fact).

        Raises ReplyTooLarge if all replies together exceed the limits."""
        if not 0 < wanted.to - wanted.after <= MAX_RANGE:
            raise ValueError(f"{wanted} is no range of 1 to {MAX_RANGE} offsets")
        found: list[Change] = []
        taken = _Taken()
        rest, asked_before = wanted, False
        while rest.after < rest.to:
            reply = self._changes_once(rest, taken)
            if not reply and asked_before:
                break
            found += reply
            rest, asked_before = OffsetRange(found[-1].offset if found else rest.after, wanted.to), True
        return found

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> LocalSnapshot:
        self._prefetch.drop()
        url = snapshot_url(snapshot.address or snapshot.link, self._base_url)
        file = self._spool.fetch(snapshot.link, url, refused, keep_alive, self._reach)
        self.check_room(file)
        return file

    def open_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> LocalSnapshot:
        if not self._load_while_downloading:
            return self.fetch_snapshot(snapshot, refused, keep_alive)
        self._prefetch.drop()
        url = snapshot_url(snapshot.address or snapshot.link, self._base_url)
        file = self._spool.open(snapshot.link, url, refused, keep_alive, self._reach)
        try:
            self.check_room(file)
        except BaseException:
            file.close()
            raise
        return file

    def check_room(self, file: LocalSnapshot) -> None:
        """Raises StoreUnavailable if the free disk space is too small for the snapshot's records."""
        if self._room is not None:
            self._room.check(file.unpacked_size, file.to_come)

    def tidy(self) -> None:
        """Remove downloads that dead passes have left."""
        self._prefetch.drop()
        self._spool.tidy()

    def fetch_given(self, url: str, keep_alive: Callable[[], None]) -> LocalSnapshot:
        """The snapshot from an address that you passed (http, https or file). Redirects may lead anywhere.

        Raises UsageError for an address that cannot be used.
        """
        try:
            address = origin(url)
        except ValueError:
            address = Origin("", "", None)
        if address.scheme == "file":
            return open_given(Path(url2pathname(urlsplit(url).path)), self._pass_limits)
        if address.scheme not in ("http", "https") or not address.host:
            raise UsageError(
                f"{shown(url)!r} is not an http, https or file address",
                hint="pass a file or an address to --from",
            )
        if has_login(url):
            raise UsageError(
                "the address contains a user name or password, which all users of this host can see",
                hint="download the snapshot with another program, and pass the file",
            )
        return self._spool.fetch(public_link(url), url, None, keep_alive, None)

    def snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        """The snapshot's size in bytes, requested once; None if its server does not report it."""
        try:
            return self._snapshot_bytes(snapshot)
        except (RetryLater, CtisyncError):
            return None

    def take_in(self, stream: BinaryIO, link: str) -> LocalSnapshot:
        """A snapshot from a pipe. It is read more than once, so it is stored until it is discarded."""
        return self._spool.take_in(stream, link)

    def probe(self) -> "Probed":
        """The verdicts of `doctor` on the feed, from one request each, without retries."""
        from ctisync.feed.diagnose import Probe

        self._prefetch.drop()
        url = shown(self._url)
        return Probe(self._consumer, self._clock, url, self._dated_info, self._snapshot_bytes).probed()

    def _dated_info(self) -> tuple[ConsumerInfo, str | None]:
        """The consumer's information, and the server's time from the Date header."""
        with self._asked(self._url) as (body, headers):
            return self._info(self._decoded_info(b"".join(body))), headers.get("date")

    def _snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        from ctisync.feed.diagnose import ONE_BYTE, size_told

        url = snapshot_url(snapshot.address or snapshot.link, self._base_url)
        with self._access.follow(url, headers=ONE_BYTE, accept=(200, 206), reach=self._reach) as reply:
            return size_told(reply)

    def _info(self, document: Json) -> ConsumerInfo:
        info = wire.consumer_info(document)
        self._access.told(info.is_public)
        return info

    def _read_info(self) -> Json:
        with self._asked(self._url) as (body, _):
            return self._decoded_info(b"".join(body))

    def _decoded_info(self, content: bytes) -> Json:
        limits = self._pass_limits.limits
        try:
            check(content, limits.json_depth + 3, limits.json_values)
        except Excess:
            raise FeedRefused(f"the reply of {shown(self._url)} does not describe a consumer") from None
        return _json(content, self._url)

    def _changes_once(self, wanted: OffsetRange, taken: _Taken) -> list[Change]:
        """The changes of one reply, checked."""
        data = self._retry_budget.persist(lambda: self._read_changes(wanted, taken))
        if not isinstance(data, list):
            raise FeedRefused(f"the feed's reply for changes {wanted} has no `data` array")
        try:
            found = [wire.change(item) for item in data]
        except FeedRefused as error:
            raise FeedRefused(f"changes {wanted}: {error.message}", hint=error.hint) from None
        last = wanted.after
        for change in found:
            if not last < change.offset <= wanted.to:
                raise FeedRefused(
                    f"the feed's reply for changes {wanted} is out of order or out of range: "
                    f"offset {change.offset} follows {last}"
                )
            last = change.offset
        return found

    def _read_changes(self, wanted: OffsetRange, taken: _Taken) -> Json:
        """The value of `data`, or None."""
        query = f"?from_offset={wanted.after}&to_offset={wanted.to}"
        url = f"{self._url}/changes"
        limits = self._pass_limits.limits
        # A payload is three levels deep: in its change, in `data`, in the reply.
        scan = Scan(limits.json_depth + 3, limits.json_values - taken.values)
        with self._asked(url + query, taken.bytes) as (body, _):
            try:
                content = b"".join(scan.checked(body))
            except TooDeep:
                raise FeedRefused(f"a change of {wanted} is nested deeper than limits.json_depth") from None
            except TooMany:
                most = limits.json_values
                raise ReplyTooLarge(
                    f"changes {wanted} have more than {most} values (limits.json_values)",
                    hint="if this is expected, raise limits.json_values",
                ) from None
        document = _json(content, url)
        taken.add(scan)
        return document.get("data") if isinstance(document, dict) else None

    @contextmanager
    def _asked(self, url: str, already: int = 0) -> Iterator[tuple[Iterator[bytes], Mapping[str, str]]]:
        """The decoded body and the headers of a reply."""
        with self._access.get(url, headers=ASK_FOR_JSON) as reply:
            encoding = reply.headers.get("content-encoding", "")
            body = decoded(reply.chunks, encoding, self._pass_limits.limits.reply_bytes, already)
            yield body, reply.headers


def _json(content: bytes, url: str) -> Json:
    """The document in a reply. Raises RetryLater for what is no JSON."""
    try:
        return json_text.decode(content)
    except ValueError:
        raise RetryLater(f"the reply of {shown(url)} is not JSON", bad_data=True) from None


class Prefetch:
    """At most one range that is prefetched. For use by one thread; `start` decides where `fetch` runs."""

    def __init__(self, fetch: Callable[[OffsetRange], list[Change]], start: Start) -> None:
        self._fetch = fetch
        self._start = start
        self._asked: tuple[OffsetRange, Future[list[Change]]] | None = None

    def ask(self, wanted: OffsetRange) -> None:
        """Start to fetch these changes, if possible. `changes` raises the errors."""
        self.drop()
        answer = submit(partial(self._fetch, wanted), "asking-ahead", self._start)
        self._asked = None if answer is None else (wanted, answer)

    def changes(self, wanted: OffsetRange) -> list[Change]:
        """The prefetched changes if `ask` was for this range; else they are fetched now."""
        self.has_ended()
        asked, self._asked = self._asked, None
        if asked is not None and asked[0] == wanted:
            return asked[1].result()
        return self._fetch(wanted)

    def drop(self) -> None:
        """Wait for the prefetch, and discard it."""
        self.has_ended()
        self._asked = None

    def has_ended(self, within: float | None = None) -> bool:
        """Wait for the prefetch, at most so many seconds. Returns whether it has ended."""
        return self._asked is None or not wait([self._asked[1]], within).not_done
