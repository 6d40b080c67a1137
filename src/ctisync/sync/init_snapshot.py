"""Initialise: load a snapshot beside the live content, check it, swap."""

from collections.abc import Callable
from contextlib import closing

from ctisync import hints
from ctisync.core.model import Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.core.steps import Initialise
from ctisync.core.words import counted
from ctisync.errors import ConfigurationError, SnapshotChanged, SnapshotRefused
from ctisync.ports import SnapshotFile, Writer
from ctisync.sync.parts import Parts


def init_snapshot(parts: Parts, writer: Writer, step: Initialise, file: SnapshotFile | None = None) -> None:
    """Make the snapshot the live content; fetch it first, unless it is `file`.

    A `sync` does not fetch a snapshot again that was refused before; `init-snapshot` does.
    Raises SnapshotRefused after storing which snapshot it was; the live content is then unchanged.
    """
    offset = step.snapshot.offset
    parts.event("info", "initialise", snapshot_offset=offset, why=step.why)
    try:
        file = file or _fetched(parts.feed.open_snapshot, parts, writer, step)
        records = _load_file(parts, writer, step, file)
    except SnapshotChanged as error:
        parts.event("info", "load-begun-anew", why=error.message)
        file = _fetched(parts.feed.fetch_snapshot, parts, writer, step)
        records = _load_file(parts, writer, step, file)
    parts.event("info", "initialised", offset=offset, records=records)
    parts.report.add_load(offset, records)


def _fetched(
    fetch: Callable[[Snapshot, RefusedSnapshot | None, Callable[[], None]], SnapshotFile],
    parts: Parts,
    writer: Writer,
    step: Initialise,
) -> SnapshotFile:
    """The snapshot of the step. It is stored as refused if its download shows that it cannot be used."""
    refused_before = writer.state.refused if parts.policy.mode == "sync" else None
    try:
        return fetch(step.snapshot, refused_before, writer.keep_alive)
    except SnapshotRefused as error:
        if error.body is not None:
            refused = RefusedSnapshot(step.snapshot.link, *error.body, error.message)
            writer.save(writer.state.snapshot_refused(refused))
        raise


def _load_file(parts: Parts, writer: Writer, step: Initialise, file: SnapshotFile) -> int:
    """Load the snapshot, close it, and store it as refused if it cannot be used. Returns the number of
    records."""
    with closing(file):
        try:
            records = _load(parts, writer, step, file)
        except SnapshotRefused as error:
            writer.save(writer.state.snapshot_refused(file.as_refused(error.message)))
            file.discard()
            raise
        file.discard()
    return records


def _load(parts: Parts, writer: Writer, step: Initialise, file: SnapshotFile) -> int:
    consumer = parts.consumer
    # A feed may advance while it writes a snapshot, so a record may be newer than the snapshot's offset. A
    # record that is newer than the feed's last offset is an error.
    last_offset = 0 if step.snapshot.exact else writer.state.last_offset or 0
    highest = max(step.snapshot.offset, last_offset)
    total = selected = 0
    with (
        writer.load(step.snapshot) as load,
        parts.log.progress("load", file.size, "bytes") as progress,
    ):
        for batch in file.records(highest):
            records = [record for record in batch if consumer.selects(record.name)]
            load.add(records)
            total, selected = total + len(batch), selected + len(records)
            progress.reached(file.position)
        if selected == 0:
            raise ConfigurationError(
                f"{consumer}: no record of the snapshot ({counted(total, 'record')}) has a name that "
                f"matches resources = {list(consumer.resources)}",
                hint=f"correct `resources` of this consumer in the settings, then: {hints.load_anew()}",
            )
        stored = load.publish(writer.state.initialised(step.snapshot, consumer, parts.clock.now()))
    if load.ambiguous:
        parts.event("warning", "lines-ambiguous", lines=load.ambiguous)
    return stored
