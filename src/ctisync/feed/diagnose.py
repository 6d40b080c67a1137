"""The checks of the feed for `doctor`: one request each, without retries."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from ctisync.core.health import CheckResult, failed, guarded, judge_clocks, mib, ok, warning
from ctisync.core.model import Consumer, ConsumerInfo, Snapshot
from ctisync.core.retry import http_date
from ctisync.errors import FeedUnreachable
from ctisync.escaping import quoted
from ctisync.feed.http.budget import RetryLater, which_server
from ctisync.feed.http.transport import FeedReply
from ctisync.ports import Clock

ONE_BYTE: Final = {"Accept-Encoding": "identity", "Range": "bytes=0-0"}
_OF_ALL: Final = re.compile(r"bytes 0-0/([0-9]{1,19})")


class Probed(NamedTuple):
    """`snapshot_bytes`: the size of the offered snapshot; None if there is none, or its size is unknown."""

    verdicts: list[CheckResult]
    snapshot_bytes: int | None


class Probe:
    """One check of the feed. `ask_info` returns the information and the reply's Date header, `ask_size` the
    bytes of a snapshot, None if its server does not report them. Both may also raise RetryLater."""

    def __init__(
        self,
        consumer: Consumer,
        clock: Clock,
        url: str,
        ask_info: Callable[[], tuple[ConsumerInfo, str | None]],
        ask_size: Callable[[Snapshot], int | None],
    ) -> None:
        self._consumer = consumer
        self._clock = clock
        self._url = url
        self._ask_info = ask_info
        self._ask_size = ask_size
        self._snapshot: Snapshot | None = None
        self._answered = False
        self._size: int | None = None

    def probed(self) -> Probed:
        """Send the requests. An error becomes a verdict."""
        found = list(self._told("feed", self._feed))
        if self._answered:
            found += self._told("snapshot", self._offered)
        return Probed(found, self._size)

    def _told(self, what: str, look: Callable[[], Iterable[CheckResult]]) -> Iterator[CheckResult]:
        """The verdicts of `look`, and one for its error."""
        try:
            yield from guarded(what, lambda: self._in_time(what, look), about=self._consumer)
        except RetryLater as failure:
            hint = f"curl -i {quoted(self._url)}"
            if failure.asked_for is not None:
                hint = f"wait {failure.asked_for:.0f} s, as the feed asks"
            elif failure.bad_data:
                hint = which_server(failure.setting)
            elif failure.setting != "cti.url":
                hint = f"check {failure.setting}, and the server there"
            yield failed(what, failure.reason, hint, about=self._consumer)

    def _in_time(self, what: str, look: Callable[[], Iterable[CheckResult]]) -> Iterator[CheckResult]:
        """Only a reply without an end takes longer than limits.pass_seconds."""
        try:
            yield from look()
        except FeedUnreachable:
            told = f"{self._url} does not answer in time"
            yield failed(what, told, f"curl -i {quoted(self._url)}", about=self._consumer)

    def _feed(self) -> Iterator[CheckResult]:
        about = self._consumer
        info, date = self._ask_info()
        self._answered = True
        self._snapshot = info.snapshot
        if info.last_offset is None:
            told = f"{self._url} answers without its last offset: passes can do nothing"
            yield warning("feed", told, "if this lasts, ask the operator of the feed", about=about)
        else:
            yield ok("feed", f"{self._url} answers, its last offset is {info.last_offset:,}", about=about)
        yield from self._clocks(date)

    def _clocks(self, date: str | None) -> Iterator[CheckResult]:
        if (theirs := http_date(date or "")) is not None:
            yield judge_clocks(theirs, self._clock.now())

    def _offered(self) -> Iterator[CheckResult]:
        about, snapshot = self._consumer, self._snapshot
        if snapshot is None:
            told = "the feed offers no snapshot, so a pass cannot initialise"
            yield warning("snapshot", told, "ctisync init-snapshot --from FILE_OR_URL", about=about)
            return
        self._size = self._ask_size(snapshot)
        size = "of unknown size" if self._size is None else f"of {mib(self._size)}"
        yield ok("snapshot", f"the feed offers one of offset {snapshot.offset:,}, {size}", about=about)


def size_told(reply: FeedReply) -> int | None:
    """The size of a whole file in bytes, from the headers of the reply to ONE_BYTE."""
    if reply.status == 206:
        found = _OF_ALL.fullmatch(reply.headers.get("content-range", ""))
        return None if found is None else int(found[1])
    length = reply.headers.get("content-length", "")
    return int(length) if re.fullmatch("[0-9]{1,19}", length) else None
