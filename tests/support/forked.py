"""Calls of the command line, each in a process of its own, without a new interpreter for each.

`python -m tests.support.forked` imports all of ctisync, and forks. A line of its standard input is a JSON
array of jobs; for each such line it prints the JSON array of their exit codes. A job has the first three of
these keys, and may have the others:

| key | |
|---|---|
| `arguments` | what follows `ctisync` |
| `environ` | the whole environment |
| `folder` | the working directory |
| `streams` | the path for each file descriptor, or "closed" |
| `screen` | the path of what a terminal shows, in place of `streams` |
| `user`, `groups` | a number, and those that the user is in besides its own |
| `umask` | that of this process |
| `module` | the module whose `main` is called; `ctisync.cli` |

`python -m tests.support.forked SOCKET` does the same for shells, until its standard input ends: `CLIENT` is a
program that passes its arguments, environment, folder and streams on, and ends as the fork does.
"""

import atexit
import encodings
import functools
import importlib
import io
import json
import os
import pkgutil
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.support.long import LONG
from tests.support.warm import warm_up

ROOT: Final = Path(__file__).parents[2]

AT_ONCE = 3

_NEEDS_INTERPRETER: Final = (
    "PYTHON",
    "LC_",
    "LANG",
    "LD_",
    "TERMINAL_WIDTH",
    "FORCE_COLOR",
    "PY_COLORS",
    "GITHUB_ACTIONS",
)
"""Beginnings of the variables that the interpreter, the linker or a library reads when it starts."""


