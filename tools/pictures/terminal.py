"""What commands print, as it looks at a terminal: the made-up feed of `ctisync demo`, at fixed times."""

import io
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import rich.console
from rich.text import Text

from ctisync.cli.invocation import Invocation
from ctisync.commands.demo import CHANGES_LATER, CHANGES_SINCE_SNAPSHOT, RECORDS
from ctisync.commands.history import as_table as history_table
from ctisync.commands.history import read_history
from ctisync.commands.passes import run_passes
from ctisync.commands.status import as_table
from ctisync.commands.status.read import read_status
from ctisync.console import Console
from ctisync.demo import DemoFeed, served
from ctisync.settings import CtiSettings, Settings, StoreSettings

_BEGIN: Final = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
_A_LINE: Final = 0.3
"""Seconds that pass while a line is written: none pass otherwise."""

_CHANGES: Final = (CHANGES_SINCE_SNAPSHOT, CHANGES_LATER, 340, 0, 5200, 1150)
"""What the feed has changed before each pass."""

_FOLDER: Final = "/var/lib/ctisync"
"""Is shown where the files are in a temporary folder."""

_SCALE: Final = 0.65
"""Of rich's letters, which are 20 pixels high."""

_TERMINAL: Final = {"COLUMNS": "130", "LINES": "40", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
_LOOPBACK: Final = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
_OTHERS_WISHES: Final = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")

# As rich's own, but for its fonts, which it fetches from elsewhere.
_SVG: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
}}
.{unique_id}-title {{ font: bold 16px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class _Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self._passed = 0.0

    def now(self) -> datetime:
        return _BEGIN + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self._passed += seconds


class _Screen(io.StringIO):
    """What is written takes its time."""

    def __init__(self, clock: _Clock) -> None:
        super().__init__()
        self._clock = clock

    def write(self, text: str) -> int:
        self._clock.sleep(_A_LINE)
        return super().write(text)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Table = Callable[[Settings, _Clock], str]
"""What a command prints that shows something of what is stored."""


def _call(settings: Settings, clock: _Clock) -> Invocation:
    console = Console(io.StringIO(), clock)
    return Invocation(settings=settings, consumers=settings.followed, clock=clock, console=console)


def _status(settings: Settings, clock: _Clock) -> str:
    return as_table(read_status(_call(settings, clock), remote=False), _Terminal(), clock.now())


def _history(settings: Settings, clock: _Clock) -> str:
    return history_table(read_history(_call(settings, clock), most=20), _Terminal())


_TABLES: Final[Mapping[str, Table]] = {"status": _status, "history": _history}
"""A command that shows a table has its line here: its name, and what prints it."""


def drawn() -> dict[str, str]:
    """An SVG for each command."""
    with _environment():
        return {name: _as_svg(name, text) for name, text in _printed().items()}


def _printed() -> dict[str, str]:
    """What each command prints: the first two of some passes, an hour apart, then what is stored."""
    clock = _Clock()
    screen = _Screen(clock)
    console = Console(screen, clock)
    console.configure(least="info", log_format="sentences")
    feed = DemoFeed(RECORDS)
    feed.publish_snapshot()
    feed.snapshot = _not_packed(feed.snapshot)
    with tempfile.TemporaryDirectory() as folder, served(feed) as url:
        settings = Settings(
            cti=CtiSettings(url=url),
            store=StoreSettings(url=f"sqlite:///{folder}/ctisync.db"),
            state_dir=Path(folder),
        )
        passes = []
        for changes in _CHANGES:
            clock.sleep(3600)
            feed.live_on(changes)
            if run_passes(Invocation.of(settings, "sync", clock, console)):
                raise AssertionError(f"a pass over the made-up feed has failed:\n{screen.getvalue()}")
            passes.append(screen.getvalue())
            screen.seek(0)
            screen.truncate()
        clock.sleep(1200)
        printed = {"sync": f"\n{_prompt('sync')}".join(passes[:2])}
        printed |= {name: table(settings, clock) for name, table in _TABLES.items()}
    return {name: text.replace(folder, _FOLDER) for name, text in printed.items()}


def _not_packed(snapshot: bytes) -> bytes:
    """How small a ZIP gets, and so what is received, differs from one zlib to another."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(snapshot)) as packed, zipfile.ZipFile(target, "w") as stored:
        for name in packed.namelist():
            stored.writestr(zipfile.ZipInfo(name), packed.read(name))
    return target.getvalue()


def _prompt(command: str) -> str:
    return f"\033[1;32m$\033[0m \033[1mctisync {command}\033[0m\n"


def _as_svg(name: str, text: str) -> str:
    shown = Text.from_ansi((_prompt(name) + text).rstrip("\n"))
    width = max(len(line) for line in shown.plain.splitlines()) + 1
    console = rich.console.Console(
        record=True, file=io.StringIO(), width=width, height=40, force_terminal=True, color_system="truecolor"
    )
    console.print(shown, highlight=False)
    svg = console.export_svg(title=f"ctisync {name}", code_format=_SVG, unique_id=f"ctisync-{name}")
    return "\n".join(line.rstrip() for line in _sized(svg).splitlines()) + "\n"


def _sized(svg: str) -> str:
    """With letters about as large as a page's, wherever there is room for it."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert box is not None
    width, height = (round(float(number) * _SCALE) for number in box.groups())
    return svg.replace(box[0], f'{box[0]} width="{width}" height="{height}"', 1)


@contextmanager
def _environment() -> Iterator[None]:
    """That of a terminal of known size and colours, whose loopback is reached without a proxy."""
    before = dict(os.environ)
    os.environ.update(_TERMINAL | _LOOPBACK)
    for name in _OTHERS_WISHES:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
