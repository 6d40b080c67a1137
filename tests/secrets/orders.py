"""What a terminal obeys, or what hides text from a person: put into every field, looked for in all output."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.cli.conftest import DEADLINE
from tests.secrets.stage import Stage
from tests.support.forked import WarmProcess

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


def _places(folder: Path, number: int, *, at_terminal: bool) -> dict[str, Any]:
    """Where a call writes."""
    if at_terminal:
        return {"screen": f"{folder}/{number}.screen"}
    return {"streams": [os.devnull, *(f"{folder}/{number}.{name}" for name in ("out", "err"))]}


class Player:
    """Plays calls, each in a process of its own: forked from one that has imported everything."""

    def __init__(self) -> None:
        self._process = WarmProcess()

    def close(self) -> None:
        self._process.close()

    def play(
        self, stage: Stage, calls: Sequence[Sequence[str]], *, at_terminal: bool = False
    ) -> list[Played]:
        folder = stage.folder / f"played {len(list(stage.folder.iterdir()))}"
        folder.mkdir()
        environ = {"TERM": "xterm-256color", "COLUMNS": "200", **stage.environ}
        jobs = [
            {
                "arguments": each,
                "environ": environ,
                "folder": str(stage.home),
                **_places(folder, number, at_terminal=at_terminal),
            }
            for number, each in enumerate(calls)
        ]
        codes = [code for job in jobs for code in self._process.run([job], DEADLINE)]
        places = ("screen",) if at_terminal else ("out", "err")
        return [
            Played(each, code, {place: (folder / f"{number}.{place}").read_bytes() for place in places})
            for number, (each, code) in enumerate(zip(calls, codes, strict=True))
        ]


def sent_outside(stage: Stage, *files: Path) -> dict[str, bytes]:
    """What hooks, pings and those who read files were told."""
    texts = {path.name: path.read_bytes() for path in files if path.exists()}
    texts["pings"] = b"\n".join(request.body for request in stage.servers["ping"].received)
    return texts
