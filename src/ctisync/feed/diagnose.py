"""The checks of the feed for `doctor`: one request each, without retries."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from ctisync.core.health import CheckResult, failed, judge_clocks, mib, ok, warning
from ctisync.core.model import Consumer, ConsumerInfo, Snapshot
from ctisync.core.retry import http_date
from ctisync.errors import CtisyncError, FeedUnreachable
from ctisync.escaping import quoted
from ctisync.feed.http.budget import RetryLater, which_server
from ctisync.feed.http.transport import FeedReply
from ctisync.ports import Clock

ONE_BYTE: Final = {"Accept-Encoding": "identity", "Range": "bytes=0-0"}
"""The headers of a request whose reply shows the size of a file."""
_OF_ALL: Final = re.compile(r"bytes 0-0/([0-9]{1,19})")


def diagnose(
    consumer: Consumer,
    clock: Clock,
    url: str,
    read_info: Callable[[], tuple[ConsumerInfo, str | None]],
    read_size: Callable[[Snapshot], int | None],
) -> tuple[list[CheckResult], int | None]:
    """See `ports.Feed.diagnose`. `read_info` requests the information at `url`, and returns it with the
    reply's Date header; `read_size` requests the bytes of a snapshot. Both may also raise RetryLater."""
    info: ConsumerInfo | None = None
    size: int | None = None

    def check_info() -> Iterator[CheckResult]:
        nonlocal info
        info, date = read_info()
        if info.last_offset is None:
            text = f"{url} answers without its last offset: passes can do nothing"
            yield warning("feed", text, "if this lasts, ask the operator of the feed", about=consumer)
        else:
            text = f"{url} answers, its last offset is {info.last_offset:,}"
            yield ok("feed", text, about=consumer)
        if (theirs := http_date(date or "")) is not None:
            yield judge_clocks(theirs, clock.now())

    def check_snapshot(snapshot: Snapshot | None) -> Iterator[CheckResult]:
        nonlocal size
        if snapshot is None:
            text = "the feed offers no snapshot, so a pass cannot initialise"
            yield warning("snapshot", text, "ctisync init-snapshot --from FILE_OR_URL", about=consumer)
            return
        size = read_size(snapshot)
        of_size = "of unknown size" if size is None else f"of {mib(size)}"
        text = f"the feed offers one of offset {snapshot.offset:,}, {of_size}"
        yield ok("snapshot", text, about=consumer)

    results = list(_guarded("feed", check_info(), url, consumer))
    if info is not None:
        results += _guarded("snapshot", check_snapshot(info.snapshot), url, consumer)
    return results, size


def _guarded(
    what: str, results: Iterator[CheckResult], url: str, consumer: Consumer
) -> Iterator[CheckResult]:
    """The results, and one for the error that ends them."""
    try:
        yield from results
    except FeedUnreachable:  # only a reply without an end takes longer than limits.pass_seconds
        yield failed(what, f"{url} does not answer in time", f"curl -i {quoted(url)}", about=consumer)
    except CtisyncError as error:
        yield failed(what, error.message, error.hint, about=consumer)
    except RetryLater as failure:
        yield failed(what, failure.reason, _hint(failure, url), about=consumer)


def _hint(failure: RetryLater, url: str) -> str:
    if failure.retry_after is not None:
        return f"wait {failure.retry_after:.0f} s, as the feed asks"
    if failure.bad_data:
        return which_server(failure.setting)
    if failure.setting != "cti.url":
        return f"check {failure.setting}, and the server there"
    return f"curl -i {quoted(url)}"


def whole_size(reply: FeedReply) -> int | None:
    """The size of a whole file in bytes, from the headers of the reply to ONE_BYTE."""
    if reply.status == 206:
        match = _OF_ALL.fullmatch(reply.headers.get("content-range", ""))
        return None if match is None else int(match[1])
    length = reply.headers.get("content-length", "")
    return int(length) if re.fullmatch("[0-9]{1,19}", length) else None
