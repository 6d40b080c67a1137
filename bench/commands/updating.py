"""What the benches of updates share: the same changes for all, a step at a time."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from bench.client import Client
from bench.feed.files import Changes, RangeWork
from bench.feed.served import ServedFeed
from bench.processes import Run

WITHOUT_START: Final = "ctisync, less an idle pass"
"""An update is a whole process, and its rivals have no start to pay for."""


def update_by_update(feed: ServedFeed, client: Client, changes: Changes, number: int) -> Callable[[], Run]:
    """ctisync, which takes the next step of so many changes whenever it is run."""
    ends = iter(changes.facts.steps)

    def update() -> Run:
        feed.tell(last_offset=next(ends))
        return client.update(number)

    return update


def step_by_step(changes: Changes, apply: Callable[[Sequence[RangeWork]], Run]) -> Callable[[], Run]:
    """A rival that applies the next step whenever it is run."""
    numbers = count()
    return lambda: apply(changes.step(next(numbers)))
