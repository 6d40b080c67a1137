"""What a process does before it forks once for each command: so that no fork does it again.

What a command imports, and the command line that is built of all commands, take longer than most commands.
"""

import functools
import gc
import importlib
import os
import pkgutil
import tempfile
from contextlib import suppress

import typer

import ctisync
from ctisync.cli import main
from ctisync.errors import FeedUnreachable


def warm_up() -> None:
    """Import all of ctisync, build its command line, and play a pass, for what it imports at work."""
    for module in pkgutil.walk_packages(ctisync.__path__, "ctisync."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    with suppress(ImportError):  # a platform without its wheel
        importlib.import_module("simdjson")
    importlib.import_module("ijson")
    importlib.import_module("minisign")
    typer.main.get_command = functools.cache(typer.main.get_command)
    environ = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.clear()
        os.environ |= {
            "HOME": folder,
            "XDG_CONFIG_HOME": folder,
            "XDG_STATE_HOME": folder,
            "CTISYNC_CTI__URL": "http://127.0.0.1:1",
            "CTISYNC_CTI__RETRY_BUDGET": "0.01",
        }
        assert main(["sync", "--quiet"]) == FeedUnreachable.exit_code
    os.environ.clear()
    os.environ |= environ
    gc.collect()
    gc.freeze()  # what is loaded is not looked at again, in no fork
