"""Counts the effects of a pass, and makes one of them fail or kill the process.

An effect is an action that is visible outside the process: a request, a statement, a write, a call of a port.
`faults_http`, `faults_sql`, `faults_files` and `faults_ports` pass them to an `Effects`; `doomed` runs a
whole command this way. ctisync itself contains none of it.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")

Place = Literal["feed", "commands", "database", "files", "node", "store", "history", "hook"]
"""What a lasting fault affects as a whole: a server, a disk."""

When = Literal["before", "after"]
"""Before the effect, or after it, but before the process gets the reply."""

How = Literal["kill", "EIO", "ENOSPC", "reset", "timeout", "429", "503"]

Spoil = Callable[[How, When], T]
"""Returns or raises what the process gets in place of the reply."""


class Effect(NamedTuple):
    place: Place
    name: str


class Fault(msgspec.Struct, frozen=True):
    """A fault at the effect number `at`, from 1 on; `lasting`: also at each later effect in the same
    place."""

    at: int
    when: When
    how: How
    lasting: bool = False


class Killed(BaseException):
    """The process counts as dead: no handler of ctisync catches this, as none runs after SIGKILL."""


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class Effects:
    """Keeps the effects in `recorded`, and causes the fault; without one it only counts.

    `die` kills the process (the default), or returns: `around` then raises `Killed`, and so does each later
    call, so that nothing has an effect any more.
    """

    def __init__(self, fault: Fault | None = None, die: Callable[[], None] = kill_this_process) -> None:
        self.recorded: list[Effect] = []
        self.dead = False
        self._fault = fault
        self._die = die
        self._struck: Place | None = None

    def around(self, effect: Effect, perform: Callable[[], T], spoil: Spoil[T]) -> T:
        """Returns what `perform` returns; if the fault is due, what `spoil` returns. Raises Killed if it
        kills."""
        if self.dead:
            raise Killed
        self.recorded.append(effect)
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
        if fault is None or len(self.recorded) < fault.at:
            return None
        if len(self.recorded) == fault.at:
            self._struck = effect.place
            return fault
        return fault if fault.lasting and effect.place == self._struck else None
