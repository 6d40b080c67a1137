"""The table of `history` for people: a line a pass, with bars for what grows when something is wrong."""

from collections.abc import Sequence
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctisync.commands.history import History
from ctisync.core.account import Account
from ctisync.errors import DONE

_BAR: Final = 8
"""Characters of the longest."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_WIDTH_OFF_TERMINAL: Final = 200


def as_table(found: History, stream: TextIO) -> str:
    """One table a consumer, as wide and colourful as `stream` can show it."""
    console = Console(file=stream, width=None if stream.isatty() else _WIDTH_OFF_TERMINAL, highlight=False)
    with console.capture() as captured:
        for number, (consumer, accounts) in enumerate(found.consumers):
            if number:
                console.print()
            console.print(Text(str(consumer), style="bold"))
            console.print(_table(accounts) if accounts else Text("  no pass is remembered yet"))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _table(accounts: Sequence[Account]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for name, justify in (
        *(("  began", "left"), ("command", "left"), ("outcome", "left"), ("exit", "right")),
        *(("offset", "right"), ("changes", "right"), ("records", "right"), ("received", "right")),
        *(("took", "right"), ("", "left"), ("behind", "right"), ("", "left")),
    ):
        table.add_column(name, justify=justify, no_wrap=True, header_style="dim")  # type: ignore[arg-type]
    longest = max(account.seconds for account in accounts)
    furthest = max(account.behind or 0 for account in accounts)
    for account in accounts:
        table.add_row(
            f"  {account.began_at:%Y-%m-%d %H:%M:%S}",
            account.command,
            Text(account.outcome, style="" if account.exit_code == DONE else "red"),
            str(account.exit_code),
            _offsets(account),
            _amount(account.changes),
            _amount(account.records),
            _size(account.received),
            duration(account.seconds),
            Text(bar(account.seconds, longest), style="blue"),
            "?" if account.behind is None else f"{account.behind:,}",
            Text(bar(account.behind or 0, furthest), style="yellow"),
        )
    return table


def bar(value: float, most: float) -> str:
    """In eighths of a character; something as long as there is something."""
    eighths = max(1, round(8 * _BAR * value / most)) if value > 0 else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + _EIGHTHS[rest]).rstrip()


def _offsets(account: Account) -> str:
    if account.offset is None:
        return "?"
    if account.from_offset in (None, account.offset):
        return f"{account.offset:,}"
    return f"{account.from_offset:,} → {account.offset:,}"


def _amount(number: int) -> str:
    return f"{number:,}" if number else ""


def _size(number: int) -> str:
    if number < 10_000:
        return f"{number:,} B" if number else ""
    return f"{number / 1e6:,.1f} MB" if number >= 1_000_000 else f"{number / 1e3:,.0f} kB"


def duration(seconds: float) -> str:
    """In the unit that fits."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
