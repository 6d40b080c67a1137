"""What rich draws, as the text of a result."""

from collections.abc import Callable
from typing import Final, TextIO

from rich.console import Console

_WIDTH_OFF_TERMINAL: Final = 200


def drawn(stream: TextIO, draw: Callable[[Console], None]) -> str:
    """What `draw` prints, as wide and colourful as `stream` can show it, no line with blanks at its end."""
    console = Console(file=stream, width=None if stream.isatty() else _WIDTH_OFF_TERMINAL, highlight=False)
    with console.capture() as captured:
        draw(console)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
