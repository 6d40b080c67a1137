"""Snapshots that you pass (`--from`, `--against`): whose they are, their files, and their offsets."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ctisync.cli.invocation import Invocation
from ctisync.core.catalog import (
    OFFSETS,
    Packaged,
    WrongManifest,
    is_manifest,
    manifest_entries,
    owner,
    packaged,
)
from ctisync.core.model import Consumer, Json
from ctisync.errors import SnapshotRefused, UsageError
from ctisync.escaping import quoted
from ctisync.ports import Clock, Log
from ctisync.settings import Settings
from ctisync.system.files import expand_home, open_any
from ctisync.system.process import standard_input

if TYPE_CHECKING:
    from ctisync.ports import Feed, SnapshotFile

_STDIN: Final = "-"
_MANIFEST: Final = "manifest.json"
_LARGEST: Final = 1 << 20
"""Bytes of a manifest; an entry has some hundred."""
_MOST_NAMED: Final = 10


class SnapshotSource(NamedTuple):
    """One snapshot to load: for which consumer, from where (a file, an address, or `-`), and its entry in a
    manifest, if it has one."""

    consumer: Consumer
    location: str
    entry: Packaged | None = None


class _Package:
    """A manifest and the folder that it is in.

    `option`: the option that names the snapshot. `consumers`: those of the call.
    """

    def __init__(self, folder: Path, consumers: Sequence[Consumer], option: str) -> None:
        self._folder = folder
        self._consumers = consumers
        self._option = option
        self.path = folder / _MANIFEST
        self.entries: dict[str, Json] = {}
        self._text = b""

    def read(self) -> bool:
        """False if there is no manifest. Raises SnapshotRefused for one that cannot be used."""
        try:
            with open_any(self.path) as file:
                self._text = file.read(_LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise UsageError(
                f"{self.path} cannot be read: {error.strerror}", hint=f"ls -ld {quoted(self.path)}"
            ) from error
        if len(self._text) > _LARGEST:
            raise self._wrong(f"it has more than {_LARGEST} bytes", "FILE")
        try:
            self.entries = manifest_entries(self._text)
        except WrongManifest as error:
            raise self._wrong(error, "FILE") from None
        return True

    @property
    def is_of_another_program(self) -> bool:
        """Whether nothing in it looks like an entry of a snapshot. Half a manifest does."""
        return not is_manifest(self.entries) and not any(
            f'"{each}"'.encode() in self._text for each in OFFSETS
        )

    def entry(self, file: str) -> Packaged:
        try:
            return packaged(self.entries, file)
        except WrongManifest as error:
            raise self._wrong(error, quoted(self._folder / file), file) from None

    def of(self, consumer: Consumer) -> SnapshotSource | None:
        """The snapshot of the consumer; None without one. Raises UsageError if there are two, or if its file
        is missing."""
        files = [file for file in self.entries if self.entry(file).is_of(consumer)]
        if not files:
            return None
        if len(files) > 1:
            raise UsageError(
                f"{self.path} has {len(files)} snapshots of {consumer}: {', '.join(files)}",
                hint=f"pass the right one: {self._option} {quoted(self._folder / files[0])}",
            )
        (file,) = files
        path = self._folder.absolute() / file  # not `-`, nor `~name`
        if Path(file).name != file or not _is_file(path):
            raise UsageError(
                f"{self.path} names {file}, which is not a file in {self._folder}",
                hint=f"copy all files of the package; check with: ls -l {quoted(self._folder)}",
            )
        return SnapshotSource(consumer, str(path), self.entry(file))

    def contents(self) -> str:
        """What it has, for messages."""
        files = [f"{self.entry(file)} in {file}" for file in sorted(self.entries)]
        return ", ".join(files[:_MOST_NAMED]) or "nothing"

    def or_offset(self, instead: str, file: str, name: str = "") -> str:
        """A hint: what to do, or, for a load, how to pass the offset. `name`: of the file in the manifest."""
        if self._option != "--from":
            return instead
        entry = self.entries.get(name)
        owners = [each for each in self._consumers if _names(entry, each)] or self._consumers
        consumer = quoted(owners[0]) if len(owners) == 1 else "NAME"
        named = f" --consumer {consumer}" if len(self._consumers) > 1 else ""
        return f"{instead}, or pass its offset: ctisync init-snapshot{named} --from {file} --offset N"

    def _wrong(self, error: object, file: str, name: str = "") -> SnapshotRefused:
        hint = self.or_offset("copy the package again", file, name)
        return SnapshotRefused(f"{self.path}: {error}", hint=hint)


def snapshot_sources(
    location: str, consumers: Sequence[Consumer], *, named: bool, log: Log, option: str
) -> list[SnapshotSource]:
    """The snapshots in a folder with a manifest, or the one file that has an entry in the manifest beside it;
    empty for a file without a manifest, an address of a server, and standard input.

    `named`: the consumers were named on the command line. Raises UsageError if the manifest does not have
    what is wanted, or if nothing is at `location`, and SnapshotRefused for a manifest that cannot be used.
    """
    if location.startswith("file:///"):
        location = url2pathname(urlsplit(location).path)
    if location == _STDIN or "://" in location:
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
    if path.name == _MANIFEST or is_folder:
        sources = _of_folder(path if is_folder else path.parent, consumers, named, log, option)
    else:
        sources = _of_file(path, location, consumers, option)
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
            hint=f"ctisync init-snapshot --from {quoted(path)}",
        )
    return [SnapshotSource(invocation.only_consumer("--from loads"), location)]


def _of_folder(
    folder: Path, consumers: Sequence[Consumer], named: bool, log: Log, option: str
) -> list[SnapshotSource]:
    package = _Package(folder, consumers, option)
    if not package.read():
        raise UsageError(
            f"{folder} is a folder without {_MANIFEST}",
            hint=f"pass one snapshot: {option} {quoted(folder)}/FILE",
        )
    sources = {consumer: package.of(consumer) for consumer in consumers}
    missing = [consumer for consumer, source in sources.items() if source is None]
    if missing and (named or len(missing) == len(sources)):
        raise UsageError(
            f"{package.path} has no snapshot of {missing[0]}; it has {package.contents()}",
            hint="set context and consumer in consumers as the package has them, or pass another package",
        )
    for consumer in missing:
        log.event("warning", "not-in-package", consumer=consumer, file=package.path)
    return [source for source in sources.values() if source is not None]


def _of_file(path: Path, location: str, consumers: Sequence[Consumer], option: str) -> list[SnapshotSource]:
    package = _Package(path.parent, consumers, option)
    try:
        if not package.read() or package.is_of_another_program:
            return []
    except SnapshotRefused:
        if package.is_of_another_program:
            return []
        raise
    if path.name not in package.entries:
        names = ", ".join(sorted(package.entries)[:_MOST_NAMED])
        raise UsageError(
            f"{package.path} has no entry for {path.name}; it has {names}",
            hint=package.or_offset("give the file its name in the manifest", quoted(path)),
        )
    entry = package.entry(path.name)
    owner_of_file = next((each for each in consumers if entry.is_of(each)), None)
    if owner_of_file is None:
        expected = ", ".join(map(str, consumers))
        raise UsageError(
            f"{path.name} is a snapshot of {entry}, not of {expected} (by {package.path})",
            hint=f"pass the snapshot of {quoted(consumers[0])}, or add {quoted(entry)} to consumers",
        )
    return [SnapshotSource(owner_of_file, location, entry)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # too long a name, a folder that cannot be searched
        return False


def _names(entry: Json, consumer: Consumer) -> bool:
    """Whether an entry, which may be wrong otherwise, is of the consumer."""
    return isinstance(entry, dict) and owner(entry) == (consumer.context, consumer.name)


def file_here(source: SnapshotSource, settings: Settings, clock: Clock) -> "SnapshotFile | None":
    """The snapshot, if it is a file; None for an address and for standard input. Raises UsageError if it
    cannot be read."""
    from ctisync.wiring import opened_snapshot_file

    location = source.location
    if location == _STDIN or "://" in location:
        return None
    return opened_snapshot_file(expand_home(Path(location), "--from"), settings, source.consumer, clock)


def fetched(feed: "Feed", location: str) -> "SnapshotFile":
    """The snapshot from an address or standard input, as a file."""
    if location == _STDIN:
        return feed.store_stream(standard_input(), location)
    return feed.fetch_from(location, keep_alive=lambda: None)


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
        name = "standard input" if location == _STDIN else shown(location)
        raise SnapshotRefused(f"{name}: {error.message}", hint=hint) from error


def offset_of(file: "SnapshotFile", source: SnapshotSource, log: Log) -> int:
    """The offset of the snapshot, from its manifest, names or lines; logs how it was found."""
    from ctisync.feed.snapshot.file import snapshot_offset

    packaged = None if source.entry is None else source.entry.offset
    try:
        offset, origin = snapshot_offset(file, source.location, packaged)
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
