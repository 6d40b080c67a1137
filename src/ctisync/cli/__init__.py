"""The command line: options → settings → one call → exit code. Each command has a module of its name.

Results go to standard output; events, errors and progress go to standard error. The pass itself begins
in `sync.run_pass`.
"""

from ctisync.cli.app import app

# isort: off
# In the order in which `ctisync --help` lists the commands.
from ctisync.cli import sync, update, init_snapshot, status, export, show, verify, history, log, doctor, diff
from ctisync.cli import completion, config, forget, plans, help as help_, demo, examples
from ctisync.cli.running import main  # it needs one of them
# isort: on

__all__ = ["app", "main"]

COMMANDS = (
    *(sync, update, init_snapshot, status, export, show, verify, history, log, doctor, diff),
    *(completion, config, forget, plans, help_, demo, examples),
)
