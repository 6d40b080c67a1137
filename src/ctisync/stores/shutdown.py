"""Tidying up when a signal ends the pass: there is little time, and the next pass does what is left."""

import math
from collections.abc import Callable
from typing import Final

HURRY: Final = 2.0
"""Seconds for all of it."""


def is_stop(error: BaseException) -> bool:
    """Whether a signal's handler raised this: no failure, nor the end of an iterator that nobody reads on."""
    return not isinstance(error, Exception | GeneratorExit)


def finish(work: Callable[[float], None]) -> None:
    """Do work that can be done twice; it is told in how many seconds. A signal that comes meanwhile has it
    begun again, in a hurry."""
    try:
        work(math.inf)
    except BaseException as error:
        if is_stop(error):
            work(HURRY)
        raise
