"""Initialise: load a snapshot beside the live content, check it, swap."""

from collections.abc import Callable
from contextlib import closing

from ctisync.core.model import Snapshot
from ctisync.core.state import RefusedSnapshot, initialised, snapshot_refused
from ctisync.core.steps import Initialise
from ctisync.core.words import counted
from ctisync.errors import LOAD_ANEW, ConfigurationError, SnapshotChanged, SnapshotRefused
from ctisync.ports import SnapshotFile, Writer
from ctisync.sync.parts import Parts

_Get = Callable[[Snapshot, RefusedSnapshot | None, Callable[[], None]], SnapshotFile]
"""`Feed.fetch_snapshot` or `Feed.open_snapshot`."""


def init_snapshot(parts: Parts, writer: Writer, step: Initialise) -> None:
    """Fetch the snapshot and make it the live content.

    A `sync` does not fetch a snapshot again that was refused before; `init-snapshot` does.
    Raises SnapshotRefused after storing which snapshot it was; the live content is then unchanged.
    """
    said, offset = str(parts.consumer), step.snapshot.offset
    parts.log.event("info", "initialise", consumer=said, snapshot_offset=offset, why=step.why)
    try:
        records = _taken_in(parts, writer, step, parts.feed.open_snapshot)
    except SnapshotChanged as error:
        parts.log.event("info", "load-begun-anew", consumer=said, why=error.message)
        records = _taken_in(parts, writer, step, parts.feed.fetch_snapshot)
    parts.log.event("info", "initialised", consumer=said, offset=offset, records=records)
    parts.report.initialised(offset, records)


def _taken_in(parts: Parts, writer: Writer, step: Initialise, get: _Get) -> int:
    """Load the snapshot that `get` returns, and store it as refused if it cannot be used. Returns the number
    of records."""
    snapshot = step.snapshot
    refused_before = writer.state.refused if parts.policy.mode == "sync" else None
    try:
        file = get(snapshot, refused_before, writer.keep_alive)
    except SnapshotRefused as error:
        if error.body is not None:
            refused = RefusedSnapshot(snapshot.link, *error.body, error.message)
            writer.save(snapshot_refused(writer.state, refused))
        raise
    with closing(file):
        try:
            records = _load(parts, writer, step, file)
        except SnapshotRefused as error:
            writer.save(snapshot_refused(writer.state, file.as_refused(error.message)))
            file.discard()
            raise
        file.discard()
    return records


def _load(parts: Parts, writer: Writer, step: Initialise, file: SnapshotFile) -> int:
    consumer = parts.consumer
    # A feed may advance while it writes a snapshot, so a record may be newer than the snapshot's offset. A
    # record that is newer than the feed's last offset is an error.
    known = 0 if step.snapshot.exact else writer.state.last_offset or 0
    highest = max(step.snapshot.offset, known)
    found = kept = 0
    with (
        writer.load(step.snapshot) as load,
        parts.log.progress("load", file.size, "bytes") as progress,
    ):
        for batch in file.records(highest):
            wanted = [record for record in batch if consumer.wants(record.name)]
            load.add(wanted)
            found, kept = found + len(batch), kept + len(wanted)
            progress.reached(file.position)
        if kept == 0:
            raise ConfigurationError(
                f"{consumer}: no record of the snapshot ({counted(found, 'record')}) has a name that "
                f"matches resources = {list(consumer.resources)}",
                hint=f"correct `resources` of this consumer in the settings, then: {LOAD_ANEW}",
            )
        records = load.publish(initialised(writer.state, step.snapshot, consumer, parts.clock.now()))
    if load.ambiguous:
        parts.log.event("warning", "lines-ambiguous", consumer=str(consumer), lines=load.ambiguous)
    return records
