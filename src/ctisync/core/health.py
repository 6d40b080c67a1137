"""What `doctor` says of one thing after the other: whether passes can work with it as it is."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from ctisync.core.words import counted
from ctisync.errors import CtisyncError
from ctisync.harmless import quoted

Health = Literal["ok", "warning", "failed"]

_WORST_FIRST: Final[tuple[Health, ...]] = ("failed", "warning", "ok")

CLOCKS_APART: Final = timedelta(minutes=5)
"""Beyond that, times in logs and states mislead, and certificates begin to be refused."""

UNPACKED: Final = 8
"""What a byte of a snapshot's ZIP comes to in records."""

SOON: Final = timedelta(days=30)
"""Before its end, a certificate is worth a warning: its renewal takes planning."""

LEAST_ROOM: Final = 256 << 20
"""Bytes: less is worth a look even where nothing large is to come."""


ROOM_FOR_A_RANGE: Final = 32 << 20
"""Bytes that SQLite's log takes while a range is written: with less, a pass fails."""

ROOM_FOR_A_LOCK: Final = 1 << 20
"""Bytes, where nothing but locks and downloads are written."""


class Verdict(msgspec.Struct, frozen=True):
    """`what` was looked at, in one or two words in kebab-case, `about` for which consumer (None: for all);
    what there is to be `said` of it, and what to type, if anything."""

    what: str
    health: Health
    said: str
    hint: str | None = None
    about: str | None = None


def ok(what: str, said: str, hint: str | None = None, *, about: object = None) -> Verdict:
    return Verdict(what, "ok", said, hint, _text(about))


def warning(what: str, said: str, hint: str | None = None, *, about: object = None) -> Verdict:
    return Verdict(what, "warning", said, hint, _text(about))


def failed(what: str, said: str, hint: str | None = None, *, about: object = None) -> Verdict:
    return Verdict(what, "failed", said, hint, _text(about))


def guarded(
    what: str, look: Callable[[], Iterable[Verdict]], *, about: object = None, fault: Health = "failed"
) -> Iterator[Verdict]:
    """The verdicts of one look; an error that ends it is a verdict, too, and hides none that others give."""
    try:
        yield from look()
    except CtisyncError as error:
        yield Verdict(what, fault, error.message, error.hint, _text(about))


def worst(verdicts: Iterable[Verdict]) -> Health:
    found = {each.health for each in verdicts}
    return next((health for health in _WORST_FIRST if health in found), "ok")


def judge_clocks(theirs: datetime, ours: datetime) -> Verdict:
    """A server's clock and this host's: which of the two is wrong nobody can tell from here."""
    apart = ours - theirs
    if abs(apart) <= CLOCKS_APART:
        return ok("clock", f"within {_minutes(CLOCKS_APART)} of the feed's")
    direction = "ahead of" if apart > timedelta() else "behind"
    return warning(
        "clock", f"this host's clock is {_minutes(abs(apart))} {direction} the feed's", "timedatectl"
    )


def judge_end(what: str, named: str, ends: datetime, now: datetime) -> Verdict:
    """Of a certificate."""
    if ends - now > SOON:
        return ok(what, f"{named} is valid until {ends:%Y-%m-%d}")
    if ends <= now:
        return failed(what, f"{named} has ended on {ends:%Y-%m-%d}", "renew it")
    left = (ends - now).days
    days = "today or tomorrow" if left == 0 else f"in {counted(left, 'day')}"
    return warning(what, f"{named} ends on {ends:%Y-%m-%d}, {days}", "renew it")


def judge_disk_space(
    place: str,
    free: int,
    snapshot: int | None,
    share: float | None,
    *,
    filled: bool,
    on_disk: int | None = None,
) -> Verdict:
    """Whether a pass, and a load, has room in a folder of which `free` bytes may be filled.

    `on_disk`: those of them that are no empty pages of the database, in which its log has no place;
    `snapshot`: bytes of the one on offer, None when not known; `share`: what a byte of its records comes
    to there, None when they are stored elsewhere; `filled`: there is a content, so that no load may come.
    """
    told = f"{place} has room for {mib(free)}"
    hint = f"df -h {quoted(place)}"
    if on_disk is not None and on_disk < (ROOM_FOR_A_LOCK if share is None else ROOM_FOR_A_RANGE):
        return failed("disk", f"the disk of {place} has {mib(on_disk)} left, too little for a pass", hint)
    if snapshot is None:
        return (warning if free < LEAST_ROOM else ok)("disk", told, hint if free < LEAST_ROOM else None)
    needed = snapshot if share is None else int(snapshot * (1 + UNPACKED * share))
    if free >= max(needed, LEAST_ROOM):
        return ok("disk", f"{told}, a load of the snapshot takes some {mib(needed)}")
    judge = warning if filled or free >= needed else failed
    return judge("disk", f"{told}, a load of the snapshot takes some {mib(needed)}", hint)


def mib(size: int) -> str:
    return f"{size >> 20:,} MiB"


def _minutes(length: timedelta) -> str:
    minutes = int(length.total_seconds()) // 60
    return f"{minutes:,} minutes"


def _text(about: object) -> str | None:
    return None if about is None else str(about)
