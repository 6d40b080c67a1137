"""`init-snapshot --from`: load a given snapshot, without a request to the feed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ctisync.commands.package import Given
from ctisync.commands.passes import Run, run_passes
from ctisync.core.model import Snapshot
from ctisync.core.pass_report import Ended
from ctisync.errors import FeedRefused, SnapshotRefused, UsageError
from ctisync.ports import Clock, Log
from ctisync.settings import Settings
from ctisync.sync.parts import Parts
from ctisync.system.files import own_path
from ctisync.system.process import standard_input

if TYPE_CHECKING:
    from ctisync.feed.client import CtiFeed
    from ctisync.feed.snapshot.file import LocalSnapshot

STDIN: Final = "-"


def load_from(run: Run, loads: Sequence[Given], offset: int | None) -> int:
    """Make the records of each given snapshot the live content of its consumer; returns the exit code of the
    passes.

    A source is a file, an address, or `-` for standard input.
    `offset` is the offset of the snapshot; None: the one in its manifest, or in the name of the file or its
    member, else the highest offset of its lines. Raises UsageError for a file that cannot be read.
    """
    from ctisync.sync.load_given import load_given

    by_consumer = {one.consumer: (one, file_here(one.source, run.settings, run.clock)) for one in loads}

    def one_pass(parts: Parts, feed: "CtiFeed") -> Ended:
        given, here = by_consumer[parts.consumer]
        source = given.source
        with named_refusals(source, "--from", offset):
            file = here or fetched(feed, source)
            feed.check_room(file)
            found = offset_of(file, given, parts.log) if offset is None else offset
            _check_offset(found, parts.store.read_state(parts.consumer).last_offset, run.settings)
            snapshot = Snapshot.announced(source, found) if here is None else Snapshot(source, found)
            ended = load_given(parts, file, msgspec.structs.replace(snapshot, exact=offset is not None))
            if ended.error is not None:
                raise ended.error
        return ended

    return run_passes(run, list(by_consumer), one_pass)


def file_here(source: str, settings: Settings, clock: Clock) -> "LocalSnapshot | None":
    """The snapshot, if it is a file; None for an address and for standard input. Raises UsageError if it
    cannot be read."""
    from ctisync.feed.http.budget import PassLimits
    from ctisync.feed.snapshot.file import open_given

    pass_limits = PassLimits(clock, settings.limits)
    if source == STDIN or "://" in source:
        return None
    return open_given(own_path(Path(source), "--from"), pass_limits)


def fetched(feed: "CtiFeed", source: str) -> "LocalSnapshot":
    """The snapshot from an address or standard input, as a file."""
    if source == STDIN:
        return feed.take_in(standard_input(), source)
    return feed.fetch_given(source, keep_alive=lambda: None)


@contextmanager
def named_refusals(source: str, option: str, offset: int | None = None) -> Iterator[None]:
    """An error about the snapshot given with `option` names it; the hint says what `option` accepts."""
    from ctisync.feed.http.url_policy import shown

    try:
        yield
    except UsageError as error:  # its message names --from
        hint = None if error.hint is None else error.hint.replace("--from", option)
        raise UsageError(error.message.replace("--from", option), hint=hint) from error
    except SnapshotRefused as error:
        hint = (
            f"pass a complete snapshot to {option}: a ZIP, NDJSON lines, or a JSON array of records; "
            "the latter two may be compressed with gzip or zstd"
        )
        if error.limit is not None:
            hint += f"; if this is expected, raise limits.{error.limit}"
        if offset is not None:
            hint += "; set --offset N to the highest offset of its records, or higher"
        named = "standard input" if source == STDIN else shown(source)
        raise SnapshotRefused(f"{named}: {error.message}", hint=hint) from error


def _check_offset(offset: int, last_known: int | None, settings: Settings) -> None:
    """Raises FeedRefused for an implausible offset: later passes would miss the changes up to it."""
    most = settings.limits.offsets_ahead
    if last_known is not None and offset > last_known + most:
        raise FeedRefused(
            f"offset {offset} of the snapshot is more than {most} above the last known offset of the feed, "
            f"{last_known} (limits.offsets_ahead)",
            hint="pass the correct offset: ctisync init-snapshot --from FILE --offset N; if it is correct, "
            "raise limits.offsets_ahead",
        )


def offset_of(file: "LocalSnapshot", given: Given, log: Log) -> int:
    """The offset of the snapshot, from its manifest, names or lines; logs how it was found."""
    from ctisync.feed.snapshot.file import given_offset

    packaged = None if given.entry is None else given.entry.offset
    try:
        offset, told_by = given_offset(file, given.source, packaged)
    except SnapshotRefused:
        file.discard()
        raise
    if packaged is None and told_by == "highest line":
        log.event(
            "warning",
            "offset-guessed",
            offset=offset,
            why="no file name contains it; the highest offset of the lines may be too low, because deletes "
            "leave no line; pass --offset N",
        )
    else:
        log.event("info", "offset-found", offset=offset, told_by=told_by)
    return offset
