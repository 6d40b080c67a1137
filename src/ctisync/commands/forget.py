"""`ctisync forget`: remove all that a store has of one consumer."""

import glob
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ctisync import hints
from ctisync.cli.invocation import CLOCK, CommonOptions, DryRunOption, command, consumer_named
from ctisync.core.model import Consumer, Footprint
from ctisync.core.words import bytes_as_text, counted
from ctisync.errors import DONE, AnotherPass, ConfigurationError, StoreUnavailable, UsageError
from ctisync.escaping import escape, quoted
from ctisync.host_files import beside_passes, consumer_lock, index_path, lock_path
from ctisync.settings import Settings
from ctisync.settings.checks import check_consumers
from ctisync.system.locks import read_lock
from ctisync.system.process import confirm, print_result
from ctisync.wiring import opened_store


class StoredData(msgspec.Struct, frozen=True):
    """All that `forget` removes: data in the store, `files`, the downloads of passes and of `verify`, and
    `index`, the files of its search index. `locked`: the consumers under whose names it is locked; `verify`
    has a name of its own."""

    store: str
    consumer: Consumer
    footprint: Footprint
    files: tuple[Path, ...]
    index: tuple[Path, ...]
    locked: tuple[Consumer, ...]

    @property
    def is_empty(self) -> bool:
        return self.footprint == Footprint() and not self.files and not self.index


@command(consumer=False)
def forget(
    options: CommonOptions,
    consumer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The consumer to remove; it need not be configured any more."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: DryRunOption = False,
) -> int:
    """Remove a consumer from the store: content, state, history, lease, downloads, index."""
    settings = options.read_settings().settings
    if consumer is None:
        names = ", ".join(map(str, settings.followed))
        raise UsageError(
            f"forget needs the name of the consumer to remove; configured: {names}",
            hint=hints.command("forget", f"--consumer {quoted(settings.followed[0])}"),
        )
    data = _read(settings, consumer)
    if dry_run:
        print_result("\n".join(map(escape, _lines(data))))
        return DONE
    for each in data.locked:  # before ctisync asks for confirmation
        if (who := read_lock(lock_path(settings, each)).who) is not None:
            raise AnotherPass(f"{data.consumer}: another pass is running: {who}")
    if not data.is_empty:
        if not yes:
            _confirm(data)
        _remove(settings, data)
    if not options.quiet:
        removed = f"removed {data.consumer} from {data.store}"
        if data.consumer in settings.followed:
            removed += "; it is still in the settings, so the next pass loads it again"
        print_result(escape(_no_data(data) if data.is_empty else removed))
    return DONE


def _read(settings: Settings, name: str) -> StoredData:
    """The data of the consumer of that name. Writes nothing."""
    from ctisync.feed.snapshot.spool import downloads  # `--help` needs none of it

    with opened_store(settings, CLOCK, read_only=True) as store:
        consumer = consumer_named(name, (*store.consumers(), *settings.followed))
        consumer = consumer or _removed_consumer(name, settings)
        names = (consumer, beside_passes(consumer))
        of_passes, of_verify = (list(downloads(lock_path(settings, each))) for each in names)
        footprint, locked = store.footprint(consumer), names if of_verify else (consumer,)
        path = index_path(settings, consumer)
        beside = [path.with_name(f"{path.name}{end}") for end in ("", ".lock", "-journal")]
        beside += path.parent.glob(f".{glob.escape(path.name)}.*.part")
        index = tuple(each for each in beside if each.exists())
        return StoredData(store.name, consumer, footprint, (*of_passes, *of_verify), index, locked)


def _removed_consumer(name: str, settings: Settings) -> Consumer:
    """A consumer that is neither in the settings nor in the store, and may be removed already. Its context is
    the default, unless `name` has one."""
    context, slash, below = name.partition("/")
    consumer = Consumer(context, below) if slash else Consumer(name=name)
    try:
        check_consumers((consumer,), "--consumer")
    except ConfigurationError as error:
        hint = hints.command("forget", f"--consumer {quoted(settings.followed[0])}")
        raise UsageError(error.message, hint=hint) from error
    return consumer


def _confirm(data: StoredData) -> None:
    """Raises UsageError unless you answer yes."""
    command = hints.command("forget", f"--consumer {quoted(data.consumer)} --yes")
    answer = confirm("\n".join(map(escape, _lines(data))), "Remove all of this permanently? [y/N] ")
    if answer is None:
        raise UsageError("forget needs a terminal to ask for confirmation", hint=command)
    if not answer:
        raise UsageError("nothing was removed: you did not answer y", hint=command)


def _remove(settings: Settings, data: StoredData) -> None:
    """Remove all of it. Raises AnotherPass while a pass is running, on this or another host."""
    with ExitStack() as opened:
        locks = [consumer_lock(settings, each, CLOCK, "ctisync forget") for each in data.locked]
        host_lock, *_ = [opened.enter_context(each) for each in locks]
        with opened_store(settings, CLOCK, host_lock=host_lock) as store:
            store.forget(data.consumer)
        for path in (*data.files, *data.index):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreUnavailable(
                    f"cannot remove {path}: {error.strerror}", hint=f"ls -ld {quoted(path.parent)}"
                ) from error


def _no_data(data: StoredData) -> str:
    return f"{data.store} has no data of {data.consumer}"


def _lines(data: StoredData) -> Iterator[str]:
    if data.is_empty:
        yield _no_data(data)
        return
    footprint = data.footprint
    yield f"{data.consumer} in {data.store}"
    if footprint.places:
        records = "load not complete" if footprint.records is None else counted(footprint.records, "record")
        size = "" if footprint.bytes is None else f", {bytes_as_text(footprint.bytes)}"
        yield f"  content    {records}{size}: {', '.join(footprint.places)}"
    if footprint.state:
        yield "  state      offset, lease, command owed"
    if footprint.passes:
        yield f"  history    {counted(footprint.passes, 'pass', 'passes')}"
    if data.files:
        size = bytes_as_text(sum(path.lstat().st_size for path in data.files if path.exists()))
        yield f"  downloads  {counted(len(data.files), 'file')}, {size}: {data.files[0].parent}"
    if data.index:
        yield f"  index      {data.index[0]}"
