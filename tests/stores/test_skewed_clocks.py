"""Nodes whose clocks differ: each request is answered by some node, and each says another time."""

from __future__ import annotations

import random

import pytest

from ctisync.errors import AnotherPass
from ctisync.stores.opensearch.client import OpenSearchReply
from tests.stores.small_node import TTL, Holder, SmallNode
from tests.stores.test_lease_conflicts import unchanged
from tests.support.figures import figure

SKEW = 30.0
"""Seconds by which a node's clock is ahead, or behind, at most."""

LEASES = 1000
OTHER_LOCK = "f" * 32


class SkewedNodes(SmallNode):
    """Who answers next has another clock."""

    def __init__(self, choose: random.Random) -> None:
        super().__init__()
        self._choose = choose
        self.put(unchanged)

    def answer(self, method: str, target: str, body: bytes | None) -> OpenSearchReply:
        if not target.startswith("/_cat/health"):
            return super().answer(method, target, body)
        skew = self._choose.uniform(-SKEW, SKEW)
        self.clock.advance(seconds=skew)
        try:
            return super().answer(method, target, body)
        finally:
            self.clock.advance(seconds=-skew)


def tries_to_take(node: SkewedNodes) -> bool:
    try:
        Holder(node, host_lock=OTHER_LOCK).lease.acquire(unchanged)
    except AnotherPass:
        return False
    return True


def test_no_lease_of_a_live_pass_is_taken_over_because_a_nodes_clock_is_wrong() -> None:
    """A pass renews its lease when a third of it is over, or a minute later; others ask all the time."""
    takeovers = attempts = 0
    for seed in range(LEASES):
        choose = random.Random(seed)
        node = SkewedNodes(choose)
        node.clock.advance(seconds=100 + choose.random())
        live = Holder(node)
        live.lease.acquire(unchanged)
        for _ in range(choose.randint(1, 40)):
            attempts += 1
            if tries_to_take(node):
                takeovers += 1
                break
            node.clock.advance(seconds=choose.uniform(0, 60))
            live.lease.renew_if_due()
    figure(
        f"T5, clocks up to {SKEW:.0f} s wrong: {takeovers} of {LEASES} live leases taken in {attempts} tries"
    )
    assert takeovers == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_dead_passs_lease_is_taken_over_at_last_whatever_clocks_say(seed: int) -> None:
    node = SkewedNodes(random.Random(seed))
    node.clock.advance(seconds=100)
    Holder(node).lease.acquire(unchanged)
    node.clock.advance(seconds=TTL + 2 * SKEW + 1)
    assert tries_to_take(node)
