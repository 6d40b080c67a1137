"""The effects of a pass, counted, and a fault at one of them: the process dies there, or the effect fails.

An effect is what the world outside the process notices or answers: a request, a statement, a write, a
call of a port. `faults_http`, `faults_sql`, `faults_files` and `faults_ports` tell an `Effects` of them;
`doomed` plays a whole command that way. None of it is part of ctisync.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")

Place = Literal["feed", "commands", "database", "files", "node", "store", "history"]
"""What fails together when it fails for good: a server, a disk."""

When = Literal["before", "after"]
"""Before the effect, or after it but before the process sees its reply."""

How = Literal["kill", "EIO", "ENOSPC", "reset", "timeout", "429", "503"]

Spoil = Callable[[How, When], T]
"""What a seam gives back, or raises, in the place of an effect's reply."""


class Effect(NamedTuple):
    place: Place
    name: str


class Fault(msgspec.Struct, frozen=True):
    """At the `at`-th effect (the first is 1); `lasting`: at every later one of that place as well."""

    at: int
    when: When
    how: How
    lasting: bool = False


class Killed(BaseException):
    """The process is dead: no handler of ours catches this, as none runs after a SIGKILL."""


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class Effects:
    """Counts, in `seen`, and strikes. Without a fault it only counts.

    `die` is how it kills: for good (the default), or by raising `Killed`; then nothing has an effect any
    more.
    """

    def __init__(self, fault: Fault | None = None, die: Callable[[], None] = kill_this_process) -> None:
        self.seen: list[Effect] = []
        self.dead = False
        self._fault = fault
        self._die = die
        self._struck: Place | None = None

    def around(self, effect: Effect, perform: Callable[[], T], spoil: Spoil[T]) -> T:
        """What `perform` returns, unless the fault is due here."""
        if self.dead:
            raise Killed
        self.seen.append(effect)
        fault = self._due(effect)
        if fault is None:
            return perform()
        if fault.when == "after":
            with suppress(Exception):  # the reply is not seen, be it a failure
                perform()
        if fault.how == "kill":
            self.dead = True
            self._die()
            raise Killed
        return spoil(fault.how, fault.when)

    def _due(self, effect: Effect) -> Fault | None:
        fault = self._fault
        if fault is None or len(self.seen) < fault.at:
            return None
        if len(self.seen) == fault.at:
            self._struck = effect.place
            return fault
        return fault if fault.lasting and effect.place == self._struck else None
