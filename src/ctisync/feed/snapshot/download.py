"""The download of one snapshot, which resumes where this pass or an earlier one was interrupted.

A part is resumed only if the server confirms by a strong ETag that the file is the same (RFC 9110, 13.1.5: a
weak one is no validator for ranges).
"""

import errno
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Annotated, BinaryIO, Final, cast

import msgspec
from msgspec import Meta

from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import LOAD_ANEW, SnapshotChanged, SnapshotRefused
from ctisync.feed.http.budget import RetryLater
from ctisync.feed.http.transport import FeedReply
from ctisync.feed.snapshot.records import is_zip
from ctisync.ports import Log
from ctisync.system.files import open_own, open_own_fd, why_untrusted

_PROGRESS: Final = 1 << 20
"""Bytes that count as progress, whose time is not taken from the retry budget."""


_PART: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
"""A Content-Range with numbers that a file can have."""


_LONGEST_NOTE: Final = 1 << 16
"""Bytes of a link, an ETag and a number."""

_LONGEST_ETAG: Final = 512
"""Characters. Servers' own ETags are far shorter, and servers accept far longer headers in a request."""

_ETAG: Final = re.compile(r'^(W/)?"[\x21\x23-\x7e]*"\Z')
"""An entity-tag (RFC 9110, 8.8.3) without obs-text, which programs read differently."""


class Offer(msgspec.Struct, frozen=True):
    """The file that a server offers under a link: its ETag and its size in bytes, None if unknown.

    Later requests contain the ETag, so one that a request cannot contain counts as None.
    """

    link: str
    etag: Annotated[str, Meta(max_length=_LONGEST_ETAG, pattern=_ETAG.pattern)] | None
    size: Annotated[int, Meta(ge=0)] | None

    @property
    def validator(self) -> str | None:
        """The ETag if it is a strong one, by which parts of a file may be joined."""
        return self.etag if self.etag is not None and self.etag.startswith('"') else None


_offer_decoder: Final = msgspec.json.Decoder(Offer)


