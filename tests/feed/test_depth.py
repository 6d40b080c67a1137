"""How deep a JSON text is, wherever it is cut and whatever stands in its strings."""

import json
import random
from typing import Any

import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import OffsetRange
from ctisync.errors import FeedRefused
from ctisync.feed.bounds import Bounds
from ctisync.feed.depth import TooDeep, is_deeper, shallow
from tests.feed.conftest import MakeFeed
from tests.support import feed_failures as failures
from tests.support.clock import FakeClock
from tests.support.feed_simulator import FeedSimulator

TEXTS = ['a"b', "\\", "[[[", '}]"{\\"', "é\\\\", '\\"', "\\\\\\", ""]


def _made_up(chance: random.Random, levels: int) -> tuple[Any, int]:
    """A value, and how many containers stand inside one another in it."""
    kind = chance.random()
    if levels == 0 or kind < 0.2:
        return chance.choice(TEXTS), 0
    found = [_made_up(chance, levels - 1) for _ in range(chance.randint(0, 3))]
    depth = 1 + max((depth for _, depth in found), default=0)
    if kind < 0.6:
        return [value for value, _ in found], depth
    return {f"{chance.choice(TEXTS)}{number}": value for number, (value, _) in enumerate(found)}, depth


def _in_pieces(chance: random.Random, text: bytes) -> list[bytes]:
    cuts = sorted(chance.sample(range(len(text)), min(len(text), chance.randint(0, 8))))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _bears(pieces: list[bytes], most: int) -> bool:
    try:
        return b"".join(shallow(iter(pieces), most)) == b"".join(pieces)
    except TooDeep:
        return False


def test_the_depth_is_found_however_the_text_is_cut() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        value, depth = _made_up(chance, 6)
        text = json.dumps([value], ensure_ascii=False).encode()
        pieces = _in_pieces(chance, text)
        assert _bears(pieces, depth + 1), text
        assert not _bears(pieces, depth), text
        assert not is_deeper(text, depth + 1), text
        assert is_deeper(text, depth), text


def _payload(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth - 1):
        value = {"k": value}
    return value


def test_a_change_may_be_as_deep_as_the_limit_says_and_no_deeper(
    sim: FeedSimulator, make_feed: MakeFeed, clock: FakeClock
) -> None:
    feed = make_feed(bounds=Bounds(clock, Limits(json_depth=20)))
    sim.history.create("CVE-2024-1", _payload(20))
    assert len(feed.changes(OffsetRange(1000, 1001))) == 1
    sim.history.create("CVE-2024-2", _payload(21))
    with pytest.raises(FeedRefused, match=r"\(1001, 1002\] is nested deeper than limits\.json_depth"):
        feed.changes(OffsetRange(1001, 1002))


@pytest.mark.parametrize("kind", ["info", "changes"])
def test_a_reply_without_a_bottom_does_not_end_the_process(
    sim: FeedSimulator, make_feed: MakeFeed, kind: Any
) -> None:
    """ijson alone dies of it."""
    sim.fail(kind, failures.body(b'{"data":[' + b"[" * 300_000 + b"]" * 300_000 + b"]}"), times=None)
    feed = make_feed(retry_budget=0.0)
    with pytest.raises(FeedRefused):
        feed.consumer_info() if kind == "info" else feed.changes(OffsetRange(1000, 1001))
