"""A mirror folder as a server has it: the manifest that clients get, and what they were sent before."""

import hashlib
import os
from contextlib import AbstractContextManager, suppress
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final, NamedTuple, Protocol

import msgspec

from ctisync.core.api import Announced, ChangeTexts, announced_by, change_texts, consumer_reply, is_older
from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.manifest import (
    HEAD,
    LONGEST_HEAD,
    LONGEST_SEGMENT,
    Manifest,
    MirroredSnapshot,
    Segment,
    WrongMirror,
    safe_name,
)
from ctisync.core.model import Consumer
from ctisync.core.publication import checked, publication
from ctisync.core.segment import unpacked
from ctisync.core.trust import Trust
from ctisync.core.words import lasting
from ctisync.errors import CtisyncError, FeedRefused
from ctisync.escaping import quoted
from ctisync.ports import Clock, Log
from ctisync.signatures import signer_of
from ctisync.system.files import atomic_write

UNUSABLE: Final = (CtisyncError, WrongMirror)
"""What reading a mirror raises."""

_CACHED: Final = 16
"""Segments whose changes stay in memory: about 1 MB each."""
_PAUSE: Final = 1.0
"""Seconds between two looks at a folder that cannot be used."""

_announced_decoder: Final = msgspec.json.Decoder(Announced)


class ServedFiles(Protocol):
    def opened(self, folders: tuple[str, ...], name: str) -> AbstractContextManager[BinaryIO]:
        """The file of this name in the consumer's folder. Raises FeedUnreachable, FeedRefused."""


class OpenSnapshot:
    """The file of a snapshot, whose digest was checked. It stays open until no request needs it any more: its
    name may then be that of another file, or of none."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.path = f"/dev/fd/{file.fileno()}"

    def __del__(self) -> None:
        self._file.close()


class Loaded(NamedTuple):
    """A manifest, and the reply for its consumer. `snapshots`: those that are served, by their digests."""

    manifest: Manifest
    reply: bytes
    snapshots: dict[str, OpenSnapshot]


class ServedMirror:
    """The mirror of one consumer, for a server that clients reach at `url`. `memory`: the file that remembers
    what they were sent. `loaded`: None before the first manifest."""

    def __init__(
        self,
        files: ServedFiles,
        consumer: Consumer,
        url: str,
        memory: Path,
        trust: Trust,
        clock: Clock,
        log: Log,
    ) -> None:
        self.consumer, self.url, self.memory, self.trust = consumer, url, memory, trust
        self.loaded: Loaded | None = None
        self.announced = Announced(0, 0, None)
        self.texts = lru_cache(_CACHED)(self._texts)
        self._files, self._clock, self._log = files, clock, log
        self._folders = (safe_name(consumer.context), safe_name(consumer.name))
        self._refreshing = Lock()
        self._head = b""
        self._checked: set[str] = set()
        self._trouble: str | None = None
        self._next_try = 0.0

    @property
    def trouble(self) -> str | None:
        """Why clients are to wait; None if they need not."""
        if self._trouble is not None or self.loaded is None:
            return self._trouble or "the mirror was not read yet"
        age, most = self._clock.now() - self.loaded.manifest.checked_at, self.trust.max_age
        if most is not None and age > most:
            return f"the feed last answered the mirror {lasting(age.total_seconds())} ago"
        return None

    def refresh(self, *, waits: bool = False) -> None:
        """Load what the folder has now, if that is new. An error becomes `trouble`. While another thread does
        it, this one `waits`, or does nothing."""
        if not self._refreshing.acquire(blocking=waits):
            return
        try:
            if self._trouble is None or self._clock.monotonic() >= self._next_try:
                self._refresh(self._trouble)
        finally:
            self._refreshing.release()

    def blame(self) -> None:
        """A file that was there cannot be read: the next `refresh` checks all of them."""
        if self._trouble is None:
            self._trouble, self._next_try = "a file cannot be read", 0.0
            self._checked = set()

    def _refresh(self, before: str | None) -> None:
        try:
            head = self._read(HEAD, LONGEST_HEAD)
            if head != self._head or before is not None:
                self._load()
            self._head, self._trouble = head, None
        except UNUSABLE as error:
            self._trouble, self._next_try = str(error), self._clock.monotonic() + _PAUSE
            if before != self._trouble:
                hint = getattr(error, "hint", None)
                self._log.event(
                    "warning", "serve-waits", consumer=str(self.consumer), why=self._trouble, hint=hint
                )

    def _load(self) -> None:
        verify = partial(signer_of, keys=self.trust.keys) if self.trust.keys else None
        manifest = publication(self._read, str(self.consumer), verify).manifest
        self.announced, new = self._remembered(), announced_by(manifest)
        if is_old := is_older(new, self.announced):
            self._trouble = "the mirror is an older copy"  # before a request meets it
        if not is_old or self.loaded is None:
            self.loaded = Loaded(manifest, consumer_reply(manifest, self.url), self._checked_files(manifest))
        if is_old:
            raise FeedRefused(
                f"the mirror is an older copy: its last offset is {new.last_offset}, but clients were sent "
                f"{self.announced.last_offset}",
                hint=f"copy the mirror again; or, to let clients go back: rm {quoted(self.memory)}",
            )
        self._announce(new)

    def _checked_files(self, manifest: Manifest) -> dict[str, OpenSnapshot]:
        """Check those that are new. Returns the newest snapshot, and the others that are open."""
        for segment in manifest.segments:
            if segment.name not in self._checked:
                checked(self._read, segment, LONGEST_SEGMENT)
        snapshots = {} if self.loaded is None else self.loaded.snapshots
        kept = {each.sha256: snapshots.get(each.sha256) for each in manifest.snapshots}
        newest = manifest.snapshots[-1]
        kept[newest.sha256] = kept[newest.sha256] or self._opened(newest)
        self._checked = manifest.files
        return {digest: snapshot for digest, snapshot in kept.items() if snapshot is not None}

    def _opened(self, snapshot: MirroredSnapshot) -> OpenSnapshot:
        with self._files.opened(self._folders, snapshot.name) as stream:
            is_whole = os.fstat(stream.fileno()).st_size == snapshot.size
            file = os.fdopen(os.dup(stream.fileno()), "rb")
            opened = OpenSnapshot(file)
            if not is_whole or hashlib.file_digest(file, "sha256").hexdigest() != snapshot.sha256:
                raise WrongMirror(
                    f"{snapshot.name} is damaged: it has not the size and digest that it should"
                )
        return opened

    def _remembered(self) -> Announced:
        with suppress(OSError, *UNDECODABLE):
            return decode_as(self.memory.read_bytes(), _announced_decoder)
        return Announced(0, 0, None)

    def _announce(self, new: Announced) -> None:
        consumer = str(self.consumer)
        self._log.event("info", "serve-loaded", consumer=consumer, serial=new.serial, offset=new.last_offset)
        self.announced = new
        try:
            with atomic_write(self.memory, mode=0o600) as file:
                file.write(msgspec.json.encode(new))
        except OSError as error:
            why = f"{self.memory}: {error.strerror}"
            self._log.event("warning", "serve-not-remembered", consumer=consumer, why=why)

    def _texts(self, segment: Segment, with_empties: bool) -> ChangeTexts:  # of a cache
        """Raises `UNUSABLE`."""
        content = checked(self._read, segment, LONGEST_SEGMENT)
        return change_texts(unpacked(content, segment), with_empties=with_empties)

    def _read(self, name: str, most: int) -> bytes:
        with self._files.opened(self._folders, name) as file:
            return file.read(most + 1)
