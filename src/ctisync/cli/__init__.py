"""The command line: options → settings → one call → exit code. A command stands in the module of its name.

Results go to standard output, events, errors and progress to standard error. The pass itself begins
in `sync.run_pass`.
"""

from ctisync.cli.app import app

# isort: off
# In the order in which `ctisync --help` lists the commands.
from ctisync.cli import sync
from ctisync.cli import update
from ctisync.cli import init_snapshot
from ctisync.cli import status
from ctisync.cli import export
from ctisync.cli import show
from ctisync.cli import verify
from ctisync.cli import history
from ctisync.cli import log
from ctisync.cli import doctor
from ctisync.cli import diff
from ctisync.cli import completion
from ctisync.cli import config
from ctisync.cli import forget
from ctisync.cli import help  # noqa: A004
from ctisync.cli import demo
from ctisync.cli import examples
from ctisync.cli.running import main  # it needs one of them
# isort: on

__all__ = [
    "app",
    "completion",
    "config",
    "demo",
    "diff",
    "doctor",
    "examples",
    "export",
    "forget",
    "help",
    "history",
    "init_snapshot",
    "log",
    "main",
    "show",
    "status",
    "sync",
    "update",
    "verify",
]
