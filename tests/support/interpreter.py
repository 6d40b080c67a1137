"""How Python itself ends on a signal that arrives before or after it runs ctisync."""

import re
import signal
from typing import Final

_AT_WORK: Final = re.compile(r"src/ctisync/(?!__(?:init|main)__\.py)")


def is_pythons_own_end(code: int, stderr: str) -> bool:
    """Whether a process that got a signal ended outside the code of ctisync: by the signal, with or without a
    traceback, or with 1, because `python -m` could not import what it needs. `stderr`: its standard error.
    """
    if _AT_WORK.search(stderr):
        return False
    return code in (-signal.SIGTERM, -signal.SIGINT) or (
        code == 1 and stderr.rstrip().endswith("KeyboardInterrupt")
    )
