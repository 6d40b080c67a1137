"""The CTI API for one consumer: its information, its changes, its snapshot."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Self
from urllib.parse import quote, unquote, urlsplit

from ctisync import hints
from ctisync.core import json_text, wire
from ctisync.core.health import CheckResult, failed, judge_clocks, mib, ok, warning
from ctisync.core.json_text import Excess, Scan, TooDeep, TooMany
from ctisync.core.links import public_link
from ctisync.core.model import (
    MAX_RANGE,
    Change,
    ChangeMark,
    Consumer,
    ConsumerInfo,
    Information,
    Json,
    OffsetRange,
    Snapshot,
)
from ctisync.core.retry import http_date
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import CtisyncError, FeedRefused, FeedUnreachable, ReplyTooLarge, UsageError
from ctisync.escaping import quoted
from ctisync.feed.http.budget import PassLimits, RetryBudget, RetryLater, which_server
from ctisync.feed.http.replies import ASK_FOR_JSON, decoded
from ctisync.feed.http.token_exchange import Access, TokenExchange
from ctisync.feed.http.transport import FeedTransport
from ctisync.feed.http.url_policy import Reach, has_login, origin, shown, snapshot_url
from ctisync.feed.snapshot.file import LocalSnapshot, open_file
from ctisync.feed.snapshot.spool import Spool
from ctisync.ports import Log
from ctisync.system.threads import Start, start_on_thread, submit

_ONE_BYTE: Final = {"Accept-Encoding": "identity", "Range": "bytes=0-0"}
"""The headers of a request whose reply shows the size of a file."""

_LAST_ANSWER_WITHIN: Final = 0.5
"""Seconds that the end of a pass waits for an answer that it no longer needs."""


class CtiFeed:
    """`ports.Feed` over HTTP, for one pass: each instance has its own retry budget."""

    def __init__(
        self,
        *,
        base_url: str,
        consumer: Consumer,
        token: str | None,
        ca_file: Path | None,
        retry_budget: float,
        lock: Path,
        pass_limits: PassLimits,
        log: Log,
        cooldown: float = 0.0,
        allowed_hosts: Sequence[str] = (),
        load_while_downloading: bool = True,
        token_exchange_url: str | None = None,
        headers: Mapping[str, str] = {},
    ) -> None:
        """`lock`: the lock file of the pass; downloads are stored beside it. `retry_budget` and `cooldown`
        are in seconds. Raises ConfigurationError for a token or proxy that cannot be used."""
        self._base_url = base_url.rstrip("/")
        self._consumer = consumer
        self._log = log
        self._load_while_downloading = load_while_downloading
        self._pass_limits = pass_limits
        # With an exchange, nothing else gets the token.
        own = token if token_exchange_url is None else None
        self._transport = transport = FeedTransport(
            self._base_url, own, ca_file, pass_limits, headers=headers, exchange_url=token_exchange_url
        )
        exchange = None
        if token_exchange_url is not None and token is not None:
            exchange = TokenExchange(transport, token_exchange_url, token)
        self._access = Access(transport, exchange, consumer)
        self._reach = Reach(self._base_url, allowed_hosts)
        self._retry_budget = RetryBudget(retry_budget, cooldown, pass_limits, log, lambda: transport.reached)
        self._spool = Spool(lock, pass_limits, log, self._access, self._retry_budget)
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
        self._pass_limits.check_time()

    def consumer_info(self) -> ConsumerInfo:
        self._prefetch.drop()
        info, *_ = self._retry_budget.persist(self._read_info)
        return info

    def changes(self, offsets: OffsetRange) -> list[Change]:
        return self._prefetch.changes(offsets)

    def prefetch(self, offsets: OffsetRange) -> None:
        self._prefetch.start(offsets)

    def fetch_snapshot(
        self,
        snapshot: Snapshot,
        refused: RefusedSnapshot | None,
        keep_alive: Callable[[], None],
        *,
        whole: bool = True,
    ) -> LocalSnapshot:
        self._prefetch.drop()
        url = self._snapshot_url(snapshot)
        file = self._spool.fetch(snapshot.link, url, refused, keep_alive, self._reach, whole=whole)
        try:
            file.check_disk_space()
        except BaseException:
            file.close()
            raise
        return file

    def open_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> LocalSnapshot:
        return self.fetch_snapshot(snapshot, refused, keep_alive, whole=not self._load_while_downloading)

    def tidy(self) -> None:
        self._prefetch.drop()
        self._spool.tidy()

    def fetch_from(self, url: str, keep_alive: Callable[[], None]) -> LocalSnapshot:
        """See `ports.Feed.fetch_from`: http, https or file. Redirects may lead anywhere."""
        address = origin(url)
        if address.scheme == "file":
            return open_file(Path(unquote(urlsplit(url).path)), self._pass_limits)
        if address.scheme not in ("http", "https") or not address.host:
            raise UsageError(
                f"{shown(url)!r} is not an http, https or file address", hint="pass a file, or an address"
            )
        if has_login(url):
            raise UsageError(
                "the address contains a user name or password, which all users of this host can see",
                hint="download the snapshot with another program, and pass the file",
            )
        return self._spool.fetch(public_link(url), url, None, keep_alive, None)

    def store_stream(self, stream: BinaryIO, link: str) -> LocalSnapshot:
        return self._spool.store_stream(stream, link)

    def snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        """See `ports.Feed.snapshot_bytes`: requested once."""
        try:
            return self._snapshot_bytes(snapshot)
        except (RetryLater, CtisyncError):
            return None

    def diagnose(self) -> tuple[list[CheckResult], int | None]:
        """See `ports.Feed.diagnose`: one request each."""
        self._prefetch.drop()
        consumer, url = self._consumer, shown(self._url)
        results: list[CheckResult] = []
        size: int | None = None
        with _recorded("feed", results, url, consumer):
            info, date, _ = self._read_info()
            results.append(_answers(url, info.last_offset, consumer))
            if (theirs := http_date(date or "")) is not None:
                results.append(judge_clocks(theirs, self._pass_limits.clock.now()))
            with _recorded("snapshot", results, url, consumer):
                size = None if info.snapshot is None else self._snapshot_bytes(info.snapshot)
                results.append(_offered(info.snapshot, size, consumer))
        return results, size

    def source_info(self) -> tuple[ConsumerInfo, Information]:
        self._prefetch.drop()
        info, _, document = self._retry_budget.persist(self._read_info)
        return info, wire.information(document)

    def original_changes(self, offsets: OffsetRange) -> list[tuple[ChangeMark, bytes]]:
        self._prefetch.drop()
        texts: list[bytes] = []
        changes = self._fetch_changes(offsets, texts)
        return [(change.mark, text) for change, text in zip(changes, texts, strict=True)]

    def _fetch_changes(self, offsets: OffsetRange, texts: list[bytes] | None = None) -> list[Change]:
        """All changes of the range; to `texts` they are added as they came.

        A reply that ends before the range may be truncated: the rest is requested from its last offset, and
        only an empty reply to that confirms a gap (API fact).

        Raises ReplyTooLarge if all replies together exceed the limits."""
        if not 0 < offsets.to - offsets.after <= MAX_RANGE:
            raise ValueError(f"{offsets} is no range of 1 to {MAX_RANGE} offsets")
        changes: list[Change] = []
        scans: list[Scan] = []
        rest = offsets
        while rest.after < rest.to:
            reply = self._changes_of_reply(rest, scans, texts)
            if not reply and len(scans) > 1:
                break
            changes += reply
            rest = OffsetRange(changes[-1].offset if changes else rest.after, offsets.to)
        return changes

    def _changes_of_reply(
        self, offsets: OffsetRange, scans: list[Scan], texts: list[bytes] | None
    ) -> list[Change]:
        """The changes of one reply, checked. `scans`: those of earlier replies; this one's is added."""
        data, content = self._retry_budget.persist(lambda: self._read_changes(offsets, scans))
        if not isinstance(data, list):
            raise FeedRefused(f"the feed's reply for changes {offsets} has no `data` array")
        try:
            changes = [wire.change(item) for item in data]
        except FeedRefused as error:
            raise FeedRefused(f"changes {offsets}: {error.message}", hint=error.hint) from None
        last = offsets.after
        for change in changes:
            if not last < change.offset <= offsets.to:
                raise FeedRefused(
                    f"the feed's reply for changes {offsets} is out of order or out of range: "
                    f"offset {change.offset} follows {last}"
                )
            last = change.offset
        if texts is not None:
            texts += wire.change_texts(content)
        return changes

    def _read_changes(self, offsets: OffsetRange, scans: list[Scan]) -> tuple[Json, bytes]:
        """The value of `data`, or None; and the whole reply."""
        limits = self._pass_limits.limits
        # A payload is three levels deep: in its change, in `data`, in the reply.
        scan = Scan(limits.json_depth + 3, limits.json_values - sum(each.values for each in scans))
        query = f"?from_offset={offsets.after}&to_offset={offsets.to}"
        received = sum(each.size for each in scans)
        try:
            document, _, content = self._read_json(f"{self._url}/changes{query}", scan, received)
        except TooDeep:
            raise FeedRefused(f"a change of {offsets} is nested deeper than limits.json_depth") from None
        except TooMany:
            raise ReplyTooLarge(
                f"changes {offsets} have more than {limits.json_values} values (limits.json_values)",
                hint="if this is expected, raise limits.json_values",
            ) from None
        scans.append(scan)
        return document.get("data") if isinstance(document, dict) else None, content

    def _read_info(self) -> tuple[ConsumerInfo, str | None, Json]:
        """The consumer's information, the server's time from the Date header, and the whole reply."""
        limits = self._pass_limits.limits
        try:
            document, headers, _ = self._read_json(self._url, Scan(limits.json_depth + 3, limits.json_values))
        except Excess:
            raise FeedRefused(f"the reply of {shown(self._url)} does not describe a consumer") from None
        info = wire.consumer_info(document)
        self._access.set_public(info.is_public)
        return info, headers.get("date"), document

    def _read_json(self, url: str, scan: Scan, received: int = 0) -> tuple[Json, Mapping[str, str], bytes]:
        """The document, the headers and the text of a reply. `received`: bytes of earlier replies, which
        count for the limit, too. Raises Excess, and RetryLater for what is no JSON."""
        most = self._pass_limits.limits.reply_bytes
        with self._access.get(url, headers=ASK_FOR_JSON) as reply:
            encoding = reply.headers.get("content-encoding", "")
            content = b"".join(scan.checked(decoded(reply.chunks, encoding, most, received)))
        try:
            return json_text.decode(content), reply.headers, content
        except ValueError:
            raise RetryLater(f"the reply of {shown(url)} is not JSON", bad_data=True) from None

    def _snapshot_bytes(self, snapshot: Snapshot) -> int | None:
        with self._access.follow(
            self._snapshot_url(snapshot), headers=_ONE_BYTE, accept=(200, 206), reach=self._reach
        ) as reply:
            return reply.whole_size

    def _snapshot_url(self, snapshot: Snapshot) -> str:
        return snapshot_url(snapshot.address or snapshot.link, self._base_url)


