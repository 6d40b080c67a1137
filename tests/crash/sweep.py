"""Every fault of a story, one after the other, on as many worlds of their own as there are processors."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.crash.passes import Kept, SqlitePasses, sqlite_passes
from tests.crash.stories import Story
from tests.support.faults import Effect, Fault
from tests.support.faults_sql import CLOSE

WORLDS: Final = 2
_SHOWN: Final = 10

Wrong = Callable[[SqlitePasses, Effect, Fault, Kept], list[str]]
"""Plays a fault, and a pass after it, and tells what is not as it should be."""


def undisturbed(passes: SqlitePasses) -> tuple[tuple[Effect, ...], Kept]:
    """The pass that nothing spoils: its effects, and what it leaves."""
    passes.begin()
    ended = passes.run()
    assert ended.code == passes.story.exit_code, ended.stderr
    assert passes.holds(passes.last_offset)
    assert passes.commands()[-1:] == [passes.last_offset]
    kept = passes.kept()
    assert any(effect.name == "INSERT passes" for effect in ended.effects)
    assert (kept.generations, kept.rows) == (1, len(kept.lines))
    return _distinct(ended.effects), kept


def _distinct(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    """The pass is over when it has closed the file behind its last commit: the history opens it again."""
    names = [effect.name for effect in effects]
    kept = names.index("INSERT passes")
    begin = names.index(CLOSE, max(at for at in range(kept) if names[at] == "COMMIT")) + 1
    end = names.index(CLOSE, kept) + 1
    history = (effect._replace(place="history") for effect in effects[begin:end])
    return (*effects[:begin], *history, *effects[end:])


def sweep(
    story: Story, folder: Path, faults: Callable[[Sequence[Effect]], Sequence[Fault]], wrong: Wrong
) -> tuple[int, list[str]]:
    """How many faults were played, and what was wrong, a line each."""

    def share(number: int) -> tuple[int, list[str]]:
        home = folder / f"world{number}"
        home.mkdir()
        with sqlite_passes(story, home) as passes:
            effects, kept = undisturbed(passes)
            mine = faults(effects)[number::WORLDS]
            problems = [
                f"{_described(fault, effect)}: {what}"
                for fault in mine
                for effect in (effects[fault.at - 1],)
                for what in wrong(passes, effect, fault, kept)
            ]
        return len(mine), problems

    with ThreadPoolExecutor(WORLDS) as pool:
        shares = list(pool.map(share, range(WORLDS)))
    return sum(count for count, _ in shares), [line for _, lines in shares for line in lines]


def shown(problems: Sequence[str]) -> str:
    """The first of them, for the message of a test."""
    return "\n".join([f"{len(problems)} are wrong", *(line[:600] for line in problems[:_SHOWN])])


def _described(fault: Fault, effect: Effect) -> str:
    lasting = " for good" if fault.lasting else ""
    return f"{fault.how}{lasting} {fault.when} effect {fault.at} ({effect.place}: {effect.name})"
