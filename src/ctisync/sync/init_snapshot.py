"""Initialise: load a snapshot beside the live content, check it, swap."""

from collections.abc import Callable
from contextlib import closing

from ctisync.core.model import Consumer, Snapshot
from ctisync.core.state import RefusedSnapshot, initialised, snapshot_refused
from ctisync.core.steps import Initialise
from ctisync.core.words import counted
from ctisync.errors import LOAD_ANEW, ConfigurationError, SnapshotChanged, SnapshotRefused
from ctisync.ports import Clock, Feed, Log, SnapshotFile, Writer

_Get = Callable[[Snapshot, RefusedSnapshot | None, Callable[[], None]], SnapshotFile]
"""A feed's way to hand out a snapshot: when it has come, or while it comes."""


def init_snapshot(
    step: Initialise,
    consumer: Consumer,
    writer: Writer,
    feed: Feed,
    clock: Clock,
    log: Log,
    *,
    by_itself: bool,
) -> None:
    """Fetch the snapshot and make it the live content.

    `by_itself`: nobody asked for it, so a snapshot that was refused before is not fetched again.
    Raises SnapshotRefused, after remembering which one it was; the live content is then unchanged.
    """
    snapshot = step.snapshot
    log.event("info", "initialise", consumer=str(consumer), snapshot_offset=snapshot.offset, why=step.why)

    def taken_in(get: _Get) -> int:
        return _taken_in(get, step, consumer, writer, clock, log, by_itself=by_itself)

    try:
        records = taken_in(feed.open_snapshot)
    except SnapshotChanged as error:
        log.event("info", "load-begun-anew", consumer=str(consumer), why=error.message)
        records = taken_in(feed.fetch_snapshot)
    log.event("info", "initialised", consumer=str(consumer), offset=snapshot.offset, records=records)


def _taken_in(
    get: _Get,
    step: Initialise,
    consumer: Consumer,
    writer: Writer,
    clock: Clock,
    log: Log,
    *,
    by_itself: bool,
) -> int:
    """The number of records; what `get` gives is loaded, and remembered when it is no good."""
    snapshot = step.snapshot
    refused_before = writer.state.refused if by_itself else None
    try:
        file = get(snapshot, refused_before, writer.keep_alive)
    except SnapshotRefused as error:
        if error.body is not None:
            refused = RefusedSnapshot(snapshot.link, *error.body, error.message)
            writer.save(snapshot_refused(writer.state, refused))
        raise
    with closing(file):
        try:
            records = _load(step, consumer, writer, file, clock, log)
        except SnapshotRefused as error:
            writer.save(snapshot_refused(writer.state, file.as_refused(error.message)))
            file.discard()
            raise
        file.discard()
    return records


def _load(
    step: Initialise, consumer: Consumer, writer: Writer, file: SnapshotFile, clock: Clock, log: Log
) -> int:
    # A feed that goes on while it writes a snapshot may put a record into it that is newer than the
    # snapshot's offset; one that is newer than the feed itself is an error.
    known = 0 if step.snapshot.exact else writer.state.last_offset or 0
    highest = max(step.snapshot.offset, known)
    found = kept = 0
    with (
        writer.load(step.snapshot) as load,
        log.progress("load", file.size, "bytes") as progress,
    ):
        for batch in file.records(highest):
            wanted = [record for record in batch if consumer.wants(record.name)]
            load.add(wanted)
            found, kept = found + len(batch), kept + len(wanted)
            progress.reached(file.position)
        if kept == 0:
            raise ConfigurationError(
                f"{consumer}: none of the snapshot's {counted(found, 'record')} has a name that fits "
                f"resources = {list(consumer.resources)}",
                hint=f"mend `resources` of this consumer in the settings, then: {LOAD_ANEW}",
            )
        return load.publish(initialised(writer.state, step.snapshot, consumer, clock.now()))