class Prefetch:
    """The changes of the next range, which are requested while those of the last one are written.

    Connections, retry budget and limits are for one thread at a time: any other request waits until the
    prefetch has ended. For use by one thread; `starter` decides where `fetch` runs.
    """

    def __init__(self, fetch: Callable[[OffsetRange], list[Change]], starter: Start) -> None:
        self._fetch = fetch
        self._starter = starter
        self._running: tuple[OffsetRange, Future[list[Change]]] | None = None

    def start(self, offsets: OffsetRange) -> None:
        """Start to fetch these changes, if possible. `changes` raises the errors."""
        self.drop()
        answer = submit(partial(self._fetch, offsets), "asking-ahead", self._starter)
        self._running = None if answer is None else (offsets, answer)

    def changes(self, offsets: OffsetRange) -> list[Change]:
        """The prefetched changes if `start` was for this range; else they are fetched now."""
        self.has_ended()
        running, self._running = self._running, None
        if running is not None and running[0] == offsets:
            return running[1].result()
        return self._fetch(offsets)

    def drop(self) -> None:
        """Wait for the prefetch, and discard it."""
        self.has_ended()
        self._running = None

    def has_ended(self, within: float | None = None) -> bool:
        """Wait for the prefetch, at most so many seconds. Returns whether it has ended."""
        return self._running is None or not wait([self._running[1]], within).not_done


