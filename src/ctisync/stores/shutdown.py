"""Clean-up when a signal ends the pass: there is little time, and the next pass does the rest."""

import math
from collections.abc import Callable
from typing import Final

HURRY: Final = 2.0
"""Seconds for the whole clean-up."""


def is_stop(error: BaseException) -> bool:
    """Whether a signal's handler raised this: it is neither an `Exception` nor the close of a generator."""
    return not isinstance(error, Exception | GeneratorExit)


def finish(work: Callable[[float], None]) -> None:
    """Call `work` with the seconds that it may take. It must be repeatable: if a signal interrupts it, it is
    called again with 2 seconds."""
    try:
        work(math.inf)
    except BaseException as error:
        if is_stop(error):
            work(HURRY)
        raise
