"""How much time this run has: `TEST_LONG=1` is set by `make test-long`, `TEST_QUICK=1` by `make quick`.

Without the first, what is marked `long` is left out. With the second, so is what needs a server, and of what
is swept only some is tried.
"""

import os
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

LONG: Final = os.environ.get("TEST_LONG") == "1"
QUICK: Final = os.environ.get("TEST_QUICK") == "1"


def some(of: Sequence[T], stride: int) -> Sequence[T]:
    """Every `stride`-th where this run has to be quick, else all."""
    return of[::stride] if QUICK else of