def _answers(url: str, last_offset: int | None, consumer: Consumer) -> CheckResult:
    if last_offset is not None:
        return ok("feed", f"{url} answers, its last offset is {last_offset:,}", about=consumer)
    text = f"{url} answers without its last offset: passes can do nothing"
    return warning("feed", text, "if this lasts, ask the operator of the feed", about=consumer)


def _offered(snapshot: Snapshot | None, size: int | None, consumer: Consumer) -> CheckResult:
    if snapshot is None:
        text = "the feed offers no snapshot, so a pass cannot initialise"
        hint = hints.command("init-snapshot", "--from FILE_OR_URL")
        return warning("snapshot", text, hint, about=consumer)
    of_size = "of unknown size" if size is None else f"of {mib(size)}"
    return ok("snapshot", f"the feed offers one of offset {snapshot.offset:,}, {of_size}", about=consumer)


@contextmanager
def _recorded(what: str, results: list[CheckResult], url: str, consumer: Consumer) -> Iterator[None]:
    """The error that ends the block becomes a result."""
    try:
        yield
    except FeedUnreachable:  # only a reply without an end takes longer than limits.pass_seconds
        text = f"{url} does not answer in time"
        results.append(failed(what, text, f"curl -i {quoted(url)}", about=consumer))
    except CtisyncError as error:
        results.append(failed(what, error.message, error.hint, about=consumer))
    except RetryLater as failure:
        results.append(failed(what, failure.reason, _hint(failure, url), about=consumer))


def _hint(failure: RetryLater, url: str) -> str:
    if failure.retry_after is not None:
        return f"wait {failure.retry_after:.0f} s, as the feed asks"
    if failure.bad_data:
        return which_server(failure.setting)
    if failure.setting != "cti.url":
        return f"check {failure.setting}, and the server there"
    return f"curl -i {quoted(url)}"
