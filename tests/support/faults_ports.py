"""Calls of the ports of a pass as effects: a wrapper around the adapter of a port.

It treats methods by what they return, not by their names, so that a new method is an effect too.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, NoReturn, cast

from ctisync.core.model import Consumer
from ctisync.errors import CommandNotAccepted, CtisyncError, FeedUnreachable, StoreUnavailable
from ctisync.ports import CommandManager, PassFeed, Store
from tests.support.faults import Effect, Effects, How, Killed, Place, When
from tests.support.memory_store import Kept, MemoryStorage

_FAILURES: Final[dict[Place, type[CtisyncError]]] = {
    "feed": FeedUnreachable,
    "files": StoreUnavailable,
    "store": StoreUnavailable,
    "commands": CommandNotAccepted,
}

# By their contract these do not fail.
NEVER_FAIL: Final = ("close", "discard", "as_refused", "prefetch", "leave writer", "leave load")


def store_with(store: Store, effects: Effects) -> Store:
    return cast(Store, _Port(store, "store", effects))


def feed_with(feed: PassFeed, effects: Effects) -> PassFeed:
    return cast(PassFeed, _Port(feed, "feed", effects))


def commands_with(commands: CommandManager, effects: Effects) -> CommandManager:
    return cast(CommandManager, _Port(commands, "commands", effects))


class MortalStorage(MemoryStorage):
    """The storage of a process that may die: each write is an effect, and a dead process writes nothing."""

    def __init__(self, lasting: MemoryStorage, effects: Effects) -> None:
        super().__init__()
        self._lasting = lasting
        self._effects = effects

    def get(self, consumer: Consumer) -> Kept:
        return self._lasting.get(consumer)

    def put(self, consumer: Consumer, kept: Kept) -> None:
        self._effects.around(
            Effect("store", "write"), lambda: self._lasting.put(consumer, kept), _failing("store")
        )


class _Port:
    def __init__(self, inner: Any, place: Place, effects: Effects) -> None:
        self._inner = inner
        self._place = place
        self._effects = effects

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: Any, **named: Any) -> Any:
            if name in ("writer", "load"):
                return _Managed(attribute(*arguments, **named), name, self._place, self._effects)
            effect = Effect(self._place, name)
            spoil = _never_failing if name in NEVER_FAIL else _failing(self._place)
            reply = self._effects.around(effect, lambda: attribute(*arguments, **named), spoil)
            if name in ("fetch_snapshot", "open_snapshot"):
                return _Port(reply, "files", self._effects)
            return self._each(reply, effect) if name == "records" else reply

        return call

    def _each(self, batches: Iterator[Any], effect: Effect) -> Iterator[Any]:
        for batch in batches:
            yield self._effects.around(effect, partial(_same, batch), _failing(self._place))


class _Managed(AbstractContextManager[Any]):
    """The context manager of `writer` or `load`: entering and leaving it are effects."""

    def __init__(self, inner: AbstractContextManager[Any], name: str, place: Place, effects: Effects) -> None:
        self._inner = inner
        self._name = name
        self._place = place
        self._effects = effects
        self._entered = False

    def __enter__(self) -> Any:
        try:
            entered = self._effects.around(
                Effect(self._place, self._name), self._enter, _failing(self._place)
            )
        except BaseException:
            self._abandon()
            raise
        return _Port(entered, self._place, self._effects)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        def leave() -> bool | None:
            return self._inner.__exit__(kind, error, trace)

        try:
            return self._effects.around(
                Effect(self._place, f"leave {self._name}"),
                leave,
                lambda how, when: leave() if when == "before" else None,  # to leave never fails
            )
        except Killed:
            self._abandon()
            raise

    def _enter(self) -> Any:
        self._entered = True
        return self._inner.__enter__()

    def _abandon(self) -> None:
        """Drop the context manager; what it then does by itself has no visible effect."""
        if self._entered:
            with suppress(Killed, CtisyncError):
                self._inner.__exit__(*sys.exc_info())


def _same(value: Any) -> Any:
    return value


def _failing(place: Place) -> Callable[[How, When], NoReturn]:
    def fail(how: How, when: When) -> NoReturn:
        raise _FAILURES[place](f"made to fail: {how}", hint="none, it is a test")

    return fail


def _never_failing(_how: How, _when: When) -> None:
    """For an effect that cannot fail."""
