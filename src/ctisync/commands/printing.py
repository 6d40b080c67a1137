"""Renders tables with rich, as the text of a result."""

from collections.abc import Callable, Iterable
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctisync.escaping import Drawn, escape

_WIDTH_OFF_TERMINAL: Final = 200


def drawn(stream: TextIO, draw: Callable[[Console], None]) -> Drawn:
    """What `draw` prints, in the width and colours that `stream` supports, without trailing blanks.

    `draw` makes a `cell` of each text that may come from outside.
    """
    console = Console(file=stream, width=None if stream.isatty() else _WIDTH_OFF_TERMINAL, highlight=False)
    with console.capture() as captured:
        draw(console)
    return Drawn("\n".join(line.rstrip() for line in captured.get().split("\n")).rstrip("\n"))


def cell(text: str, style: str = "") -> Text:
    """A text that may come from outside, without line breaks, so that it stays in its row."""
    return Text(escape(text), style)


def block(title: object, state: tuple[str, str], rows: Iterable[tuple[str, str]]) -> Table:
    """A title with a state, which has a style, and below it rows of a label and a text."""
    table = Table.grid(padding=(0, 2))
    table.add_row(cell(str(title), "bold"), Text(*state))
    for label, text in rows:
        table.add_row(Text(f"  {label}"), cell(text))
    return table
