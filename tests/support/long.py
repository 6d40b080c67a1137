"""How long this run may take: `make test-long` sets `TEST_LONG=1`, `make quick` sets `TEST_QUICK=1`.

Without the first, tests marked `long` are left out. With the second, tests that need a server are left out
too, and sweeps try only some of their cases. Without `TEST_PACKAGES=1` (`make test-packages`), tests marked
`packages` are left out.
"""

import os
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

LONG: Final = os.environ.get("TEST_LONG") == "1"
PACKAGES: Final = os.environ.get("TEST_PACKAGES") == "1"
QUICK: Final = os.environ.get("TEST_QUICK") == "1"


def some(of: Sequence[T], stride: int) -> Sequence[T]:
    """Each `stride`-th case in a quick run, else all."""
    return of[::stride] if QUICK else of
