"""Runs many calls of the command line, each in its own process, without a new interpreter for each: `python
-m tests.support.forked` imports all of ctisync, and forks.

Standard input is a JSON array of jobs: `arguments`, `environ`, `folder`, `user` (a number or null), `groups`
that the user is in besides its own (optional), and `streams`, the path for each file descriptor, or "closed".
Standard output is the array of the exit codes.
"""

import encodings
import importlib
import io
import json
import os
import pkgutil
import sys
from contextlib import suppress
from typing import Any

from tests.support.warm import warm_up

AT_ONCE = 3


def main() -> None:
    warm_up()
    for module in pkgutil.iter_modules(encodings.__path__, "encodings."):
        with suppress(ImportError):  # another user may not be able to read this interpreter's files
            importlib.import_module(module.name)
    jobs: list[dict[str, Any]] = json.load(sys.stdin)
    running: dict[int, int] = {}
    codes = [0] * len(jobs)
    for number, job in enumerate(jobs):
        if len(running) == AT_ONCE:
            _await(running, codes)
        if (child := os.fork()) == 0:
            _become(job)
        running[child] = number
    while running:
        _await(running, codes)
    json.dump(codes, sys.stdout)


def _await(running: dict[int, int], codes: list[int]) -> None:
    child, status = os.wait()
    codes[running.pop(child)] = os.waitstatus_to_exitcode(status)


def _become(job: dict[str, Any]) -> None:
    """Run the job in this process, as the interpreter and the entry point do, and end the process."""
    from ctisync.cli import main as run

    os.chdir(job["folder"])
    for number, path in enumerate(job["streams"]):
        os.close(number)
        if path != "closed":
            opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            os.dup2(opened, number)
            if opened != number:
                os.close(opened)
    if job["user"] is not None:
        os.setgroups(job.get("groups", []))
        os.setgid(job["user"])
        os.setuid(job["user"])
    os.environ.clear()
    os.environb.update({name.encode(): value.encode() for name, value in job["environ"].items()})
    sys.stdout, sys.stderr = _opened(1), _opened(2, errors="backslashreplace")
    sys.__stdout__ = sys.__stderr__ = None  # type: ignore[misc]
    code = 70
    try:
        code = run([os.fsdecode(each.encode()) for each in job["arguments"]])
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException:  # noqa: BLE001  # told, as the interpreter would
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _opened(number: int, **options: str) -> Any:
    try:
        os.fstat(number)
    except OSError:
        return None
    through = "PYTHONUNBUFFERED" in os.environ
    raw = io.FileIO(number, "w", closefd=False)
    return io.TextIOWrapper(raw if through else io.BufferedWriter(raw), write_through=through, **options)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
