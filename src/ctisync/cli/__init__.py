"""The command line: options → settings → one call → exit code.

Results go to standard output, events, errors and progress to standard error. The pass itself begins
in `sync.run_pass`.
"""

# In the order in which `ctisync --help` lists the commands.
from ctisync.cli import passes  # isort: skip
from ctisync.cli import looking  # isort: skip
from ctisync.cli import remembering  # isort: skip
from ctisync.cli import examining  # isort: skip
from ctisync.cli import comparing, completing, configuring, forgetting, helping, playing
from ctisync.cli.app import app
from ctisync.cli.running import main

__all__ = [
    "app",
    "comparing",
    "completing",
    "configuring",
    "examining",
    "forgetting",
    "helping",
    "looking",
    "main",
    "passes",
    "playing",
    "remembering",
]
