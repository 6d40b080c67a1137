"""Which of the inputs that a search has gathered are worth a place in the tree: few small ones."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from tests.fuzz.target import CORPUS, Target, kept

MOST_BYTES: Final = 4000
"""Of a target's file in the tree, as far as it was not written by hand."""

_LONGEST: Final = 400

Step = tuple[CodeType, int, int]


def keep(target: Target, gathered: Path) -> int:
    """Add to the target's file what reaches lines, one after the other, that nothing in it has; how many."""
    reached: set[Step] = set()
    for each in target.inputs():
        reached |= steps(target, each)
    CORPUS.mkdir(exist_ok=True)
    file = CORPUS / f"{target.name}.txt"
    earlier = kept(target.name)
    room = MOST_BYTES - (file.stat().st_size if file.exists() else 0)
    inputs = sorted((path.read_bytes() for path in gathered.iterdir()), key=lambda each: (len(each), each))
    new: list[str] = []
    for each in inputs:
        if len(each) <= _LONGEST and each not in earlier and len(line := repr(each)) < room:
            beyond = steps(target, each) - reached
            if beyond:
                reached |= beyond
                room -= len(line) + 1
                new.append(line)
    if new:
        with file.open("a", encoding="ascii") as out:
            out.writelines(f"{line}\n" for line in new)
    return len(new)


def steps(target: Target, data: bytes) -> set[Step]:
    """The pairs of lines of ctisync that the check goes through one after the other; none for a finding,
    which has its own place."""
    reached: set[Step] = set()
    try:
        with _traced(reached):
            target.check(data)
    except Exception:  # noqa: BLE001  # whatever it is
        return set()
    return reached


@contextmanager
def _traced(reached: set[Step]) -> Iterator[None]:
    last: dict[FrameType, int] = {}

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            reached.add((frame.f_code, last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        elif event == "return":
            last.pop(frame, None)
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        return line if "ctisync" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)