class WarmProcess:
    """A process of this module, which runs jobs until `close`."""

    def __init__(self, environ: Mapping[str, str] = {}) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked"],
            env={**os.environ, **environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def run(self, jobs: Sequence[Mapping[str, Any]], timeout: float = 240) -> list[int]:
        """The exit code of each job, some of which run at the same time. Raises TimeoutError."""
        self._stdin.write(json.dumps(jobs).encode() + b"\n")
        self._stdin.flush()
        waiting = select.poll()  # `select` takes no file descriptor above 1023
        waiting.register(self._stdout, select.POLLIN)
        if not waiting.poll(timeout * 1000):
            self._process.kill()
            raise TimeoutError(f"{[job['arguments'] for job in jobs]}: not done after {timeout:.0f} s")
        codes: list[int] = json.loads(self._stdout.readline())
        return codes

    def close(self) -> None:
        self._stdin.close()
        self._process.wait(timeout=60)
        self._stdout.close()


def shared_process(environ: Mapping[str, str]) -> WarmProcess:
    """One for all calls with these variables; those of ctisync, and where its files are, are read anew for
    each."""
    own = ("CTISYNC_", "HOME", "XDG_")
    return _shared_process(frozenset(each for each in environ.items() if not each[0].startswith(own)))


@functools.cache
def _shared_process(environ: frozenset[tuple[str, str]]) -> WarmProcess:
    process = WarmProcess(dict(environ))
    atexit.register(process.close)
    return process


_idle: Final[list[WarmProcess]] = []
"""Those that no thread uses now."""


@atexit.register
def _close() -> None:
    while _idle:
        _idle.pop().close()


def needs_interpreter(environ: Mapping[str, str]) -> bool:
    """Whether a fork would not obey some of these variables. In a long run, commands start one each."""
    return LONG or any(
        name.startswith(_NEEDS_INTERPRETER) and (name, value) != ("PYTHONPATH", str(ROOT))
        for name, value in environ.items()
    )


def run_in_fork(
    module: str, arguments: Sequence[str], environ: Mapping[str, str], folder: Path, timeout: float
) -> "subprocess.CompletedProcess[bytes]":
    """As `subprocess.run` with captured output, in a fork of a process that later calls use again."""
    try:
        process = _idle.pop()
    except IndexError:
        process = WarmProcess()
    with tempfile.TemporaryDirectory() as captured:
        out, err = (Path(captured, name) for name in ("out", "err"))
        job = {
            "arguments": arguments,
            "environ": environ,
            "folder": str(folder),
            "streams": [os.devnull, str(out), str(err)],
            "module": module,
        }
        (code,) = process.run([job], timeout)
        _idle.append(process)
        return subprocess.CompletedProcess(arguments, code, out.read_bytes(), err.read_bytes())


CLIENT: Final = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    job = {"module": sys.argv[2], "arguments": sys.argv[3:], "environ": dict(os.environ)}
    job |= {"folder": os.getcwd(), "umask": os.umask(0)}
    socket.send_fds(server, [b"x"], [0, 1, 2])
    server.sendall(json.dumps(job).encode())
    server.shutdown(socket.SHUT_WR)
    os._exit(int(server.recv(9) or 70))
"""


@functools.cache
def script(module: str) -> str:
    """A shell's script that does what `python -m MODULE` does, in a fork of a process that ends with us."""
    folder = tempfile.mkdtemp(prefix="ctisync-forked-")
    atexit.register(shutil.rmtree, folder)
    address, client = Path(folder, "socket"), Path(folder, "client.py")
    client.write_text(CLIENT)
    command = [sys.executable, "-m", "tests.support.forked", str(address)]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(server.communicate)
    assert server.stdout is not None
    server.stdout.readline()
    return f'#!/bin/sh\nexec {sys.executable} -I -S {client} {address} {module} "$@"\n'


def listen(address: str) -> None:
    """Serve scripts until the standard input ends."""
    warm_up()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        print("listening", flush=True)
        while sys.stdin not in (ready := select.select([listening, sys.stdin], [], [])[0]):
            assert ready == [listening]
            connection, _ = listening.accept()
            with connection:
                if os.fork() == 0:
                    _answer(connection)


def _answer(connection: socket.socket) -> None:
    """Run the job of a client; this process sends its exit code, and ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as message:
        job = json.load(message)
    if (child := os.fork()) == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _become(job)
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def serve() -> None:
    warm_up()
    for module in pkgutil.iter_modules(encodings.__path__, "encodings."):
        with suppress(ImportError):  # another user may not be able to read this interpreter's files
            importlib.import_module(module.name)
    for line in sys.stdin:
        print(json.dumps(_codes(json.loads(line))), flush=True)


def _codes(jobs: Sequence[Mapping[str, Any]]) -> list[int]:
    running: dict[int, int] = {}
    codes = [0] * len(jobs)
    for number, job in enumerate(jobs):
        if len(running) == AT_ONCE:
            _await(running, codes)
        if (child := os.fork()) == 0:
            if "screen" in job:
                _show(job)
            _become(job)
        running[child] = number
    while running:
        _await(running, codes)
    return codes


def _await(running: dict[int, int], codes: list[int]) -> None:
    child, status = os.wait()
    codes[running.pop(child)] = os.waitstatus_to_exitcode(status)


def _show(job: Mapping[str, Any]) -> None:
    """Return in a process that has a terminal; this one keeps what it shows, and ends as it does."""
    child, screen = pty.fork()
    if child == 0:
        return
    with Path(job["screen"]).open("wb") as file, suppress(OSError):  # all ends of it are closed
        while piece := os.read(screen, 65536):
            file.write(piece)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status))


def _become(job: Mapping[str, Any]) -> None:
    """Run the job in this process, as the interpreter and the entry point do, and end the process."""
    code = 70
    try:
        os.chdir(job["folder"])
        for number, path in enumerate(job.get("streams", ())):
            _lead(number, path)
        if job.get("user") is not None:
            os.setgroups(job.get("groups", []))
            os.setgid(job["user"])
            os.setuid(job["user"])
        if "umask" in job:
            os.umask(job["umask"])
        os.environ.clear()
        os.environb.update(
            {
                name.encode(): value.encode("utf-8", "surrogateescape")
                for name, value in job["environ"].items()
            }
        )
        time.tzset()
        sys.stdin = _opened(0, "r")
        sys.stdout, sys.stderr = _opened(1, "w"), _opened(2, "w", errors="backslashreplace")
        sys.__stdout__ = sys.__stderr__ = None  # type: ignore[misc]
        main = importlib.import_module(job.get("module", "ctisync.cli")).main
        sys.argv = ["ctisync", *job["arguments"]]
        code = main([os.fsdecode(_bytes(each)) for each in job["arguments"]])
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException:  # noqa: BLE001  # printed, as the interpreter would
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _bytes(text: str) -> bytes:
    """Of what a process has as its arguments or variables, whatever the encoding of this one."""
    return text.encode("utf-8", "surrogateescape")


def _lead(number: int, path: str) -> None:
    """Let a file descriptor lead to a path, or to nothing."""
    os.close(number)
    if path != "closed":
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        os.dup2(opened, number)
        if opened != number:
            os.close(opened)


def _opened(number: int, mode: str, **options: str) -> Any:
    try:
        os.fstat(number)
    except OSError:
        return None
    if mode == "w" and "PYTHONUNBUFFERED" in os.environ:
        raw = io.FileIO(number, mode, closefd=False)
        return io.TextIOWrapper(raw, write_through=True, **options)  # type: ignore[arg-type]
    return open(number, mode, closefd=False, **options)  # type: ignore[call-overload]


if __name__ == "__main__":
    listen(sys.argv[1]) if sys.argv[1:] else serve()
