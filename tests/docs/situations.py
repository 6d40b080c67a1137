"""What the page for operators shows and says to type: the registries, by the names of the page's blocks.

A *situation* is brought about, and what the command then prints stands in the block of that name. A *recipe*
brings about what its commands are for, hands over while they are typed, and looks whether they have helped.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple

from tests.docs.stage import Printed, Stage

Play = Callable[[Stage], Printed]
Setting = Callable[[Stage], AbstractContextManager[None]]


class Situation(NamedTuple):
    """`node`: it is played on a real OpenSearch."""

    play: Play
    node: bool


class Recipe(NamedTuple):
    setting: Setting
    node: bool


SITUATIONS: Final[dict[str, Situation]] = {}
RECIPES: Final[dict[str, Recipe]] = {}


def situation(name: str, *, node: bool = False) -> Callable[[Play], Play]:
    def register(play: Play) -> Play:
        assert name not in SITUATIONS, name
        SITUATIONS[name] = Situation(play, node)
        return play

    return register


def shown_by(name: str, *arguments: str, **environ: str) -> None:
    """A situation that need not be brought about: the command alone."""
    situation(name)(lambda stage: stage.run(*arguments, **environ))


def recipe(name: str, *, node: bool = False) -> Callable[[Callable[[Stage], Iterator[None]]], Setting]:
    def register(steps: Callable[[Stage], Iterator[None]]) -> Setting:
        assert name not in RECIPES, name
        setting = contextmanager(steps)
        RECIPES[name] = Recipe(setting, node)
        return setting

    return register
