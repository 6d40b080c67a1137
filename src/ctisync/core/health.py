"""The checks of `doctor`: whether passes can work with each part as it is."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from ctisync.core.words import counted
from ctisync.errors import CtisyncError
from ctisync.escaping import quoted

Health = Literal["ok", "warning", "failed"]

_WORST_FIRST: Final[tuple[Health, ...]] = ("failed", "warning", "ok")

CLOCKS_APART: Final = timedelta(minutes=5)
"""With a larger difference, times in logs and states mislead, and certificates may be refused."""

UNPACKED: Final = 8
"""Bytes of records per byte of a snapshot's ZIP."""

SOON: Final = timedelta(days=30)
"""How long before its end a certificate causes a warning: a renewal takes planning."""

LEAST_ROOM: Final = 256 << 20
"""Bytes. Less free disk space causes a warning even without a load."""


ROOM_FOR_A_RANGE: Final = 32 << 20
"""Bytes of SQLite's log while a range is written. With less, a pass fails."""

ROOM_FOR_A_LOCK: Final = 1 << 20
"""Bytes, in a folder for locks and downloads only."""


def believed(time: datetime | None, now: datetime) -> datetime | None:
    """The time; None if it is in the future, because then a clock was wrong."""
    return None if time is not None and time - now > CLOCKS_APART else time


class Advice(NamedTuple):
    """What is wrong, or probably is (`text`), and what to type (`hint`)."""

    text: str
    hint: str


class CheckResult(msgspec.Struct, frozen=True):
    """The result of one check. `what`: the check, in kebab-case. `text`: one line. `hint`: what to type.
    `about`: the consumer, None for all."""

    what: str
    health: Health
    text: str
    hint: str | None = None
    about: str | None = None


def ok(what: str, text: str, hint: str | None = None, *, about: object = None) -> CheckResult:
    return CheckResult(what, "ok", text, hint, _text(about))


def warning(what: str, text: str, hint: str | None = None, *, about: object = None) -> CheckResult:
    return CheckResult(what, "warning", text, hint, _text(about))


def failed(what: str, text: str, hint: str | None = None, *, about: object = None) -> CheckResult:
    return CheckResult(what, "failed", text, hint, _text(about))


def guarded(
    what: str, check: Callable[[], Iterable[CheckResult]], *, about: object = None, fault: Health = "failed"
) -> Iterator[CheckResult]:
    """The results of `check`. An error that ends it becomes a result with the health `fault`."""
    try:
        yield from check()
    except CtisyncError as error:
        yield CheckResult(what, fault, error.message, error.hint, _text(about))


def worst(results: Iterable[CheckResult]) -> Health:
    healths = {each.health for each in results}
    return next((health for health in _WORST_FIRST if health in healths), "ok")


def judge_clocks(theirs: datetime, ours: datetime) -> CheckResult:
    """Compares a server's clock with this host's. Which one is wrong remains unknown."""
    apart = ours - theirs
    if abs(apart) <= CLOCKS_APART:
        return ok("clock", f"this host's clock is within {_minutes(CLOCKS_APART)} of the feed's")
    direction = "ahead of" if apart > timedelta() else "behind"
    return warning(
        "clock", f"this host's clock is {_minutes(abs(apart))} {direction} the feed's", "timedatectl"
    )


def judge_end(what: str, name: str, ends: datetime, now: datetime) -> CheckResult:
    """Whether a certificate, with its `name` for messages, is valid for long enough: it ends at `ends`."""
    if ends - now > SOON:
        return ok(what, f"{name} is valid until {ends:%Y-%m-%d}")
    if ends <= now:
        return failed(what, f"{name} expired on {ends:%Y-%m-%d}", "renew it")
    days = (ends - now).days
    when = "today or tomorrow" if days == 0 else f"in {counted(days, 'day')}"
    return warning(what, f"{name} expires on {ends:%Y-%m-%d}, {when}", "renew it")


def judge_disk_space(
    place: str,
    free: int,
    snapshot: int | None,
    share: float | None,
    *,
    filled: bool,
    on_disk: int | None = None,
) -> CheckResult:
    """Whether the `free` bytes of a folder are enough for a pass, and for a load.

    `on_disk`: the part of them that is not free pages of the database, which its log cannot use. `snapshot`:
    bytes of the offered snapshot, None if unknown. `share`: stored bytes per byte of a record, None if
    records are stored elsewhere. `filled`: there is a content, so a load may not be needed.
    """
    text = f"{place} has {mib(free)} of free disk space"
    hint = f"df -h {quoted(place)}"
    if on_disk is not None and on_disk < (ROOM_FOR_A_LOCK if share is None else ROOM_FOR_A_RANGE):
        return failed(
            "disk", f"the disk of {place} has {mib(on_disk)} of free disk space, too little for a pass", hint
        )
    needed = 0
    if snapshot is not None:
        needed = snapshot if share is None else int(snapshot * (1 + UNPACKED * share))
        text += f", a load of the snapshot needs about {mib(needed)}"
    if free >= max(needed, LEAST_ROOM):
        return ok("disk", text)
    judge = warning if filled or free >= needed else failed
    return judge("disk", text, hint)


def mib(size: int) -> str:
    return f"{size >> 20:,} MiB"


def _minutes(length: timedelta) -> str:
    return f"{length // timedelta(minutes=1):,} minutes"


def _text(about: object) -> str | None:
    return None if about is None else str(about)
