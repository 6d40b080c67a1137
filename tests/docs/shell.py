"""A person's shell: `ctisync` is on the PATH, and what belongs to a whole system has a stand-in."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support import forked

ROOT: Final = Path(__file__).parents[2]

SYSTEM: Final = ("systemctl", "journalctl", "fuser", "ps")
"""What there is only on a whole system: they succeed, and do nothing."""

SUDO: Final = """#!/bin/sh
test "$1" != -u || shift 2
exec "$@"
"""


def tools(folder: Path, ctisync: str) -> Path:
    """A folder for the PATH. `ctisync` is the module that runs as the command."""
    folder.mkdir()
    nothing = "#!/bin/sh\n"
    scripts = {
        "ctisync": forked.script(ctisync),
        "curl": f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.docs.curl "$@"\n',
        "sudo": SUDO,
        "sleep": nothing,  # nobody waits
        **dict.fromkeys(SYSTEM, nothing),
    }
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def run(script: str, environ: Mapping[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Each line in turn; the first one that fails is the last."""
    return subprocess.run(
        ["/bin/sh", "-e", "-c", script],
        env=dict(environ),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def path_with(folder: Path) -> str:
    return f"{folder}:{os.environ['PATH']}"
