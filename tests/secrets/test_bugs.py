"""What a bug shows, and what the logs of libraries hold when somebody turns all of them on."""

from itertools import cycle, product
from typing import Final

import pytest

from tests.secrets.commands import FORMATS
from tests.secrets.conftest import MakeStage
from tests.secrets.settings import FORMS, Form
from tests.secrets.stage import KEY, TYPED
from tests.support.figures import figure
from tests.support.long import LONG

TOKEN: Final = 'os.environ["CTISYNC_CTI__TOKEN"]'

BUGS: Final = {
    "in its message": f"raise KeyError({TOKEN}, os.environ['CTISYNC_STORE__PASSWORD'])",
    "in bytes": f"raise ValueError({TOKEN}.encode())",
    "in a note": f"error = ValueError(); error.add_note({TOKEN}); raise error",
    "in its cause": f"raise ValueError() from KeyError({TOKEN})",
    # What no setting holds is known to nobody: only that values are never printed keeps it back.
    "in a variable beside it": "raise ValueError(len(held))",
}

ALL_OR_BY_TURNS: Final = list(product(BUGS, FORMATS) if LONG else zip(BUGS, cycle(FORMATS), strict=False))

BROKEN: Final = """
import os, sys
from ctisync import cli
from ctisync.sync import run_pass

def broken(*arguments, **parts):
    held = os.environ["KNOWN_TO_NOBODY"]
    {bug}

run_pass.run_pass = broken
sys.exit(cli.main())
"""


@pytest.mark.parametrize(("bug", "log_format"), ALL_OR_BY_TURNS)
def test_a_bug_shows_its_traceback_without_secrets(on_sqlite: MakeStage, bug: str, log_format: str) -> None:
    stage = on_sqlite()
    stage.environ["KNOWN_TO_NOBODY"] = KEY.text

    ended = stage.run("sync", "-v", "--log-format", log_format, program=BROKEN.format(bug=BUGS[bug]))

    assert ended.code == 1
    assert b"Traceback" in ended.stderr
    assert b"a bug in ctisync" in ended.stderr
    assert ended.leaks() == []


LOGGING: Final = """
import logging, sys
logging.basicConfig(level=1)
from ctisync import cli
sys.exit(cli.main())
"""


@pytest.mark.parametrize("form", FORMS if LONG else FORMS[:1])
def test_the_logs_of_libraries_hold_no_secret_even_when_all_of_them_are_on(
    on_opensearch: MakeStage, form: Form
) -> None:
    stage = on_opensearch(form)
    stage.proxied()
    lines = 0
    for arguments in (
        ("sync",),
        ("status", "--remote"),
        ("init-snapshot", "--from", stage.snapshot_url),
        ("verify",),
    ):
        stage.publish()
        ended = stage.run(*arguments, "-v", program=LOGGING)
        assert ended.code == 0, ended.stderr.decode()
        typed = [TYPED] if "--from" in arguments else []
        assert ended.leaks(but=typed) == [], ended.stderr.decode()
        lines += ended.stderr.count(b"\n")
    figure(f"T12 canaries: {lines} lines of all logs, libraries' included, 0 leaks")
