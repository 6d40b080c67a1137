"""`ctisync status`: the stored content, its age, and problems.

`read` reads the store, and `judge` says how bad it is. Here are the table and the JSON document.
"""

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer

from ctisync import hints
from ctisync.cli.invocation import CLOCK, CommonOptions, JsonOption, command, json_fields, print_document
from ctisync.commands.status import judge, read
from ctisync.commands.status.judge import ago, describe_work, next_command
from ctisync.commands.status.read import ConsumerStatus, Status, UnreadableConsumer
from ctisync.console import rfc3339
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.core.words import counted
from ctisync.errors import DONE, CtisyncError, UsageError
from ctisync.escaping import Drawn, escape, quoted
from ctisync.system.process import print_drawn, print_result

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS: Final = {"ready": "green", "loading": "yellow", "empty": "yellow", "blocked": "red"}


_LONGEST_TIMEOUT: Final = 86_400.0


def _valid_timeout(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= _LONGEST_TIMEOUT:  # also true for nan
        raise typer.BadParameter(f"{seconds:g} is not in the range 0<x<={_LONGEST_TIMEOUT:g}.")
    return seconds


CheckOption = Annotated[
    bool, typer.Option("--check", help="Print one line, and exit as a monitoring plugin does.")
]
WarnBehindOption = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="With --check: WARNING if more than N offsets behind.")
]
CritBehindOption = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="CRITICAL if more than N offsets behind.")
]
WarnAgeOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="WARNING if out of step for longer: 90m, 24h, 7d.")
]
CritAgeOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="CRITICAL if out of step for longer.")
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        callback=_valid_timeout,
        help="End after so long, if store or feed do not answer. [default: 10 with --check, else 60]",
    ),
]


@command()
def status(
    options: CommonOptions,
    remote: Annotated[bool, typer.Option("--remote", help="Also ask the feed.")] = False,
    check: CheckOption = False,
    warn_behind: WarnBehindOption = None,
    crit_behind: CritBehindOption = None,
    warn_age: WarnAgeOption = None,
    crit_age: CritAgeOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what is stored, how old it is, and problems. Changes nothing."""
    if check and as_json:
        raise UsageError("--check and --json cannot be combined", hint=hints.command("status", "--json"))
    try:
        limits = judge.thresholds(warn_behind, crit_behind, warn_age, crit_age)
        if limits != judge.USUAL_THRESHOLDS and not check:
            raise UsageError(
                "--warn-... and --crit-... need --check", hint=hints.command("status", "--check")
            )
        invocation = options.invocation()
        within = timeout or (read.CHECK_TIMEOUT if check else read.USUAL_TIMEOUT)
        result = read.read_status(invocation, remote=remote, certificates=check, within=within)
    except CtisyncError as error:
        if not check:
            raise
        return _print_check(options, *judge.check_failed(error))
    if check:
        return _print_check(options, *judge.check(result, CLOCK.now(), limits))
    if as_json:
        print_document(as_document(result))
    else:
        print_drawn(as_table(result, sys.stdout, CLOCK.now()))
    if result.unreadable:
        raise result.unreadable[0].error
    return DONE


def _print_check(options: CommonOptions, line: str, code: int) -> int:
    """Print the line of `--check`, without secrets and control characters; returns `code`."""
    print_result(escape(options.console.masked(line)))
    return code


def as_table(status: Status, stream: TextIO, now: datetime) -> Drawn:
    """One block per consumer, in the width and colours that `stream` supports."""
    from ctisync.commands.printing import block, cell, drawn  # only a table needs rich, which takes long

    def draw(console: "Console") -> None:
        def type_next(label: str, command: str | None) -> None:
            """Without line breaks, however narrow the terminal is: you would type them, too."""
            if command is not None:
                console.print(cell(f"{label}: {command}"), soft_wrap=True)

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
                type_next("  to check now", hints.command("sync", "--now"))
        for each in status.unconfigured:
            console.print()
            replaced = "" if each.replaced_by is None else f" and replaced by {each.replaced_by}"
            type_next(
                f"{each.consumer} is stored, but not configured{replaced}; to remove it",
                hints.command("forget", f"--consumer {quoted(each.consumer)}"),
            )

    return drawn(stream, draw)


def _rows(one: ConsumerStatus, now: datetime) -> Iterator[tuple[str, str]]:
    state = one.state
    yield "offset", f"{state.offset:,} when last present" if one.gone else _offset(state)
    yield "records", _records(one, now)
    if one.facts_offset is not None:
        at = f"at offset {one.facts_offset:,}; the next pass fills it"
        yield "facts index", f"{one.consumer.index}-facts, {at if one.facts_behind else 'up to date'}"
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
            {**_names(each.consumer), "replaced_by": each.replaced_by} for each in status.unconfigured
        ],
        "refuses_writes": [json_fields(each, why="text", to_do="hint") for each in status.refusals],
    }


def _names(consumer: Consumer) -> dict[str, Any]:
    return json_fields(consumer, "context", consumer="name")


def _unreadable(one: UnreadableConsumer) -> dict[str, Any]:
    """All keys of a consumer, with null, and the error."""
    keys = dict.fromkeys(_consumer(ConsumerStatus(one.consumer, ConsumerState(), None)))
    return {**keys, **_names(one.consumer), "error": json_fields(one.error, "message", to_do="hint")}


def _consumer(one: ConsumerStatus) -> dict[str, Any]:
    state, owed, work = one.state, one.state.owed, one.work
    failed = state.failed if state.phase == "blocked" else None
    return {
        **_names(one.consumer),
        "phase": one.phase,
        **json_fields(state, "offset", "last_offset", "behind", "last_snapshot_link", "snapshot_offset"),
        "records": one.records,
        "pending_command": owed and {"offset": str(owed.offset), "attempts": owed.attempts},
        **json_fields(state, "checked_at", "tried_at", "updated_at"),
        "accepted": state.accepted and json_fields(state.accepted, "offset", "at"),
        "blocked_by": failed and json_fields(failed, "offset", "resource", "operation", "reason"),
        "asked_at": state.requested and rfc3339(state.requested.at),
        "at_work": work
        and json_fields(work, "who", "since", "records", "process_missing", lease_until="until"),
        "last_failure": one.failure and json_fields(one.failure, "ended_at", "exit_code", "outcome", "why"),
        "occupant": state.occupant,
        "facts_offset": one.facts_offset,
        "alias_moved": one.moved and {"to": one.moved.to, "from": one.moved.was},
        "error": None,
    }
