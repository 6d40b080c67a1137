"""Renders the status: as a table for people, and as the JSON document of `status --json`."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

from ctisync.commands.status.judge import ago, describe_work, next_command
from ctisync.commands.status.read import ConsumerStatus, Status, UnreadableConsumer
from ctisync.console import rfc3339
from ctisync.core.pass_report import PassReport, Work
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.escaping import Drawn, quoted

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS: Final = {"ready": "green", "loading": "yellow", "empty": "yellow", "blocked": "red"}


def as_table(status: Status, stream: TextIO, now: datetime, hint: Callable[[str], str] = str) -> Drawn:
    """One block per consumer, in the width and colours that `stream` supports; `hint` formats a hint."""
    from ctisync.commands.printing import block, cell, drawn  # only a table needs rich, which takes long

    def draw(console: "Console") -> None:
        def type_next(label: str, command: str | None) -> None:
            """Without line breaks, however narrow the terminal is: you would type them, too."""
            if command is not None:
                console.print(cell(f"{label}: {hint(command)}"), soft_wrap=True)

        console.print(cell(f"store  {status.store}"))
        for refusal in status.refusals:
            console.print(cell(f"  refuses writes: {refusal.text}", "red"))
            type_next("  try", refusal.hint)
        for broken in status.unreadable:
            console.print()
            console.print(block(broken.consumer, ("unreadable", "red"), [("error", broken.error.message)]))
            type_next("  try", broken.error.hint)
        for one in status.readable:
            console.print()
            console.print(block(one.consumer, (one.phase, _COLOURS[one.phase]), _rows(one, now)))
            command = next_command(one, now)
            type_next("  try", command)
            if command is None and one.state.cooldown_at(now) is not None:
                type_next("  to check now", "ctisync sync --now")
        for each in status.unconfigured:
            console.print()
            replaced = "" if each.replaced_by is None else f" and replaced by {each.replaced_by}"
            type_next(
                f"{each.consumer} is stored, but not configured{replaced}; to remove it",
                f"ctisync forget --consumer {quoted(each.consumer)}",
            )

    return drawn(stream, draw)


def _rows(one: ConsumerStatus, now: datetime) -> Iterator[tuple[str, str]]:
    state = one.state
    yield "offset", f"{state.offset:,} when last present" if one.gone else _offset(state)
    yield "records", _records(one, now)
    yield "last check", _last_check(state, now)
    if (cooldown := state.cooldown_at(now)) is not None:
        yield "cool-down", f"until {rfc3339(cooldown.until)}: {cooldown.reason}"
    if state.snapshot_offset is not None:
        yield "initialised from", f"a snapshot of offset {state.snapshot_offset:,}"
    if state.requested is not None:
        yield "requested", f"a new initialisation, {ago(state.requested.at, now)}"
    if one.sends_commands and state.accepted is not None:
        yield "command accepted", f"for offset {state.accepted.offset:,}, {ago(state.accepted.at, now)}"
    if one.owed is not None:
        refusals = counted(one.owed.attempts, "refusal")
        yield "command owed", f"for offset {one.owed.offset:,}, {refusals} so far"
    yield from _problems(one, now)
    if one.work is not None:
        yield "running", describe_work(one.work, now)


def _problems(one: ConsumerStatus, now: datetime) -> Iterator[tuple[str, str]]:
    """Problems of passes, and of readers."""
    state, index = one.state, one.consumer.index
    if state.occupant is not None:
        yield "replaced", f"{index} has the content of {state.occupant}"
    if one.moved is not None:
        moved = f"alias {index} points to {one.moved.to}, but the state names {one.moved.was}"
        yield "moved", f"{moved}: readers have another content"
    if state.failed is not None:
        operation = "" if state.failed.operation is None else f", operation {state.failed.operation}"
        label = "blocked by" if state.failed.blocked else "failed change"
        change = f"change {state.failed.offset:,} of {state.failed.resource}{operation}"
        yield label, f"{change}: {state.failed.reason}"
    if state.refused is not None:
        yield "refused", f"the snapshot {state.refused.link}: {state.refused.reason}"
    if (failure := one.failure) is not None:
        when = ago(failure.ended_at, now)
        yield "last pass", f"failed {when} with exit code {failure.exit_code}: {one.failure_reason}"
    if one.unrecorded_at is not None:
        yield "not recorded", f"a pass {ago(one.unrecorded_at, now)} left no entry in the history"


def _offset(state: ConsumerState) -> str:
    if state.last_offset is None:
        return f"{state.offset:,}; the last offset of the feed is unknown"
    if state.offset > state.last_offset:
        return f"{state.offset:,}, higher than the feed's {state.last_offset:,}: the feed went back"
    behind = f"{state.behind:,} behind" if state.behind else "up to date"
    return f"{state.offset:,} of {state.last_offset:,}, {behind}"


def _last_check(state: ConsumerState, now: datetime) -> str:
    """When the feed was last asked, and when it last answered, if that is not the same."""
    answered = "never answered" if state.checked_at is None else f"answered {ago(state.checked_at, now)}"
    if state.unanswered_at is not None:
        return f"tried {ago(state.unanswered_at, now)}, {answered}"
    return "never" if state.checked_at is None else answered


def _records(one: ConsumerStatus, now: datetime) -> str:
    if one.gone:
        return "none: another program removed the content"
    if one.records is None:
        return "none yet"
    return f"{one.records:,} as {one.consumer.index}, last changed {ago(one.state.updated_at, now)}"


def as_document(status: Status) -> dict[str, Any]:
    """The contract of `status --json`, which other software relies on."""
    return {
        "store": status.store,
        "consumers": [
            _consumer(one) if isinstance(one, ConsumerStatus) else _unreadable(one)
            for one in status.consumers
        ],
        "not_configured": [
            {
                "context": each.consumer.context,
                "consumer": each.consumer.name,
                "replaced_by": each.replaced_by,
            }
            for each in status.unconfigured
        ],
        "refuses_writes": [{"why": each.text, "to_do": each.hint} for each in status.refusals],
    }


def _unreadable(one: UnreadableConsumer) -> dict[str, Any]:
    """All keys of a consumer, with null, and the error."""
    return {
        **dict.fromkeys(_consumer(ConsumerStatus(one.consumer, ConsumerState(), None))),
        "context": one.consumer.context,
        "consumer": one.consumer.name,
        "error": {"message": one.error.message, "to_do": one.error.hint},
    }


def _consumer(one: ConsumerStatus) -> dict[str, Any]:
    state = one.state
    owed = state.owed
    failed = state.failed if state.phase == "blocked" else None
    return {
        "context": one.consumer.context,
        "consumer": one.consumer.name,
        "phase": one.phase,
        "offset": state.offset,
        "last_offset": state.last_offset,
        "behind": state.behind,
        "last_snapshot_link": state.last_snapshot_link,
        "snapshot_offset": state.snapshot_offset,
        "records": one.records,
        "pending_command": owed and {"offset": str(owed.offset), "attempts": owed.attempts},
        "checked_at": state.checked_at and rfc3339(state.checked_at),
        "tried_at": state.tried_at and rfc3339(state.tried_at),
        "updated_at": state.updated_at and rfc3339(state.updated_at),
        "accepted": state.accepted and {"offset": state.accepted.offset, "at": rfc3339(state.accepted.at)},
        "blocked_by": failed
        and {
            "offset": failed.offset,
            "resource": failed.resource,
            "operation": failed.operation,
            "reason": failed.reason,
        },
        "asked_at": state.requested and rfc3339(state.requested.at),
        "at_work": one.work and _work(one.work),
        "last_failure": one.failure and _failure(one.failure),
        "occupant": state.occupant,
        "alias_moved": one.moved and {"to": one.moved.to, "from": one.moved.was},
        "error": None,
    }


def _work(work: Work) -> dict[str, Any]:
    return {
        "who": work.who,
        "since": work.since and rfc3339(work.since),
        "records": work.records,
        "lease_until": work.until and rfc3339(work.until),
        "process_missing": work.process_missing,
    }


def _failure(failure: PassReport) -> dict[str, Any]:
    return {
        "ended_at": rfc3339(failure.ended_at),
        "exit_code": failure.exit_code,
        "outcome": failure.outcome,
        "why": failure.why,
    }
