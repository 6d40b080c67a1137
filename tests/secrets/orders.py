"""What a terminal obeys, or what hides text from a person: put into every field, looked for in all output."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.cli.conftest import DEADLINE
from tests.secrets.stage import Stage

ROOT: Final = Path(__file__).parents[2]

MARK: Final = "qzx"
_FORGED: Final = "qzforged"

ORDER: Final = (
    f"{MARK}\x1b]0;title\x07\x1b[2J\x1b[9A\x9b2J\x7f\x8d\r\n{_FORGED} a=1\n{_FORGED}\u2028{_FORGED}\u2029"
    f"{_FORGED}\u202e\u2066\u200f\u061c\u200b\u00ad\ufeff\U000e0041"
)
"""A title, a cleared screen, a cursor that moves up; lines of its own; text turned round and text unseen."""

IN_HEADER: Final = f"{MARK}\x1b[2J\x07\x9b2J\x7f" + "\u202e\U000e0041".encode().decode("latin-1")
"""What of it can stand in a header."""

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


def obeyed(content: bytes, *, terminal: bool = False) -> list[str]:
    """What of it is an order; at a terminal colours are none."""
    text = content.decode("utf-8", "surrogateescape")
    if terminal:
        text = _COLOURS.sub("", text).replace("\r\n", "\n")
    orders = {f"U+{ord(char):04X}" for char in text if not char.isprintable() and char not in "\n\t"}
    if re.search(f"^{_FORGED}", text, re.MULTILINE):
        orders.add("a line of its own")
    return sorted(orders)


_PROGRAM: Final = """
import json, os, pty, sys
from ctisync import cli
from tests.support.warm import warm_up

def play(arguments, environ, home):
    os.chdir(home)
    os.environ.clear()
    os.environ.update(environ)
    sys.stdout, sys.stderr = (open(stream, "w", closefd=False) for stream in (1, 2))
    code = cli.main(arguments)
    sys.stdout.flush()
    os._exit(code)

def played(number, arguments, folder, at_terminal, environ, home):
    if at_terminal:
        child, screen = pty.fork()
        if child == 0:
            play(arguments, environ, home)
        with open(f"{folder}/{number}.screen", "wb") as file:
            try:
                while piece := os.read(screen, 65536):
                    file.write(piece)
            except OSError:  # all ends of it are closed
                pass
        os.close(screen)
    else:
        child = os.fork()
        if child == 0:
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(f"{folder}/{number}.{name}", os.O_CREAT | os.O_WRONLY, 0o600), stream)
            play(arguments, environ, home)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)

warm_up()
for line in sys.stdin:
    asked = json.loads(line)
    calls = asked.pop("calls")
    print(json.dumps([played(number, each, **asked) for number, each in enumerate(calls)]), flush=True)
"""


class Played(NamedTuple):
    """One call and all that it has written, by place; a screen has both streams."""

    arguments: Sequence[str]
    code: int
    written: dict[str, bytes]

    def orders(self) -> list[str]:
        return [
            f"{' '.join(self.arguments)}: {place}: {what}"
            for place, content in self.written.items()
            for what in obeyed(content, terminal=place == "screen")
        ]


class Player:
    """Plays calls, each in a process of its own: forked from one that has imported everything."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._process.communicate(timeout=DEADLINE)

    def play(
        self, stage: Stage, calls: Sequence[Sequence[str]], *, at_terminal: bool = False
    ) -> list[Played]:
        folder = stage.folder / f"played {len(list(stage.folder.iterdir()))}"
        folder.mkdir()
        environ = {"TERM": "xterm-256color", "COLUMNS": "200", **stage.environ}
        request = {"folder": str(folder), "calls": calls, "at_terminal": at_terminal}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({**request, "environ": environ, "home": str(stage.home)}), file=self._process.stdin)
        self._process.stdin.flush()
        codes = json.loads(self._process.stdout.readline())
        places = ("screen",) if at_terminal else ("out", "err")
        return [
            Played(each, code, {place: (folder / f"{number}.{place}").read_bytes() for place in places})
            for number, (each, code) in enumerate(zip(calls, codes, strict=True))
        ]


def sent_outside(stage: Stage, *files: Path) -> dict[str, bytes]:
    """What hooks, pings and those who read files were told."""
    texts = {path.name: path.read_bytes() for path in files if path.exists()}
    texts["pings"] = b"\n".join(request.body for request in stage.doors["ping"].received)
    return texts
