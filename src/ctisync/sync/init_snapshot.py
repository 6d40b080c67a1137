"""Initialise: load a snapshot beside the live content, check it, swap."""

from collections.abc import Callable
from contextlib import closing

from ctisync.core.model import Change, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.state import RefusedSnapshot, initialised, snapshot_refused
from ctisync.core.steps import Initialise
from ctisync.core.words import counted
from ctisync.errors import LOAD_ANEW, ConfigurationError, SnapshotChanged, SnapshotRefused
from ctisync.ports import SnapshotFile, Writer
from ctisync.sync.parts import Parts

_Get = Callable[[Snapshot, RefusedSnapshot | None, Callable[[], None]], SnapshotFile]
"""`PassFeed.fetch_snapshot` or `PassFeed.open_snapshot`."""


def init_snapshot(parts: Parts, writer: Writer, step: Initialise) -> None:
    """Fetch the snapshot and make it the live content.

    A `sync` does not fetch a snapshot again that was refused before; `init-snapshot` does.
    Raises SnapshotRefused after storing which snapshot it was; the live content is then unchanged.
    """
    offset = step.snapshot.offset
    parts.event("info", "initialise", snapshot_offset=offset, why=step.why)
    try:
        records = _load_from(parts, writer, step, parts.feed.open_snapshot)
    except SnapshotChanged as error:
        parts.event("info", "load-begun-anew", why=error.message)
        records = _load_from(parts, writer, step, parts.feed.fetch_snapshot)
    parts.event("info", "initialised", offset=offset, records=records)
    parts.report.add_load(offset, records)


def _load_from(parts: Parts, writer: Writer, step: Initialise, get: _Get) -> int:
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
                hint=f"correct `resources` of this consumer in the settings, then: {LOAD_ANEW}",
            )
        stored = load.publish(initialised(writer.state, step.snapshot, consumer, parts.clock.now()))
    if load.ambiguous:
        parts.event("warning", "lines-ambiguous", lines=load.ambiguous)
    return stored


class FileFeed:
    """A `Feed` that offers one snapshot file. It sends no request, and answers nothing else."""

    def __init__(self, file: SnapshotFile) -> None:
        self._file = file

    def fetch_snapshot(
        self, snapshot: Snapshot, refused: RefusedSnapshot | None, keep_alive: Callable[[], None]
    ) -> SnapshotFile:
        return self._file

    open_snapshot = fetch_snapshot

    def tidy(self) -> None:
        """Nothing to do: this pass has not downloaded anything."""

    def consumer_info(self) -> ConsumerInfo:
        raise AssertionError("the pass must not ask the feed")

    def changes(self, offsets: OffsetRange) -> list[Change]:
        raise AssertionError("the pass must not ask the feed")

    def prefetch(self, offsets: OffsetRange) -> None:
        raise AssertionError("the pass must not ask the feed")
