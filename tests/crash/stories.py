"""The stories that are told again and again, each time with another effect that kills or fails."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tests.support import feed_failures as failures
from tests.support import records
from tests.support.feed_history import WAZUH_5, History, populate
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable

# Updates append to this list, so that one which is applied twice, or never, shows.
_LIST: Final = "/containers/cna/references/-"


class Story(NamedTuple):
    """What the feed does before the pass that is spoilt, and how that pass ends when nothing spoils it.

    `before` is followed by an undisturbed pass, unless it is None: then nothing is stored yet. `then`
    returns the offset at which the content stands in the end.
    """

    name: str
    before: Callable[[FeedSimulator], None] | None
    then: Callable[[FeedSimulator], int]
    exit_code: int


def _publish(feed: FeedSimulator) -> int:
    """A snapshot of some 12 kB, so that it comes, is written and is loaded in pieces."""
    populate(feed.history, 5)
    noise = [{"url": f"https://example.org/{records.cve_name(n)}/{hash_of(n)}"} for n in range(400)]
    feed.history.create("CVE-2024-LONG", {"containers": {"cna": {"references": noise}}})
    feed.publish_snapshot()
    return feed.history.last_offset


def hash_of(number: int) -> str:
    """Twelve digits that do not compress."""
    return f"{pow(7, number + 1000, 999_999_999_989):012d}"


def _changes(feed: FeedSimulator) -> int:
    """Every kind of change, and of sequences of changes of one record; less than a range."""
    history = feed.history
    first, second, third, *_ = history.names()
    append(feed, first)
    append(feed, first)
    append(feed, second)
    history.delete(second)
    history.delete(third)
    history.create(third, records.payload(33))
    append(feed, third)
    history.create("CVE-2026-NEW", records.payload(44))
    append(feed, "CVE-2026-NEW")
    return history.last_offset


def append(feed: FeedSimulator, name: str) -> int:
    """An update that is seen to have been applied twice, or never."""
    value = {"url": f"https://example.org/at/{feed.history.last_offset + 1}"}
    return feed.history.update(name, [{"op": "add", "path": _LIST, "value": value}])


def _ranges(feed: FeedSimulator) -> int:
    """Three ranges: offsets of the last two lie more than a thousand after the one before."""
    _changes(feed)
    for _ in range(2):
        feed.history.gap(1000)
        append(feed, feed.history.names()[0])
    feed.history.delete("CVE-2026-NEW")
    return feed.history.last_offset


def _healing_poison(feed: FeedSimulator) -> int:
    """A change that cannot be applied, which a newer snapshot has behind it."""
    _changes(feed)
    feed.history.poison(feed.history.names()[1])
    append(feed, feed.history.names()[0])
    feed.publish_snapshot()
    return append(feed, feed.history.names()[0])


def _lasting_poison(feed: FeedSimulator) -> int:
    """A change that cannot be applied, and no newer snapshot: all before it counts."""
    last_good = _changes(feed)
    feed.history.poison(feed.history.names()[1])
    append(feed, feed.history.names()[0])
    return last_good


def _published(feed: FeedSimulator) -> None:
    _publish(feed)


TOKEN: Final = "the-token-of-an-environment"


def _private(feed: FeedSimulator) -> None:
    """A catalog of Wazuh 5 that is not public. Each link lets one request in; each range comes in parts of
    three changes, and each download is cut off."""
    feed.history = History(feed.context, dialect=WAZUH_5)
    feed.exchanged_token = TOKEN
    feed.uses = 1
    feed.fail(lambda request: request.kind == "changes", failures.only_first(3), times=None)
    feed.fail(
        lambda request: request.kind == "snapshot" and "range" not in request.headers,
        failures.cut_off(0.6),
        times=None,
    )
    _publish(feed)


def settings(feed: FeedSimulator) -> dict[str, str]:
    """What a pass needs for this feed, beside its address."""
    if feed.exchanged_token is None:
        return {}
    return {
        "CTISYNC_CTI__TOKEN": feed.exchanged_token,
        "CTISYNC_CTI__TOKEN_EXCHANGE_URL": feed.exchange_url,
    }


def expected(feed: FeedSimulator, offset: int, loaded_at: int | None) -> list[Any]:
    """What a content holds at that offset that was loaded from the snapshot of `loaded_at`."""
    lines = feed.expected_lines(offset) if loaded_at is None else feed.stored_lines(loaded_at, offset)
    return [comparable(line) for line in lines]


PRIVATE: Final = Story("a private catalog of Wazuh 5", _private, _healing_poison, exit_code=0)
"""It is initialised anew in the end, after two ranges."""

STORIES: Final = (
    Story("initialise", None, _publish, exit_code=0),
    Story("update", _published, _ranges, exit_code=0),
    Story("recovery", _published, _healing_poison, exit_code=0),
    Story("blocked", _published, _lasting_poison, exit_code=6),
)
