"""The files of a mirror folder, as its one publisher writes them.

Each file appears whole, under its last name. Only the head is ever replaced, so a reader has the last state
or the next one.
"""

import errno
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.manifest import (
    FORMAT,
    HEAD,
    LONGEST_MANIFEST,
    SIGNATURE,
    Head,
    Manifest,
    MirrorFile,
    WrongMirror,
    encoded,
    manifest_name,
    safe_name,
)
from ctisync.core.model import Consumer, Moment
from ctisync.core.publication import publication
from ctisync.core.state import ConsumerState
from ctisync.errors import StoreUnavailable
from ctisync.escaping import quoted
from ctisync.ports import Clock, Log
from ctisync.system.files import add_file, atomic_write, size_and_digest

_OURS: Final = re.compile(
    r"(?:c-\d+-\d+-[0-9a-f]{32}\.zst|m-\d+-[0-9a-f]{32}\.json(?:\.minisig)?|s-[0-9a-f]{32}_.*|\..*\.part)"
)
_STAYS: Final = timedelta(days=1)
"""A file that no manifest names any more stays this long: a reader may have just read an older head."""
_TRIES: Final = 20
_PAUSE: Final = 0.25
"""Seconds between two tries to replace the head, which SMB refuses while a reader has it open."""
_IN_USE: Final = (errno.EACCES, errno.EBUSY, errno.EPERM, errno.ETXTBSY)


Sign = Callable[[bytes, str], bytes | None]
"""Returns the signature of a manifest (its text, and its name), None to publish it without one."""


class Notes(msgspec.Struct, frozen=True):
    """What the publisher remembers between passes, beside the folder's content.

    `feed`: the cool-down, and the snapshot that was refused. `draft`: of a pass that has not published yet.
    `before`: the last manifest and its files. `unnamed`: since when no recent manifest names a file.
    """

    feed: ConsumerState = ConsumerState()
    draft: Manifest | None = None
    before: tuple[str, ...] = ()
    unnamed: Mapping[str, Moment] = {}


_notes_decoder: Final = msgspec.json.Decoder(Notes)


class MirrorFolder:
    """The folder of one consumer below `root`. Raises StoreUnavailable if it cannot be read or written."""

    def __init__(self, root: Path, consumer: Consumer, clock: Clock, log: Log) -> None:
        self._consumer = consumer
        self._clock = clock
        self._log = log
        context, name = safe_name(consumer.context), safe_name(consumer.name)
        self.path = root / context / name
        self._own = root / ".ctisync"
        self.lock = self._own / f"{context}.{name}.lock"
        self._notes = self.lock.with_suffix(".json")
        self.written = 0
        self._is_unsynced = False

    def make(self) -> None:
        """Create what is missing of the folder; before the lock is taken."""
        with self._errors():
            self.path.mkdir(parents=True, exist_ok=True)
            self._own.mkdir(mode=0o700, exist_ok=True)

    def manifest(self) -> Manifest | None:
        """The published one; None before the first."""
        with self._errors():
            if not (self.path / HEAD).exists():
                return None
            return publication(self._read, str(self._consumer)).manifest

    def _read(self, name: str, most: int) -> bytes:
        with (self.path / name).open("rb") as file:
            return file.read(most + 1)

    def has(self, names: Collection[str]) -> bool:
        """Whether these files are there."""
        return all((self.path / name).exists() for name in names)

    def notes(self) -> Notes:
        """Empty if they are lost, which costs a download or leaves files a day longer."""
        with suppress(OSError, *UNDECODABLE):
            return decode_as(self._notes.read_bytes(), _notes_decoder)
        return Notes()

    def remember(self, notes: Notes) -> None:
        with (
            self._errors(),
            atomic_write(self._notes, mode=0o600, unsynced=self._warn_unsynced) as file,
        ):
            file.write(msgspec.json.encode(notes))

    def add(self, name: str, content: bytes) -> None:
        """Write a file that is named by its content; one that is there already stays."""
        target = self.path / name
        with self._errors():
            if not _holds(target, content):
                self._write(target, content)
                self.written += len(content)

    def digest(self, source: Path, meanwhile: Callable[[], None]) -> tuple[int, str]:
        """Size and SHA-256 of a file of the lock's folder."""
        with self._errors():
            return size_and_digest(source, meanwhile)

    def move_here(self, source: Path, name: str) -> None:
        """Add a file of the lock's folder."""
        with self._errors():
            self.written += source.stat().st_size
            add_file(source, self.path / name, self._warn_unsynced)

    def publish(self, manifest: Manifest, sign: Sign) -> str:
        """Write the manifest and its signature, then the head: from here on readers see it. Returns the
        manifest's name."""
        text = encoded(manifest)
        if len(text) > LONGEST_MANIFEST:
            raise StoreUnavailable(
                f"the manifest of the mirror would have {len(text)} bytes, more than readers accept",
                hint="set mirror.keep_changes lower, or mirror to a new folder",
            )
        digest = hashlib.sha256(text).hexdigest()
        name = manifest_name(manifest.serial, digest)
        self.add(name, text)
        if (signature := sign(text, name)) is not None:
            self.add(f"{name}{SIGNATURE}", signature)
        head = encoded(Head(format=FORMAT, manifest=MirrorFile(name=name, size=len(text), sha256=digest)))
        with self._errors():
            for left in reversed(range(_TRIES)):
                try:
                    if not _holds(self.path / HEAD, head):  # else web servers would give it another ETag
                        self._write(self.path / HEAD, head)
                    break
                except OSError as error:
                    if not left or error.errno not in _IN_USE:
                        raise
                    self._clock.sleep(_PAUSE)
        return name

    def tidy(self, named: Collection[str], notes: Notes) -> Notes:
        """Remove what neither this manifest (`named`: its files, and itself) nor the last one has named for a
        day. Returns the notes with what is to be removed later."""
        now = self._clock.now()
        recent = {HEAD, *named, *notes.before}
        unnamed: dict[str, datetime] = {}
        with self._errors():
            for path in self.path.iterdir():
                if path.name.removesuffix(SIGNATURE) in recent or not _OURS.fullmatch(path.name):
                    continue
                since = min(notes.unnamed.get(path.name, now), now)
                if now - since >= _STAYS:
                    path.unlink(missing_ok=True)
                else:
                    unnamed[path.name] = since
        return replace(notes, before=tuple(sorted(named)), unnamed=unnamed)

    def _write(self, target: Path, content: bytes) -> None:
        with atomic_write(target, unsynced=self._warn_unsynced) as file:
            file.write(content)

    def _warn_unsynced(self, error: OSError) -> None:
        """Once: after a power failure a file may be damaged, which each reader notices."""
        if not self._is_unsynced:
            self._is_unsynced = True
            why = error.strerror or str(error)
            self._log.event("warning", "mirror-not-synced", consumer=str(self._consumer), why=why)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except WrongMirror as error:
            raise StoreUnavailable(
                f"the mirror {self.path} is damaged: {error}",
                hint=f"rm {quoted(self.path / HEAD)}; then run the same command again (it publishes anew)",
            ) from None
        except OSError as error:
            raise StoreUnavailable(
                f"cannot write the mirror {error.filename or self.path}: {error.strerror}",
                hint=f"check permissions and free disk space: df -h {quoted(self.path)}",
            ) from error


def _holds(path: Path, content: bytes) -> bool:
    with suppress(FileNotFoundError):
        return path.read_bytes() == content
    return False
