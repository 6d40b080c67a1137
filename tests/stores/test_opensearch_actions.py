"""How actions are divided into bulks: none is lost, and no bulk is larger than was asked for."""

import pytest

from ctisync.stores.opensearch_actions import bulks, index
from tests.support.records import record

ACTIONS = [index(record(f"CVE-{number}", number)) for number in range(1, 6)]
BYTES = ACTIONS[0].size


@pytest.mark.parametrize(
    ("most", "counts"),
    [
        (5 * BYTES, [5]),
        (5 * BYTES - 1, [4, 1]),
        (2 * BYTES, [2, 2, 1]),
        (2 * BYTES - 1, [1, 1, 1, 1, 1]),
        (1, [1, 1, 1, 1, 1]),
    ],
)
def test_each_bulk_is_as_large_as_it_may_be_and_an_action_that_is_too_large_goes_alone(
    most: int, counts: list[int]
) -> None:
    divided = list(bulks(ACTIONS, most))
    assert [len(bulk) for bulk in divided] == counts
    assert [action for bulk in divided for action in bulk] == ACTIONS


def test_nothing_to_do_is_no_bulk() -> None:
    """An empty one is an error on the node."""
    assert list(bulks([], 1)) == []
