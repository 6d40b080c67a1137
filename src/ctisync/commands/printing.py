"""Renders tables with rich, as the text of a result."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TextIO

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ctisync.escaping import Drawn, escape, escape_lines

_WIDTH_OFF_TERMINAL: Final = 200


def drawn(stream: TextIO, draw: Callable[[Console], None]) -> Drawn:
    """What `draw` prints, in the width and colours that `stream` supports, without trailing blanks.

    Pass texts from outside as a `cell`.
    """
    console = Console(file=stream, width=None if stream.isatty() else _WIDTH_OFF_TERMINAL, highlight=False)
    console.push_render_hook(_Harmless())
    with console.capture() as captured:
        draw(console)
    return Drawn("\n".join(line.rstrip() for line in captured.get().split("\n")).rstrip("\n"))


def cell(text: str, style: str = "") -> Text:
    """A text that may come from outside, without line breaks, so that it stays in its row."""
    return Text(escape(text), style)


def block(title: object, state: tuple[str, str], rows: Iterable[tuple[str, str]]) -> Table:
    """A title with a state, which has a style, and below it rows of a label and a text."""
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(str(title), style="bold"), Text(*state))
    for label, text in rows:
        table.add_row(Text(f"  {label}"), cell(text))
    return table


class _Harmless(RenderHook):
    """Keeps control characters in cells from the terminal."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Cleaned(each) for each in renderables]


class _Cleaned:
    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._inner, options):
            yield Segment(escape_lines(segment.text), segment.style)
