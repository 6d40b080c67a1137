"""The garbage collector does not go through all modules again and again while a command starts and ends."""

import json
import subprocess
import sys

from tests.cli.conftest import Ctisync

_COUNTED = """
import atexit, gc, json, sys
from ctisync.__main__ import main
before = gc.get_stats()[2]["collections"]
sys.argv[1:] = ["status"]
main()
print(json.dumps([gc.get_stats()[2]["collections"] - before, len(gc.get_objects())]))
"""


def test_status_goes_through_all_objects_neither_at_its_start_nor_at_its_end(ctisync: Ctisync) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _COUNTED], env=ctisync.environ, capture_output=True, check=True
    )
    full, left = json.loads(ran.stdout.splitlines()[-1])
    assert full == 0
    assert left < 1000  # the others are frozen: not looked at
