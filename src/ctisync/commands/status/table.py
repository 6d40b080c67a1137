"""The table of `status`: the content, its age, problems, and what to type."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctisync.commands.printing import cell, drawn
from ctisync.commands.status.look import (
    ConsumerStatus,
    FailedStatus,
    Status,
    ago,
    at_work,
    how_to_forget,
    what_to_type,
)
from ctisync.console import rfc3339
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.escaping import Drawn

_COLOURS: Final = {"ready": "green", "loading": "yellow", "empty": "yellow", "blocked": "red"}


def as_table(status: Status, stream: TextIO, now: datetime, hint: Callable[[str], str] = str) -> Drawn:
    """One block per consumer, in the width and colours that `stream` supports; `hint` formats a hint."""

    def draw(console: Console) -> None:
        def one_line(text: str) -> None:
            """Without line breaks, however narrow the terminal is: you would type them, too."""
            console.print(cell(text), soft_wrap=True)

        console.print(cell(f"store  {status.store}"))
        for refusal in status.refusals:
            console.print(cell(f"  refuses writes: {refusal.text}", "red"))
            one_line(f"  to do: {hint(refusal.hint or '')}")
        for broken in status.unseen:
            console.print()
            console.print(_broken(broken))
            if broken.error.hint is not None:
                one_line(f"  to do: {hint(broken.error.hint)}")
        for one in status.seen:
            console.print()
            console.print(_block(one, now))
            if (todo := what_to_type(one, now)) is not None:
                one_line(f"  to do: {hint(todo)}")
            elif one.state.cooldown_at(now) is not None:
                one_line(f"  to ask now: {hint('ctisync sync --now')}")
        for each in status.unnamed:
            console.print()
            typed = hint(how_to_forget(each.consumer))
            now_of = "" if each.replaced_by is None else f" and replaced by {each.replaced_by}"
            told = f"{each.consumer} is stored, but not configured{now_of}"
            one_line(f"{told}; to remove it: {typed}")

    return drawn(stream, draw)


def _broken(one: FailedStatus) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(str(one.consumer), style="bold"), Text("unreadable", style="red"))
    table.add_row(Text("  error"), cell(one.error.message))
    return table


def _block(one: ConsumerStatus, now: datetime) -> Table:
    phase = one.phase
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(str(one.consumer), style="bold"), Text(phase, style=_COLOURS[phase]))
    for name, words in _rows(one, now):
        table.add_row(Text(f"  {name}"), cell(words))
    return table


def _rows(one: ConsumerStatus, now: datetime) -> Iterator[tuple[str, str]]:
    state = one.state
    yield "offset", f"{state.offset:,} when last present" if one.gone else _offset(state)
    yield "records", _records(one, now)
    yield "feed asked", _asked(state, now)
    if (cooldown := state.cooldown_at(now)) is not None:
        yield "cool-down", f"until {rfc3339(cooldown.until)}: {cooldown.reason}"
    if state.snapshot_offset is not None:
        yield "initialised from", f"a snapshot of offset {state.snapshot_offset:,}"
    if state.requested is not None:
        yield "requested", f"a new initialisation, {ago(state.requested.at, now)}"
    if one.tells and state.accepted is not None:
        yield "command accepted", f"for offset {state.accepted.offset:,}, {ago(state.accepted.at, now)}"
    if one.owed is not None:
        yield (
            "command owed",
            f"for offset {one.owed.offset:,}, {counted(one.owed.attempts, 'refusal')} so far",
        )
    yield from _troubles(one, now)
    if one.work is not None:
        yield "running", at_work(one.work, now)


def _troubles(one: ConsumerStatus, now: datetime) -> Iterator[tuple[str, str]]:
    """Problems of passes, and of readers."""
    state = one.state
    if state.occupant is not None:
        yield "replaced", f"{one.consumer.index} has the content of {state.occupant}"
    if one.moved is not None:
        told = f"alias {one.consumer.index} points to {one.moved.to}, but the state names {one.moved.was}"
        yield "moved", f"{told}: readers have another content"
    if state.failed is not None:
        operation = "" if state.failed.operation is None else f", operation {state.failed.operation}"
        label = "blocked by" if state.failed.blocked else "failed change"
        change = f"change {state.failed.offset:,} of {state.failed.resource}{operation}"
        yield label, f"{change}: {state.failed.reason}"
    if state.refused is not None:
        yield "refused", f"the snapshot {state.refused.link}: {state.refused.reason}"
    if one.failure is not None:
        failure = one.failure
        yield (
            "last pass",
            f"failed {ago(failure.ended_at, now)} with exit code {failure.exit_code}: {one.why_failed}",
        )
    if one.forgotten_at is not None:
        yield "not recorded", f"a pass {ago(one.forgotten_at, now)} left no entry in the history"


def _offset(state: ConsumerState) -> str:
    if state.last_offset is None:
        return f"{state.offset:,}; the last offset of the feed is unknown"
    if state.offset > state.last_offset:
        return f"{state.offset:,}, higher than the feed's {state.last_offset:,}: the feed went back"
    behind = f"{state.behind:,} behind" if state.behind else "up to date"
    return f"{state.offset:,} of {state.last_offset:,}, {behind}"


def _asked(state: ConsumerState, now: datetime) -> str:
    if state.unanswered_at is None:
        return ago(state.checked_at, now)
    before = "it never did" if state.checked_at is None else f"it last did {ago(state.checked_at, now)}"
    return f"{ago(state.unanswered_at, now)}, and did not answer; {before}"


def _records(one: ConsumerStatus, now: datetime) -> str:
    if one.gone:
        return "none: another program removed the content"
    if one.records is None:
        return "none yet"
    return f"{one.records:,} as {one.consumer.index}, last changed {ago(one.state.updated_at, now)}"
