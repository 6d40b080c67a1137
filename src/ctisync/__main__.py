"""`python -m ctisync` is the same as the `ctisync` command."""

import signal
import sys


def main() -> int:
    """The command. Until the command line can tell of a stop, Ctrl-C just ends the process.

    Python's own handler would raise KeyboardInterrupt in the middle of an import: a traceback at best, and
    some modules in C do not survive it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ctisync.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
