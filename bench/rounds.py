"""Contenders in turn, so that each is compared with the other as the machine was in the same minute."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from bench.figures import Spread, spread
from bench.processes import Run

_REST: Final = 0.5
"""Seconds."""


class Contender(NamedTuple):
    """`run` does the work once and measures it. `warm_ups`: so often before all rounds, uncounted."""

    name: str
    run: Callable[[], Run]
    warm_ups: int = 1


class Rounds:
    """The runs of each contender, round by round."""

    def __init__(self, runs: dict[str, list[Run]]) -> None:
        self.runs = runs

    def walls(self, name: str) -> Spread:
        return spread([run.wall for run in self.runs[name]])

    def ratio(self, name: str, other: str) -> Spread:
        """How many times as long `name` takes as `other`, in each round."""
        pairs = zip(self.runs[name], self.runs[other], strict=True)
        return spread([one.wall / two.wall for one, two in pairs])

    def add_difference(self, name: str, of: str, less: str) -> None:
        """A row of its own for what `of` takes longer than `less` in each round."""
        pairs = zip(self.runs[of], self.runs[less], strict=True)
        self.runs[name] = [Run(max(1e-6, one.wall - two.wall)) for one, two in pairs]


def play(contenders: Sequence[Contender], rounds: int) -> Rounds:
    """Each contender once a round; every other round in the opposite order."""
    for contender in contenders:
        for _ in range(contender.warm_ups):
            _settled(contender)
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            runs[contender.name].append(_settled(contender))
    return Rounds(runs)


def _settled(contender: Contender) -> Run:
    """No contender pays for what the one before has left to the disk, or to the node (merges)."""
    os.sync()
    time.sleep(_REST)
    return contender.run()
