"""What Python itself says and does when a signal meets it before, or after, it runs what is ctisync's."""

import re
import signal
from typing import Final

_AT_WORK: Final = re.compile(r"src/ctisync/(?!__(?:init|main)__\.py)")


def is_pythons_own_end(code: int, told: str) -> bool:
    """Whether a process that got a signal ended outside ctisync.

    That is by the signal, perhaps with a traceback, or with 1 because it could not import what
    `python -m` needs.
    """
    if _AT_WORK.search(told):
        return False
    return code in (-signal.SIGTERM, -signal.SIGINT) or (
        code == 1 and told.rstrip().endswith("KeyboardInterrupt")
    )
