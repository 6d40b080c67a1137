"""Runs one command for as long as its parent lives: `keeper.py FOLDER COMMAND...`.

The parent holds this process's standard input open. When that ends, because the parent closed it or was
killed in whatever way, the command gets TERM, then KILL, and FOLDER is removed: a killed test run leaves
neither a server nor its data behind. A command that ends by itself leaves its exit status in
FOLDER/exit-status, and FOLDER stays until the parent has looked.

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
