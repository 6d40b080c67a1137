"""`python -m ctisync` is the same as the `ctisync` command."""

import sys

from ctisync.cli import main

if __name__ == "__main__":
    sys.exit(main())
