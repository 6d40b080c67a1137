"""A signal in the middle of an import, where Python makes another exception of what the handler raises."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync

DRIVER = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name != "rich.table":
            return None
        sys.meta_path.remove(self)
        class Field:
            def __set_name__(self, owner, name):
                os.kill(os.getpid(), signal.SIG{name})
        class Column:  # what it raises becomes a RuntimeError before Python 3.12
            cells = Field()

sys.meta_path.insert(0, Interrupt())
from ctisync.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_a_signal_that_comes_while_a_module_is_loaded_is_reported_as_one_and_no_bug(
    name: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DRIVER.replace("{name}", name), "status"],
        env=Ctisync(tmp_path).environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    number = signal.Signals[f"SIG{name}"]
    expected = f"ctisync: stopped by signal {number:d}\n"
    assert (ended.returncode, ended.stderr) == (128 + number, expected)
