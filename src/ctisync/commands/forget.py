"""`forget`: remove all that a store has of one consumer."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from ctisync.commands.printing import bytes_as_text
from ctisync.core.model import Consumer, Footprint
from ctisync.core.words import counted
from ctisync.errors import AnotherPass, ConfigurationError, StoreUnavailable, UsageError
from ctisync.escaping import escape, quoted
from ctisync.ports import Clock
from ctisync.settings import Settings
from ctisync.settings.checks import check_consumers
from ctisync.system.locks import read_lock
from ctisync.wiring import beside_passes, consumer_lock, lock_path, opened_store

_COMMAND: Final = "ctisync forget"


class Held(msgspec.Struct, frozen=True):
    """All that `forget` removes: data in the store, and downloads of passes and of `verify`."""

    store: str
    consumer: Consumer
    holding: Footprint
    downloads: tuple[Path, ...]
    of_verify: tuple[Path, ...]
    is_configured: bool

    @property
    def is_empty(self) -> bool:
        return self.holding == Footprint() and not self.files

    @property
    def files(self) -> tuple[Path, ...]:
        return self.downloads + self.of_verify


def look(settings: Settings, wanted: str, clock: Clock) -> Held:
    """The data of the consumer named `wanted`. Writes nothing."""
    from ctisync.feed.snapshot.spool import downloads

    with opened_store(settings, clock, untouched=True) as store:
        consumer = _meant(wanted, settings, store.consumers())
        return Held(
            store.name,
            consumer,
            store.footprint(consumer),
            tuple(downloads(lock_path(settings, consumer))),
            tuple(downloads(lock_path(settings, beside_passes(consumer)))),
            consumer in settings.followed,
        )


def refuse_while_at_work(settings: Settings, held: Held) -> None:
    """Raises AnotherPass before ctisync asks for confirmation or reports that there is no data."""
    for each in (held.consumer, *_verified(held)):
        if (who := read_lock(lock_path(settings, each)).who) is not None:
            raise AnotherPass(f"{held.consumer}: another pass is running: {who}")


def forget(settings: Settings, held: Held, clock: Clock) -> None:
    """Remove all of it. Raises AnotherPass while a pass is running, on this or another host."""
    with ExitStack() as locks:
        host_lock = locks.enter_context(consumer_lock(settings, held.consumer, clock, _COMMAND))
        for each in _verified(held):
            locks.enter_context(consumer_lock(settings, each, clock, _COMMAND))
        with opened_store(settings, clock, host_lock=host_lock) as store:
            store.forget(held.consumer)
        for path in held.files:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreUnavailable(
                    f"cannot remove {path}: {error.strerror}", hint=f"ls -ld {quoted(path.parent)}"
                ) from error


def _verified(held: Held) -> Iterator[Consumer]:
    """The consumer whose lock `verify` holds during a download, if there are such downloads to remove."""
    if held.of_verify:
        yield beside_passes(held.consumer)


def as_text(held: Held) -> str:
    return "\n".join(map(escape, _lines(held)))


def nothing(held: Held) -> str:
    return escape(f"{held.store} has no data of {held.consumer}")


def removed(held: Held) -> str:
    again = "; it is still in the settings, so the next pass loads it again" * held.is_configured
    return escape(f"removed {held.consumer} from {held.store}{again}")


def _lines(held: Held) -> Iterator[str]:
    found = held.holding
    yield f"{held.consumer} in {held.store}"
    if found.places:
        records = "load not complete" if found.records is None else counted(found.records, "record")
        size = "" if found.bytes is None else f", {bytes_as_text(found.bytes)}"
        yield f"  content    {records}{size}: {', '.join(found.places)}"
    if found.state:
        yield "  state      offset, lease, command owed"
    if found.passes:
        yield f"  history    {counted(found.passes, 'pass', 'passes')}"
    if held.files:
        taken = sum(path.lstat().st_size for path in held.files if path.exists())
        files = counted(len(held.files), "file")
        yield f"  downloads  {files}, {bytes_as_text(taken)}: {held.files[0].parent}"


def _meant(wanted: str, settings: Settings, stored: Sequence[Consumer]) -> Consumer:
    """A consumer of the settings or of the store, by name or as context/name. One that is in neither may be
    removed already; its context is the default, unless `wanted` has one."""
    followed = settings.followed
    known = {str(each): each for each in (*stored, *followed)}
    found = [each for each in known.values() if wanted in (each.name, str(each))]
    if len(found) > 1:
        raise UsageError(
            f"several consumers match {wanted}: {', '.join(map(str, found))}",
            hint=f"ctisync forget --consumer {quoted(found[0])}",
        )
    if found:
        return found[0]
    context, slash, name = wanted.partition("/")
    consumer = Consumer(context, name) if slash else Consumer(name=wanted)
    try:
        check_consumers((consumer,), "--consumer")
    except ConfigurationError as error:
        raise UsageError(error.message, hint=f"ctisync forget --consumer {quoted(followed[0])}") from error
    return consumer
