"""What can be fuzzed: a check of any bytes, and what a search begins with."""

import ast
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

CORPUS: Final = Path(__file__).with_name("corpus")
"""A file a target, `NAME.txt`: one input a line, as Python writes bytes; `#` begins a remark."""

Check = Callable[[bytes], None]

TARGETS: Final[dict[str, "Target"]] = {}


class Target(NamedTuple):
    """`check` raises for an input at which a promise is not kept, whatever the exception.

    `seeds` are inputs to begin with; `tokens` are what a mutation may put in.
    """

    name: str
    check: Check
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...]
    most_bytes: int

    def inputs(self) -> list[bytes]:
        """The seeds, and what was found worth keeping."""
        return list(dict.fromkeys((*self.seeds, *kept(self.name))))


def target(
    *,
    seeds: Iterable[bytes],
    tokens: Iterable[bytes] = (),
    most_bytes: int = 2048,
) -> Callable[[Check], Check]:
    """Makes the function a target of its own name."""

    def registered(check: Check) -> Check:
        name = check.__name__
        TARGETS[name] = Target(name, check, tuple(seeds), tuple(tokens), most_bytes)
        return check

    return registered


def kept(name: str) -> list[bytes]:
    path = CORPUS / f"{name}.txt"
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [ast.literal_eval(line) for line in lines if line and not line.startswith("#")]
