"""Runs one command while its parent process lives: `keeper.py FOLDER COMMAND...`.

The parent keeps the standard input of this process open. When the parent closes it or dies, the command gets
TERM, then KILL, and FOLDER is removed: a killed test run leaves neither a server nor its data. If the command
ends by itself, its exit status is in FOLDER/exit-status until the parent closes the input.

A script for `python -I`: standard library only, and no import from this package.
"""

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

TERM_SECONDS = 15


def main(folder: Path, command: list[str]) -> None:
    with (folder / "console.log").open("wb") as console:
        child = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=console, stderr=console
        )
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    watch = threading.Thread(target=_end_with_parent, args=(child,))
    watch.start()
    status = child.wait()
    (folder / "exit-status").write_text(str(status))
    watch.join()
    shutil.rmtree(folder, ignore_errors=True)


def _end_with_parent(child: "subprocess.Popen[bytes]") -> None:
    sys.stdin.buffer.read()
    child.terminate()
    try:
        child.wait(TERM_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
