"""The download of one snapshot, which resumes where this pass or an earlier one was interrupted.

A part is resumed only if the server confirms by a strong ETag that the file is the same (RFC 9110, 13.1.5: a
weak one is no validator for ranges).
"""

import errno
import os
import re
import shutil
import zipfile
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ctisync import hints
from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import SnapshotChanged, SnapshotRefused
from ctisync.feed.http.budget import RetryLater
from ctisync.feed.http.transport import FeedReply
from ctisync.feed.snapshot.records import is_zip
from ctisync.ports import Log
from ctisync.system.files import atomic_write, open_own, open_own_fd, sync, why_untrusted

_LONGEST_NOTE: Final = 1 << 16
"""Bytes of a link, an ETag and a number."""

ETAG: Final = re.compile(r'^(W/)?"[\x21\x23-\x7e]{0,500}"\Z')
"""An entity-tag (RFC 9110, 8.8.3) without obs-text, which programs read differently. Servers' own ETags are
far shorter than this, and servers accept far longer headers in a request."""


def _ignore(_: OSError) -> None:
    """The disk does not support fsync. A part that a power failure damages is noticed when it is read."""


class Offer(msgspec.Struct, frozen=True):
    """The file that a server offers under a link: its ETag and its size in bytes, None if unknown.

    Later requests contain the ETag, so one that a request cannot contain counts as None.
    """

    link: str
    etag: Annotated[str, Meta(pattern=ETAG.pattern)] | None = None
    size: Annotated[int, Meta(ge=0)] | None = None

    @property
    def validator(self) -> str | None:
        """The ETag if it is a strong one, by which parts of a file may be joined."""
        return self.etag if self.etag is not None and self.etag.startswith('"') else None


_offer_decoder: Final = msgspec.json.Decoder(Offer)


class Download:
    """The download of one snapshot into its part file.

    `in_use`: the part is already being read, so it must not be replaced.
    """

    def __init__(
        self, part: Path, link: str, refused: RefusedSnapshot | None, most_bytes: int, log: Log
    ) -> None:
        self.part = part
        self.note = part.with_suffix(".json")
        self.in_use = False
        self._link = link
        self._refused = refused
        self._most_bytes = most_bytes
        self._log = log
        for path in (self.part, self.note):  # such as a link, whose target stays
            if os.path.lexists(path) and why_untrusted(path.lstat()) is not None:
                path.unlink()
        self.offer = Offer(link)
        """The file that is being downloaded, by the first accepted reply: the next pass compares its own."""
        self._stored = Offer(link)  # the file of the part, by the last accepted reply or the note
        if (stored := self._read_note()) is None:
            self._remove()
        else:
            self._stored = stored

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
        if (resumed := self._resumed) is not None:
            headers |= {"Range": f"bytes={self.have}-", "If-Range": resumed.validator or ""}
        return headers

    def store(self, reply: FeedReply) -> Generator[int]:
        """Store the body, unless the headers show that the part is complete. Yields the size of the part once
        after the headers were accepted, before the body is read, then after each piece.

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
            # Half a note could join parts of two files.
            with atomic_write(self.note, mode=0o600, unsynced=_ignore) as file:
                file.write(msgspec.json.encode(offer))
        if start == 0 or self.offer.etag is None:  # else it is the rest of that file
            self.offer = offer
        self._stored = offer
        if is_complete:
            yield self.have
            return
        yield from self._append(reply, offer, start)
        self._check_end(reply, offer)

    def _offered(self, reply: FeedReply) -> tuple[Offer, int]:
        """The file by the reply's headers, and the position at which its body begins."""
        etag = reply.headers.get("etag")
        if reply.status == 200:
            usable = etag if etag is not None and ETAG.match(etag) else None
            return Offer(self._link, usable, reply.content_length), 0
        have, stored = self.have, self._resumed
        if stored is None:
            raise SnapshotRefused(f"the server answers {reply.status} to a request for the whole snapshot")
        if etag in (None, stored.etag):
            is_end = reply.headers.get("content-range") == f"bytes */{have}"
            if reply.status == 416 and is_end and stored.size is None:
                return Offer(self._link, stored.etag, have), have
            if reply.status == 206 and reply.content_range is not None:
                first, last, size = reply.content_range
                if first == have and last == size - 1 and stored.size in (None, size):
                    return Offer(self._link, stored.etag, size), have
        self.restart()
        raise RetryLater(
            f"the server answers {reply.status} with a Content-Range that does not fit the download"
        )

    @property
    def _resumed(self) -> Offer | None:
        """The file of the part, if the download can be resumed; None: the whole file is requested."""
        stored = self._stored
        return stored if stored.validator is not None and 0 < self.have != stored.size else None

    def _check_not_refused(self, offer: Offer) -> None:
        refused = self._refused
        if refused is not None and offer == Offer(refused.link, refused.etag, refused.size):
            self._remove()
            raise SnapshotRefused(
                f"the feed still offers the refused snapshot: {refused.reason}",
                hint=f"ctisync loads the next one by itself; to retry this one: {hints.load_anew()}",
            )

    def _is_complete(self, offer: Offer) -> bool:
        """Whether the part is the whole file, by strong ETag and size."""
        same = offer.validator is not None and offer.etag == self._stored.etag
        return same and offer.size is not None and offer.size == self.have

    def _append(self, reply: FeedReply, offer: Offer, start: int) -> Generator[int]:
        if offer.size is not None and shutil.disk_usage(self.part.parent).free < offer.size - start:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {offer.size} bytes")
        most = self._most_bytes if offer.size is None else offer.size
        have = start
        with os.fdopen(open_own_fd(self.part, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "wb") as file:
            try:
                yield have
                for chunk in reply.chunks:
                    have += len(chunk)
                    if have > most and offer.size is not None:
                        raise SnapshotRefused(f"the server sends more than the {most} bytes of the snapshot")
                    if have > most:
                        raise self._too_large(f"the server sends more than {most} bytes", (offer.etag, None))
                    file.write(chunk)
                    file.flush()  # so that it can be read
                    yield have
            finally:  # even if it was interrupted: the download is resumed later
                file.flush()
                sync(file.fileno(), _ignore)

    def _too_large(self, what: str, body: tuple[str | None, int | None] | None) -> SnapshotRefused:
        self._remove()
        return SnapshotRefused(
            f"{what}, limits.snapshot_bytes is {self._most_bytes}",
            hint=f"if the feed has grown that much, raise limits.snapshot_bytes, then: {hints.load_anew()}",
            body=body,
        )

    def _check_end(self, reply: FeedReply, offer: Offer) -> None:
        if offer.size is not None:
            if (have := self.have) < offer.size:
                raise RetryLater(f"the download stopped after {have} of {offer.size} bytes")
        elif "transfer-encoding" not in reply.headers:
            # The end of the connection is the end of the body. Only the content shows whether it is complete;
            # reading it reports an end that is damaged.
            with open_own(self.part) as file, suppress(zipfile.BadZipFile):
                if is_zip(file) and not zipfile.is_zipfile(file):
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
        self._stored = Offer(self._link)

    def _read_note(self) -> Offer | None:
        try:
            with open_own(self.note) as file:
                offer = decode_as(file.read(_LONGEST_NOTE), _offer_decoder)
        except (FileNotFoundError, *UNDECODABLE):
            return None
        return offer if offer.link == self._link else None
