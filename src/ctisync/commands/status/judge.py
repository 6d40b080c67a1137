"""Judges the status: how bad it is, why, and which command to type next.

`status --check` prints the judgement as one line with an exit code, as monitoring plugins do. `doctor` and
the table of `status` use parts of it.
"""

from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from ctisync import errors, hints
from ctisync.commands.status.read import ConsumerStatus, Status, UnreadableConsumer
from ctisync.console import rfc3339
from ctisync.core.health import CLOCKS_APART, believed, judge_end
from ctisync.core.pass_report import Work
from ctisync.core.state import STALE, ConsumerState
from ctisync.core.steps import contradiction
from ctisync.core.words import counted, duration

STANDSTILL: Final = timedelta(days=14)
"""The feed changes every day. If it does not change for this long, `status --check` warns."""

OK: Final = 0
WARNING: Final = 1
CRITICAL: Final = 2
UNKNOWN: Final = 3
_NAMES: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_WORST_FIRST: Final = (CRITICAL, UNKNOWN, WARNING, OK)

_T = TypeVar("_T", int, timedelta)


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Limits for WARNING and CRITICAL: offsets behind the feed, and time since the content was last known to
    be in step. None: no limit. `of_any_age`: the age of a content that was loaded without the feed counts
    too; whether that is in step is unknown."""

    warn_behind: int | None = None
    crit_behind: int | None = None
    warn_age: timedelta | None = STALE
    crit_age: timedelta | None = None
    of_any_age: bool = False

    def __post_init__(self) -> None:
        for name in ("behind", "age"):
            warn, crit = getattr(self, f"warn_{name}"), getattr(self, f"crit_{name}")
            if warn is not None and crit is not None and crit < warn:
                raise errors.UsageError(
                    f"--crit-{name} is lower than --warn-{name}",
                    hint=f"give --crit-{name} the larger of the two",
                )


USUAL_THRESHOLDS: Final = Thresholds()


def thresholds(
    warn_behind: int | None, crit_behind: int | None, warn_age: str | None, crit_age: str | None
) -> Thresholds:
    """The limits from the command line. Raises UsageError."""
    crit = None if crit_age is None else duration(crit_age)
    usual = STALE if crit is None else min(STALE, crit)
    return Thresholds(
        warn_behind=warn_behind,
        crit_behind=crit_behind,
        warn_age=usual if warn_age is None else duration(warn_age),
        crit_age=crit,
        of_any_age=warn_age is not None or crit_age is not None,
    )


def check(status: Status, now: datetime, limits: Thresholds = USUAL_THRESHOLDS) -> tuple[str, int]:
    """The line and the exit code. Refused writes and unreadable consumers come first, expiring certificates
    last."""
    judged: list[tuple[object, int, str]] = [
        *(("no pass can write", CRITICAL, f"{each.text}; {each.hint}") for each in status.refusals),
        *((one.consumer, *_judge_unreadable(one)) for one in status.unreadable),
        *((one.consumer, *_judge_readable(one, limits, now)) for one in status.readable),
    ]
    results = [judge_end("certificate", name, ends, now) for name, ends in status.certificates]
    expiring = [each.text for each in results if each.health != "ok"]
    codes = {code for _, code, _ in judged} | {WARNING for _ in expiring}
    worst = next(code for code in _WORST_FIRST if code in codes)
    # In the line of a monitoring plugin, the metrics follow a bar.
    text = "; ".join([*(f"{subject}: {why}" for subject, _, why in judged), *expiring]).replace("|", "/")
    metrics = " ".join(_metrics(one, limits, now) for one in status.readable)
    return f"CTISYNC {_NAMES[worst]} - {text} | {metrics}".removesuffix(" | "), worst


def check_failed(error: errors.CtisyncError) -> tuple[str, int]:
    """The same if nothing could be read: UNKNOWN, or CRITICAL if readers see an index of another program."""
    code = CRITICAL if isinstance(error, errors.ForeignIndex) else UNKNOWN
    return f"CTISYNC {_NAMES[code]} - {error.message.replace('|', '/')}", code


def _judge_unreadable(one: UnreadableConsumer) -> tuple[int, str]:
    """CRITICAL: the store answers for other consumers. UNKNOWN if the feed fails (`--remote`)."""
    code = UNKNOWN if isinstance(one.error, errors.FeedUnreachable | errors.FeedRefused) else CRITICAL
    return code, one.error.message


def _judge_readable(one: ConsumerStatus, limits: Thresholds, now: datetime) -> tuple[int, str]:
    code, why = judge(one, limits, now)
    if code != OK and one.work is not None:
        return code, f"{why} (running: {describe_work(one.work, now)})"
    return code, why


def judge(one: ConsumerStatus, limits: Thresholds, now: datetime) -> tuple[int, str]:
    """The exit code for one consumer, and the reason."""
    state = one.state
    if (why := _not_the_content(one, now)) is not None:
        return CRITICAL, why
    if state.phase == "blocked" and state.failed is not None:
        return CRITICAL, f"blocked by change {state.failed.offset} of {state.failed.resource}"
    if not state.content:
        return CRITICAL, "no content yet"
    if one.settings_differ:
        return WARNING, "the settings differ from those of the stored content"
    if state.offset == 0 or (state.loading and one.work is None) or state.is_requested_with(one.consumer):
        return WARNING, "a new initialisation is pending; readers have the old content"
    if state.last_offset is None or state.checked_at is None:
        return _judge_without_feed(state, limits, now)
    if state.offset > state.last_offset:
        return WARNING, f"the feed went back to {state.last_offset}, the content is at {state.offset}"
    if one.owed is not None:
        return WARNING, f"the command for offset {one.owed.offset} is not accepted yet"
    code, why = _judge_lag(state, limits, now)
    return (code, why) if code != OK else _judge_last_pass(one, now) or (OK, why)


def _not_the_content(one: ConsumerStatus, now: datetime) -> str | None:
    """Why readers do not have the content that the state names, or no pass can go on from it."""
    sync, load = (run(one.state, now, name) for name in ("sync", "init-snapshot"))
    if (wrong := contradiction(one.state)) is not None:
        return f"{wrong}; {load} loads the content again"
    if one.state.occupant is not None:
        return f"{one.consumer.index} has the content of {one.state.occupant}"
    if one.gone:
        return f"another program removed the content; {sync} loads it again"
    if one.moved is not None:
        moved = f"alias {one.consumer.index} points to {one.moved.to}, but the state names {one.moved.was}"
        return f"{moved}; {sync} loads the content again"
    if one.records == 0:
        return f"the content has no records; {load} loads it again"
    return None


def _judge_last_pass(one: ConsumerStatus, now: datetime) -> tuple[int, str] | None:
    """Warns at once if the store failed the last pass, or its facts index. A feed that does not answer only
    raises the age."""
    if one.unrecorded_at is not None:
        why = f"a pass {ago(one.unrecorded_at, now)} left no entry in the history"
        return WARNING, f"{why}; check its log, then: {run(one.state, now)}"
    if one.failure is not None and one.failure.exit_code == errors.StoreUnavailable.exit_code:
        return WARNING, f"the last pass failed {ago(one.failure.ended_at, now)}: {one.failure_reason}"
    if one.facts_behind and one.work is None:
        offsets = f"the facts index is at offset {one.facts_offset}, the content at {one.state.offset}"
        return WARNING, f"{offsets}; {run(one.state, now)} fills it"
    return None


def _judge_without_feed(state: ConsumerState, limits: Thresholds, now: datetime) -> tuple[int, str]:
    """For a content that was loaded on a host without access to the feed."""
    if has_future_time(state, now):
        return UNKNOWN, _future_time(state, now)
    never = "was never asked" if state.unanswered_at is None else "never answered"
    why = f"offset {state.offset}, the feed {never}"
    loaded = _age_begins(state, limits)
    if loaded is None:
        return UNKNOWN, why
    code = _level(now - loaded, limits.warn_age, limits.crit_age)
    return code, f"{why}, last changed {ago(loaded, now)}"


def _future_time(state: ConsumerState, now: datetime) -> str:
    """For UNKNOWN, as without an answer of the feed: a warning would say that the content is a little old."""
    why = "a time in the state is in the future: a clock was wrong, so the age of the content is unknown"
    return f"{why}; {run(state, now)} corrects it"


def _age_begins(state: ConsumerState, limits: Thresholds) -> datetime | None:
    no_answer = state.last_offset is None or state.checked_at is None
    return state.updated_at if no_answer and limits.of_any_age else state.in_step_at


def _judge_lag(state: ConsumerState, limits: Thresholds, now: datetime) -> tuple[int, str]:
    lag = _level(state.behind or 0, limits.warn_behind, limits.crit_behind)
    if lag != CRITICAL and has_future_time(state, now):
        return UNKNOWN, _future_time(state, now)
    in_step = state.in_step_at
    age = timedelta.max if in_step is None else now - in_step
    code = max(_level(age, limits.warn_age, limits.crit_age), lag)
    if code != OK and state.behind:
        return code, f"{state.behind} offsets behind, last in step {ago(in_step, now)}"
    if code != OK:
        tried = f", was last asked {ago(state.tried_at, now)}" if state.unanswered_at is not None else ""
        return code, f"offset {state.offset}, the feed last answered {ago(state.checked_at, now)}{tried}"
    if state.updated_at is not None and now - state.updated_at > STANDSTILL:
        changed = ago(state.updated_at, now)
        return WARNING, f"the feed is still at offset {state.offset}, last changed {changed}"
    return OK, f"offset {state.offset}, {state.behind or 'none'} behind"


def _level(value: _T, warn: _T | None, crit: _T | None) -> int:
    if crit is not None and value > crit:
        return CRITICAL
    return WARNING if warn is not None and value > warn else OK


def _metrics(one: ConsumerStatus, limits: Thresholds, now: datetime) -> str:
    """As monitoring plugins print them: `'label'=value[unit];warn;crit`."""
    state = one.state
    warn_age, crit_age = (
        None if each is None else int(each.total_seconds()) for each in (limits.warn_age, limits.crit_age)
    )
    values = {
        "behind": _metric(state.behind, "", limits.warn_behind, limits.crit_behind),
        "records": _metric(one.records, ""),
        "age": _metric(_seconds(_age_begins(state, limits), now), "s", warn_age, crit_age),
        "checked_age": _metric(_seconds(state.checked_at, now), "s"),
    }
    return " ".join(f"'{one.consumer} {name}'={value}" for name, value in values.items())


def _metric(value: int | None, unit: str, warn: int | None = None, crit: int | None = None) -> str:
    """`value[unit];warn;crit`, without limits that are not set."""
    parts = ["U" if value is None else f"{value}{unit}"]
    parts += ["" if limit is None else str(limit) for limit in (warn, crit)]
    return ";".join(parts).rstrip(";")


def _seconds(then: datetime | None, now: datetime) -> int | None:
    time = believed(then, now)
    return None if time is None else max(0, int((now - time).total_seconds()))


def next_command(one: ConsumerStatus, now: datetime) -> str | None:
    """What you type next, if anything."""
    if not one.state.may_replace:
        return hints.replace(one.consumer, _despite_cooldown(one.state, now))
    return _next_pass(one, now)


def _next_pass(one: ConsumerStatus, now: datetime) -> str | None:
    state, despite = one.state, _despite_cooldown(one.state, now)
    sync, anew = hints.command("sync", despite), hints.load_anew(despite)
    if one.work is not None and not one.settings_differ:
        end = one.work.until if one.work.process_missing else None
        return None if end is None else f"after {rfc3339(end)}: {sync}"
    if state.content and state.is_requested_with(one.consumer):
        keep = hints.command("sync", despite, "--keep")
        return f"{sync} (does the requested initialisation; {keep} cancels it)"
    if one.settings_differ:
        return f"the settings differ from those of the stored content: {anew}"
    if one.gone or one.moved is not None:
        return f"{sync} (loads the content again)"
    if one.records == 0 or contradiction(state) is not None:
        return anew
    if state.phase == "blocked":
        return f"{sync}, once the feed offers another change or a new snapshot"
    if state.last_offset is not None and state.offset > state.last_offset:
        return anew
    if state.phase != "ready" or one.owed is not None or state.behind or has_future_time(state, now):
        return sync
    if one.unrecorded_at is not None:
        return f"check the log of that pass, then: {sync}"
    return None


def run(state: ConsumerState, now: datetime, name: str = "sync") -> str:
    """The command for a pass, with what it needs now."""
    return hints.command(name, _despite_cooldown(state, now))


def _despite_cooldown(state: ConsumerState, now: datetime) -> str:
    """The option without which a pass would end with 5 during a cool-down."""
    return "" if state.cooldown_at(now) is None else "--now"


def has_future_time(state: ConsumerState, now: datetime) -> bool:
    """Whether a time is in the future, so that the age of the content is unknown."""
    return any(believed(time, now) != time for time in (state.checked_at, state.updated_at))


def describe_work(work: Work, now: datetime) -> str:
    """The running pass, on one line."""
    text = work.who or "a pass"
    if work.since is not None:
        text += f", since {ago(work.since, now).removesuffix(' ago')}"
    if work.records is not None:
        text += f", {counted(work.records, 'record')} loaded so far"
    if work.process_missing and work.until is not None:
        text += "; this host has no such process: it was probably killed, "
        text += f"and its lease ends at {rfc3339(work.until)}"
    return text


def ago(then: datetime | None, now: datetime) -> str:
    """How long ago, in words."""
    if then is None:
        return "never"
    seconds = int((now - then).total_seconds())
    if then - now > CLOCKS_APART:
        return "in the future (a clock is wrong)"
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size or (seconds >= size and unit != "day"):
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
