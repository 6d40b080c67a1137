"""`python -m ctisync` is the same as the `ctisync` command."""

import gc
import signal
import sys
from typing import Final

from ctisync.bug import exit_code_of_bug

_COLLECT_AFTER: Final = 300_000
"""New objects until the garbage collector looks for cycles. Imports make about 80,000 and a range of changes
as many again, nearly none in cycles; Python's own number, 700, makes it look at all of them many times."""


def main() -> int:
    """The command. Until the command line can tell of a stop, Ctrl-C just ends the process.

    Python's own handler would raise KeyboardInterrupt in the middle of an import: a traceback at best, and
    some modules in C do not survive it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(_COLLECT_AFTER)
    try:
        from ctisync.cli import main as run
    except Exception as error:
        if (code := exit_code_of_bug(sys.argv[1:], f"ctisync cannot start: {error!r}")) == 1:
            raise
        return code
    try:
        return run()
    finally:
        gc.freeze()  # at its end, the interpreter would look for cycles in all that the process has


if __name__ == "__main__":
    sys.exit(main())
