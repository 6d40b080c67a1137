"""Snapshots that you pass (`--from`, `--against`): whose they are, their files, and their offsets."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from ctisync import hints
from ctisync.cli.invocation import Invocation
from ctisync.core.catalog import (
    Packaged,
    WrongManifest,
    manifest_entries,
    mentions_snapshots,
    owner,
    packaged,
)
from ctisync.core.model import Consumer, Json
from ctisync.errors import SnapshotRefused, UsageError
from ctisync.escaping import quoted
from ctisync.ports import Feed, Log, SnapshotFile
from ctisync.system.files import expand_home, open_any
from ctisync.system.process import standard_input
from ctisync.wiring import opened_snapshot_file

_STDIN: Final = "-"
_MANIFEST: Final = "manifest.json"
_LARGEST: Final = 1 << 20
"""Bytes of a manifest; an entry has some hundred."""
_MOST_NAMED: Final = 10


class SnapshotSource(NamedTuple):
    """One snapshot: for which consumer, from where (a file, an address, or `-`), its entry in a manifest, and
    the offset that you pass for it, if there is one."""

    consumer: Consumer
    location: str
    entry: Packaged | None = None
    offset: int | None = None

    def open_file(self, invocation: Invocation) -> SnapshotFile | None:
        """The snapshot, if it is a file; None if it needs a download. Raises UsageError if it cannot be
        read."""
        if _is_remote(self.location):
            return None
        path = expand_home(Path(self.location), "--from")
        return opened_snapshot_file(path, invocation.settings, self.consumer, invocation.clock)

    def download(self, feed: Feed) -> SnapshotFile:
        """The snapshot from an address or standard input, as a file."""
        if self.location == _STDIN:
            return feed.store_stream(standard_input(), self.location)
        return feed.fetch_from(self.location, keep_alive=lambda: None)

    def offset_of(self, file: SnapshotFile) -> tuple[int, str]:
        """The offset of the snapshot, and where it is from, as in `snapshot_offset`."""
        from ctisync.feed.snapshot.file import snapshot_offset  # `--help` needs none of it

        return snapshot_offset(file, self.location, None if self.entry is None else self.entry.offset)


def snapshot_sources(
    location: str, consumers: Sequence[Consumer], *, named: bool, log: Log, option: str
) -> list[SnapshotSource]:
    """The snapshots in a folder with a manifest, or the one file that has an entry in the manifest beside it;
    empty for a file without a manifest, an address of a server, and standard input.

    `named`: the consumers were named on the command line. Raises UsageError if the manifest does not have
    what is wanted, or if nothing is at `location`, and SnapshotRefused for a manifest that cannot be used.
    """
    if location.startswith("file:///"):
        location = unquote(urlsplit(location).path)
    if _is_remote(location):
        return []
    if not location:
        raise UsageError(f"{option} is empty", hint=f"pass a file, a folder or an address to {option}")
    path = expand_home(Path(location), option)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:  # ValueError: a null byte, as in file:///%00
        raise UsageError(
            f"the snapshot {path} cannot be read: {getattr(error, 'strerror', error)}",
            hint=f"pass a readable file or an address to {option}",
        ) from error
    package = _Package(path if is_folder else path.parent, consumers, option)
    if is_folder or path.name == _MANIFEST:
        sources = package.sources(named=named, log=log)
    else:
        sources = package.source_of_file(path, location)
    for each in sources:
        log.event("info", "package-read", consumer=each.consumer, file=each.location)
    return sources


def sources_to_load(invocation: Invocation, location: str, offset: int | None) -> list[SnapshotSource]:
    """The snapshots to load. An offset that you pass counts more than a manifest, which is then not read."""
    if offset is None:
        consumers, named, log = invocation.consumers, invocation.named, invocation.console
        if sources := snapshot_sources(location, consumers, named=named, log=log, option="--from"):
            return sources
    elif os.path.isdir(path := expand_home(Path(location), "--from")):  # noqa: PTH112  # for any name
        raise UsageError(
            f"--offset is the offset of one snapshot, and {path} is a folder",
            hint=hints.command("init-snapshot", f"--from {quoted(path)}"),
        )
    return [SnapshotSource(invocation.only_consumer("--from loads"), location, offset=offset)]


def _is_remote(location: str) -> bool:
    """Whether it is an address or standard input, not a file or a folder."""
    return location == _STDIN or "://" in location


class _Package:
    """A folder, and the manifest of the snapshots in it. `consumers`: those of the call; `option`: the one
    that names the folder, or a file in it."""

    def __init__(self, folder: Path, consumers: Sequence[Consumer], option: str) -> None:
        self._folder = folder
        self._consumers = consumers
        self._option = option
        self._path = folder / _MANIFEST

    def sources(self, *, named: bool, log: Log) -> list[SnapshotSource]:
        """The snapshots of the consumers. One without a snapshot is left out, unless it is `named`."""
        text = self._read()
        if text is None:
            raise UsageError(
                f"{self._folder} is a folder without {_MANIFEST}",
                hint=f"pass one snapshot: {self._option} {quoted(self._folder)}/FILE",
            )
        entries = self._entries(text)
        packages = {file: self._entry(entries, file) for file in entries}
        sources = [each for one in self._consumers for each in self._source_of(one, packages)]
        owners = {each.consumer for each in sources}
        missing = [each for each in self._consumers if each not in owners]
        if missing and (named or not sources):
            contents = [f"{packages[file]} in {file}" for file in sorted(packages)]
            raise UsageError(
                f"{self._path} has no snapshot of {missing[0]}; it has "
                f"{', '.join(contents[:_MOST_NAMED]) or 'nothing'}",
                hint="set context and consumer in consumers as the package has them, or pass another package",
            )
        for consumer in missing:
            log.event("warning", "not-in-package", consumer=consumer, file=self._path)
        return sources

    def source_of_file(self, path: Path, location: str) -> list[SnapshotSource]:
        """The snapshot in the file, by its entry; none without a manifest, or beside that of another
        program."""
        text = self._read()
        if text is None or not mentions_snapshots(text):
            return []
        entries = self._entries(text)
        if path.name not in entries:
            raise UsageError(
                f"{self._path} has no entry for {path.name}; it has "
                f"{', '.join(sorted(entries)[:_MOST_NAMED])}",
                hint=self._or_offset("give the file its name in the manifest", quoted(path)),
            )
        entry = self._entry(entries, path.name)
        for consumer in self._consumers:
            if entry.is_of(consumer):
                return [SnapshotSource(consumer, location, entry)]
        raise UsageError(
            f"{path.name} is a snapshot of {entry}, not of {', '.join(map(str, self._consumers))} "
            f"(by {self._path})",
            hint=f"pass the snapshot of {quoted(self._consumers[0])}, or add {quoted(entry)} to consumers",
        )

    def _source_of(self, consumer: Consumer, packages: dict[str, Packaged]) -> list[SnapshotSource]:
        """The snapshot of the consumer, if there is one."""
        files = [file for file, entry in packages.items() if entry.is_of(consumer)]
        if not files:
            return []
        if len(files) > 1:
            raise UsageError(
                f"{self._path} has {len(files)} snapshots of {consumer}: {', '.join(files)}",
                hint=f"pass the right one: {self._option} {quoted(self._folder / files[0])}",
            )
        file = files[0]
        path = self._folder.absolute() / file  # not `-`, nor `~name`
        if Path(file).name != file or not os.path.isfile(path):  # noqa: PTH113  # for any name
            raise UsageError(
                f"{self._path} names {file}, which is not a file in {self._folder}",
                hint=f"copy all files of the package; check with: ls -l {quoted(self._folder)}",
            )
        return [SnapshotSource(consumer, str(path), packages[file])]

    def _read(self) -> bytes | None:
        """The text of the manifest; None without one."""
        try:
            with open_any(self._path) as file:
                return file.read(_LARGEST + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(
                f"{self._path} cannot be read: {error.strerror}", hint=f"ls -ld {quoted(self._path)}"
            ) from error

    def _entries(self, text: bytes) -> dict[str, Json]:
        if len(text) > _LARGEST:
            raise self._wrong(f"it has more than {_LARGEST} bytes", "FILE")
        try:
            return manifest_entries(text)
        except WrongManifest as error:
            raise self._wrong(error, "FILE") from None

    def _entry(self, entries: dict[str, Json], file: str) -> Packaged:
        try:
            return packaged(entries, file)
        except WrongManifest as error:
            raise self._wrong(error, quoted(self._folder / file), entries[file]) from None

    def _wrong(self, error: object, file: str, entry: Json = None) -> SnapshotRefused:
        hint = self._or_offset("copy the package again", file, entry)
        return SnapshotRefused(f"{self._path}: {error}", hint=hint)

    def _or_offset(self, instead: str, file: str, entry: Json = None) -> str:
        """A hint: what to do, or, for a load, how to pass the offset. `entry`: that of the file, which may be
        wrong."""
        if self._option != "--from":
            return instead
        named = ""
        if len(self._consumers) > 1:
            address = owner(entry) if isinstance(entry, dict) else None
            owners = [quoted(each) for each in self._consumers if (each.context, each.name) == address]
            named = f"--consumer {owners[0] if owners else 'NAME'} "
        load = hints.command("init-snapshot", f"{named}--from {file} --offset N")
        return f"{instead}, or pass its offset: {load}"


@contextmanager
def named_refusals(location: str, option: str, offset: int | None = None) -> Iterator[None]:
    """A refusal of the snapshot that `option` passes names it; the hint says what `option` accepts."""
    from ctisync.feed.http.url_policy import shown

    try:
        yield
    except SnapshotRefused as error:
        hint = (
            f"pass a complete snapshot to {option}: a ZIP, NDJSON lines, or a JSON array of records; "
            "the latter two may be compressed with gzip or zstd"
        )
        if error.limit is not None:
            hint += f"; if this is expected, raise limits.{error.limit}"
        if offset is not None:
            hint += "; set --offset N to the highest offset of its records, or higher"
        name = "standard input" if location == _STDIN else shown(location)
        raise SnapshotRefused(f"{name}: {error.message}", hint=hint) from error


def offset_to_load(source: SnapshotSource, file: SnapshotFile, log: Log) -> int:
    """The offset of the snapshot; logs where it is from, and warns of one that may be too low."""
    if source.offset is not None:
        return source.offset
    try:
        offset, origin = source.offset_of(file)
    except SnapshotRefused:
        file.discard()
        raise
    if source.entry is None and origin == "highest line":
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