class Download:
    """The download of one snapshot into its part file. It calls `on_progress` after each MiB.

    `in_use`: the part is already being read, so it must not be replaced.
    """

    def __init__(
        self,
        part: Path,
        link: str,
        refused: RefusedSnapshot | None,
        most_bytes: int,
        log: Log,
        keep_alive: Callable[[], None],
        on_progress: Callable[[], None],
    ) -> None:
        self.part = part
        self.note = part.with_suffix(".json")
        self._link = link
        self._refused = refused
        self._most_bytes = most_bytes
        self._log = log
        self._keep_alive = keep_alive
        self._on_progress = on_progress
        self._offer: Offer | None = None
        self.in_use = False
        self._remove_unfit()
        self._stored = self._read_note()
        if self._stored is None:
            self._remove()

    @property
    def offer(self) -> Offer:
        """The file that is being downloaded, by the first accepted reply."""
        if self._offer is None:
            raise ValueError("no reply was accepted yet")
        return self._offer

    @property
    def have(self) -> int:
        """Bytes that were downloaded so far."""
        try:
            return self.part.lstat().st_size
        except FileNotFoundError:
            return 0

    def request_headers(self) -> dict[str, str]:
        """The headers of the request for the rest of the file.

        If the part is complete, the whole file is requested: the reply's headers show whether it is still
        offered.
        """
        headers = {"Accept-Encoding": "identity"}
        if (stored := self._continued) is not None:
            headers |= {"Range": f"bytes={self.have}-", "If-Range": stored.validator or ""}
        return headers

    def store(self, reply: FeedReply) -> Generator[None]:
        """Store the body, unless the headers show that the part is complete. Yields once after the headers
        were accepted, before the body is read, then after each piece.

        Raises RetryLater if another request with new `request_headers` is needed, SnapshotRefused, before the
        body is read, for the refused snapshot, and SnapshotChanged if the reply has another file than the one
        `in_use`. OSErrors pass unchanged.
        """
        if reply.headers.get("content-encoding", "identity").lower() != "identity":
            raise SnapshotRefused("the server sends the snapshot with an unexpected Content-Encoding")
        offer, start = self._offered(reply)
        self._check_not_refused(offer)
        if offer.size is not None and offer.size > self._most_bytes:
            raise self._too_large(f"the snapshot has {offer.size} bytes", body=None)
        is_complete = self._is_complete(offer)
        if start == 0 and not is_complete:
            self.restart()
            self._write_note(offer)
        if self._offer is None or start == 0:
            self._offer = offer
        self._stored = offer
        if is_complete:
            yield
            return
        yield from self._append(reply, offer, start)
        self._check_end(reply, offer)

    def _offered(self, reply: FeedReply) -> tuple[Offer, int]:
        """The file by the reply's headers, and the position at which its body begins."""
        etag = reply.headers.get("etag")
        if reply.status == 200:
            usable = etag if etag is not None and _is_usable(etag) else None
            return Offer(self._link, usable, _number(reply.headers.get("content-length"))), 0
        have, stored = self.have, self._continued
        if stored is None:
            raise SnapshotRefused(f"the server answers {reply.status} to a request for the whole snapshot")
        content_range = reply.headers.get("content-range", "")
        if etag in (None, stored.etag):
            if reply.status == 416 and content_range == f"bytes */{have}" and stored.size is None:
                return Offer(self._link, stored.etag, have), have
            part = _PART.fullmatch(content_range)
            if reply.status == 206 and part is not None:
                first, last, size = map(int, part.groups())
                if first == have and last == size - 1 and stored.size in (None, size):
                    return Offer(self._link, stored.etag, size), have
        self.restart()
        raise RetryLater(
            f"the server answers {reply.status} with a Content-Range that does not fit the download"
        )

    @property
    def _continued(self) -> Offer | None:
        """The file of the part, if the download can be resumed; None: the whole file is requested."""
        stored = self._stored
        usable = stored is not None and stored.validator is not None and 0 < self.have != stored.size
        return stored if usable else None

    def _check_not_refused(self, offer: Offer) -> None:
        refused = self._refused
        if refused is not None and (offer.link, offer.etag, offer.size) == (
            refused.link,
            refused.etag,
            refused.size,
        ):
            self._remove()
            raise SnapshotRefused(
                f"the feed still offers the refused snapshot: {refused.reason}",
                hint=f"ctisync loads the next one by itself; to retry this one: {LOAD_ANEW}",
            )

    def _is_complete(self, offer: Offer) -> bool:
        """Whether the part is the whole file, by strong ETag and size."""
        stored = self._stored
        same = stored is not None and offer.validator is not None and offer.etag == stored.etag
        return same and offer.size is not None and offer.size == self.have

    def _append(self, reply: FeedReply, offer: Offer, start: int) -> Generator[None]:
        most = self._most_bytes if offer.size is None else offer.size
        if offer.size is not None and shutil.disk_usage(self.part.parent).free < offer.size - start:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {offer.size} bytes")
        have, counted = start, start
        with _writing(self.part, os.O_APPEND) as file:
            try:
                yield
                for chunk in reply.chunks:
                    have += len(chunk)
                    if have > most and offer.size is not None:
                        raise SnapshotRefused(f"the server sends more than the {most} bytes of the snapshot")
                    if have > most:
                        raise self._too_large(
                            f"the server sends more than {most} bytes", body=(offer.etag, offer.size)
                        )
                    file.write(chunk)
                    file.flush()  # so that it can be read
                    self._keep_alive()
                    if have - counted >= _PROGRESS:
                        self._on_progress()
                        counted = have
                    yield
            finally:  # even if it was interrupted: the download is resumed later
                file.flush()
                os.fsync(file.fileno())

    def _too_large(self, what: str, body: tuple[str | None, int | None] | None) -> SnapshotRefused:
        self._remove()
        return SnapshotRefused(
            f"{what}, limits.snapshot_bytes is {self._most_bytes}",
            hint=f"if the feed has grown that much, raise limits.snapshot_bytes, then: {LOAD_ANEW}",
            body=body,
        )

    def _check_end(self, reply: FeedReply, offer: Offer) -> None:
        if offer.size is not None:
            if (have := self.have) < offer.size:
                raise RetryLater(f"the download stopped after {have} of {offer.size} bytes")
        elif "transfer-encoding" not in reply.headers:
            # The end of the connection is the end of the body. Only the content shows whether it is complete.
            with open_own(self.part) as file:
                if is_zip(file) and not _has_end(file):
                    raise RetryLater("the download stopped early; the server does not send its size")
            self._log.event("info", "snapshot-size-unknown", link=self._link, size=self.have)

    def restart(self) -> None:
        """Start at the first byte: the part may be of another file. Raises SnapshotChanged if it is in
        use."""
        self._remove()
        if self.in_use:
            raise SnapshotChanged("the server cannot resume the download and sends all of it again")

    def _remove(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self._stored = None

    @property
    def _new_note(self) -> Path:
        return self.note.with_suffix(".json.new")

    def _remove_unfit(self) -> None:
        """Remove what has our names but is not a file of ours, such as a link; its target stays."""
        for path in (self.part, self.note, self._new_note):
            if os.path.lexists(path) and why_untrusted(path.lstat()) is not None:
                path.unlink()

    def _read_note(self) -> Offer | None:
        try:
            with open_own(self.note) as file:
                offer = decode_as(file.read(_LONGEST_NOTE), _offer_decoder)
        except (FileNotFoundError, *UNDECODABLE):
            return None
        return offer if offer.link == self._link else None

    def _write_note(self, offer: Offer) -> None:
        """Store the note completely or not at all: half a note could join parts of two files."""
        new = self._new_note
        new.unlink(missing_ok=True)
        with _writing(new, os.O_EXCL) as file:
            file.write(msgspec.json.encode(offer))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.note)
        folder = os.open(self.note.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._stored = offer


def _writing(path: Path, how: int) -> BinaryIO:
    return cast(BinaryIO, os.fdopen(open_own_fd(path, os.O_WRONLY | os.O_CREAT | how), "wb"))


def _is_usable(etag: str) -> bool:
    return len(etag) <= _LONGEST_ETAG and _ETAG.match(etag) is not None


def _has_end(file: BinaryIO) -> bool:
    """Whether the record at the end of a ZIP is there, valid or not."""
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:
        return True


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
