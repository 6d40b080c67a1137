"""`init-snapshot --from`: load a snapshot that you pass, without a request to the feed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ctisync.commands.invocation import Invocation
from ctisync.commands.package import SnapshotSource
from ctisync.commands.passes import run_passes
from ctisync.core.model import Snapshot
from ctisync.core.pass_report import Ended
from ctisync.errors import FeedRefused, SnapshotRefused, UsageError
from ctisync.ports import Clock, Log
from ctisync.settings import Settings
from ctisync.sync.parts import Parts
from ctisync.system.files import expand_home
from ctisync.system.process import standard_input

if TYPE_CHECKING:
    from ctisync.feed.client import CtiFeed
    from ctisync.feed.snapshot.file import LocalSnapshot

STDIN: Final = "-"


def load_from(invocation: Invocation, sources: Sequence[SnapshotSource], offset: int | None) -> int:
    """Make the records of each snapshot the live content of its consumer; returns the exit code of the
    passes.

    `offset` is the offset of the snapshot; None: the one in its manifest, or in the name of the file or its
    member, else the highest offset of its lines. Raises UsageError for a file that cannot be read.
    """
    from ctisync.sync.run_pass import load_file

    settings = invocation.settings
    files = {each.consumer: file_here(each.location, settings, invocation.clock) for each in sources}
    by_consumer = {each.consumer: each for each in sources}

    def one_pass(parts: Parts, feed: "CtiFeed") -> Ended:
        source, here = by_consumer[parts.consumer], files[parts.consumer]
        location = source.location
        with named_refusals(location, "--from", offset):
            file = here or fetched(feed, location)
            feed.check_room(file)
            at = offset_of(file, source, parts.log) if offset is None else offset
            _check_offset(at, parts.store.read_state(parts.consumer).last_offset, settings)
            snapshot = Snapshot.announced(location, at) if here is None else Snapshot(location, at)
            ended = load_file(parts, file, msgspec.structs.replace(snapshot, exact=offset is not None))
            if ended.error is not None:
                raise ended.error
        return ended

    return run_passes(msgspec.structs.replace(invocation, consumers=tuple(by_consumer)), one_pass)


def file_here(location: str, settings: Settings, clock: Clock) -> "LocalSnapshot | None":
    """The snapshot, if it is a file; None for an address and for standard input. Raises UsageError if it
    cannot be read."""
    from ctisync.feed.http.budget import PassLimits
    from ctisync.feed.snapshot.file import open_given

    pass_limits = PassLimits(clock, settings.limits)
    if location == STDIN or "://" in location:
        return None
    return open_given(expand_home(Path(location), "--from"), pass_limits)


def fetched(feed: "CtiFeed", location: str) -> "LocalSnapshot":
    """The snapshot from an address or standard input, as a file."""
    if location == STDIN:
        return feed.take_in(standard_input(), location)
    return feed.fetch_given(location, keep_alive=lambda: None)


@contextmanager
def named_refusals(location: str, option: str, offset: int | None = None) -> Iterator[None]:
    """An error about the snapshot that `option` passes names it; the hint says what `option` accepts."""
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
        name = "standard input" if location == STDIN else shown(location)
        raise SnapshotRefused(f"{name}: {error.message}", hint=hint) from error


def _check_offset(offset: int, last_offset: int | None, settings: Settings) -> None:
    """Raises FeedRefused for an implausible offset: later passes would miss the changes up to it."""
    most = settings.limits.offsets_ahead
    if last_offset is not None and offset > last_offset + most:
        raise FeedRefused(
            f"offset {offset} of the snapshot is more than {most} above the last known offset of the feed, "
            f"{last_offset} (limits.offsets_ahead)",
            hint="pass the correct offset: ctisync init-snapshot --from FILE --offset N; if it is correct, "
            "raise limits.offsets_ahead",
        )


def offset_of(file: "LocalSnapshot", source: SnapshotSource, log: Log) -> int:
    """The offset of the snapshot, from its manifest, names or lines; logs how it was found."""
    from ctisync.feed.snapshot.file import given_offset

    packaged = None if source.entry is None else source.entry.offset
    try:
        offset, origin = given_offset(file, source.location, packaged)
    except SnapshotRefused:
        file.discard()
        raise
    if packaged is None and origin == "highest line":
        log.event(
            "warning",
            "offset-guessed",
            offset=offset,
            why="no file name contains it; the highest offset of the lines may be too low, because deletes "
            "leave no line; pass --offset N",
        )
    else:
        log.event("info", "offset-found", offset=offset, told_by=origin)
    return offset
