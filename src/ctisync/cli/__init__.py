"""The frame of the command line: options → settings → one command → exit code. The commands are in
`commands`; `app.COMMANDS` names the module of each.

Results go to standard output; events, errors and progress go to standard error.
"""

from ctisync.cli.app import app, main

__all__ = ["app", "main"]
