"""The download of one snapshot, which goes on where this pass or an earlier one was cut off.

A part is gone on with only when the server confirms by a strong ETag that it still is the same
file (RFC 9110, 13.1.5: a weak one is no validator for ranges).
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

from ctisync.core.state import RefusedSnapshot
from ctisync.core.wire import UNDECODABLE
from ctisync.errors import LOAD_ANEW, SnapshotChanged, SnapshotRefused
from ctisync.feed.http.retry_budget import Again
from ctisync.feed.http.transport import FeedReply
from ctisync.feed.snapshot.records import is_zip
from ctisync.own_files import opened, reading, unfit
from ctisync.ports import Log

_GOT_ON: Final = 1 << 20
"""Bytes that count as getting on, so that the time for them is not taken from the budget."""


_PART: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
"""A Content-Range whose numbers are those of a file."""


_LONGEST_NOTE: Final = 1 << 16
"""Bytes: a link, an ETag and a number."""

_LONGEST_ETAG: Final = 512
"""Characters: far more than any server's own, far less than what one refuses in a request."""

_ETAG: Final = re.compile(r'^(W/)?"[\x21\x23-\x7e]*"\Z')
"""An entity-tag (RFC 9110, 8.8.3), but for obs-text: no two programs read that alike."""


class Offer(msgspec.Struct, frozen=True):
    """What a server hands out under a link: its ETag and its size in bytes, as far as it says.

    The ETag goes into later requests, so one that no request can hold counts as none.
    """

    link: str
    etag: Annotated[str, Meta(max_length=_LONGEST_ETAG, pattern=_ETAG.pattern)] | None
    size: Annotated[int, Meta(ge=0)] | None

    @property
    def validator(self) -> str | None:
        """The ETag, when parts may be put together by it."""
        return self.etag if self.etag is not None and self.etag.startswith('"') else None


_offer_decoder: Final = msgspec.json.Decoder(Offer)


class Download:
    """One snapshot on its way into its part file. `got_on` is called whenever it really gets on.

    `in_use`: what has come in is being read already, so that nothing else may take its place.
    """

    def __init__(
        self,
        part: Path,
        link: str,
        refused: RefusedSnapshot | None,
        most_bytes: int,
        log: Log,
        keep_alive: Callable[[], None],
        got_on: Callable[[], None],
    ) -> None:
        self.part = part
        self.note = part.with_suffix(".json")
        self._link = link
        self._refused = refused
        self._most_bytes = most_bytes
        self._log = log
        self._keep_alive = keep_alive
        self._got_on = got_on
        self._offer: Offer | None = None
        self.in_use = False
        self._drop_what_is_unfit()
        self._known = self._noted()
        if self._known is None:
            self._start_again()

    @property
    def offer(self) -> Offer:
        """What is being downloaded: as the first reply that was accepted has it."""
        if self._offer is None:
            raise ValueError("nothing was offered yet")
        return self._offer

    @property
    def have(self) -> int:
        """Bytes of it that are here."""
        try:
            return self.part.lstat().st_size
        except FileNotFoundError:
            return 0

    def question(self) -> dict[str, str]:
        """The request's headers: for the rest of what is here.

        When all of it is here already, the reply's headers will tell whether it is still offered.
        """
        headers = {"Accept-Encoding": "identity"}
        if (known := self._continued) is not None:
            headers |= {"Range": f"bytes={self.have}-", "If-Range": known.validator or ""}
        return headers

    def take(self, reply: FeedReply) -> Generator[None]:
        """Take the body in, unless the headers tell that there is no need to: yields once when the headers
        were accepted, before any body is read, then after each piece.

        Raises Again when it is to be asked for again (with a new `question`), SnapshotRefused,
        before any body is read, when it is the one that was refused, and SnapshotChanged when this
        reply is of another file than the one `in_use`. OSError is the caller's.
        """
        if reply.headers.get("content-encoding", "identity").lower() != "identity":
            raise SnapshotRefused("the server sends the snapshot encoded, although that was not asked for")
        offer, start = self._offered(reply)
        self._not_refused_before(offer)
        if offer.size is not None and offer.size > self._most_bytes:
            raise self._too_large(f"the snapshot has {offer.size} bytes", body=None)
        here = self._is_here(offer)
        if start == 0 and not here:
            self.start_anew()
            self._remember(offer)
        if self._offer is None or start == 0:
            self._offer = offer
        self._known = offer
        if here:
            yield
            return
        yield from self._append(reply, offer, start)
        self._check_end(reply, offer)

    def _offered(self, reply: FeedReply) -> tuple[Offer, int]:
        """What the reply's headers announce, and the position at which its body begins."""
        etag = reply.headers.get("etag")
        if reply.status == 200:
            usable = etag if etag is not None and _is_usable(etag) else None
            return Offer(self._link, usable, _number(reply.headers.get("content-length"))), 0
        have, known = self.have, self._continued
        if known is None:
            raise SnapshotRefused(
                f"the server answers {reply.status} although the whole snapshot was asked for"
            )
        said = reply.headers.get("content-range", "")
        if etag in (None, known.etag):
            if reply.status == 416 and said == f"bytes */{have}" and known.size is None:
                return Offer(self._link, known.etag, have), have
            part = _PART.fullmatch(said)
            if reply.status == 206 and part is not None:
                first, last, size = map(int, part.groups())
                if first == have and last == size - 1 and known.size in (None, size):
                    return Offer(self._link, known.etag, size), have
        self.start_anew()
        raise Again(f"the server answers {reply.status}, and its Content-Range does not fit what is here")

    @property
    def _continued(self) -> Offer | None:
        """What is here a part of, when that can be gone on with; None: all of it is asked for."""
        known = self._known
        usable = known is not None and known.validator is not None and 0 < self.have != known.size
        return known if usable else None

    def _not_refused_before(self, offer: Offer) -> None:
        refused = self._refused
        if refused is not None and (offer.link, offer.etag, offer.size) == (
            refused.link,
            refused.etag,
            refused.size,
        ):
            self._start_again()
            raise SnapshotRefused(
                f"the feed still offers the snapshot that was refused: {refused.reason}",
                hint=f"a new one is taken by itself; to try this one again: {LOAD_ANEW}",
            )

    def _is_here(self, offer: Offer) -> bool:
        """Whether the part is the whole of what is offered, by strong ETag and size."""
        known = self._known
        same = known is not None and offer.validator is not None and offer.etag == known.etag
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
                        said = f"the server sends more than {most} bytes"
                        raise self._too_large(said, body=(offer.etag, offer.size))
                    file.write(chunk)
                    file.flush()  # so that it can be read
                    self._keep_alive()
                    if have - counted >= _GOT_ON:
                        self._got_on()
                        counted = have
                    yield
            finally:  # cut off or not: what came is gone on with later
                file.flush()
                os.fsync(file.fileno())

    def _too_large(self, what: str, body: tuple[str | None, int | None] | None) -> SnapshotRefused:
        self._start_again()
        return SnapshotRefused(
            f"{what}, limits.snapshot_bytes is {self._most_bytes}",
            hint=f"if the feed has grown so: raise limits.snapshot_bytes, then: {LOAD_ANEW}",
            body=body,
        )

    def _check_end(self, reply: FeedReply, offer: Offer) -> None:
        if offer.size is not None:
            if (have := self.have) < offer.size:
                raise Again(f"the snapshot was cut off after {have} of {offer.size} bytes")
        elif "transfer-encoding" not in reply.headers:
            # The end of the connection is the end of the body: only what is in it tells whether all came.
            with reading(self.part) as file:
                if is_zip(file) and not _has_end(file):
                    raise Again("the snapshot was cut off; the server does not say how long it is")
            self._log.event("info", "snapshot-size-unknown", link=self._link, size=self.have)

    def start_anew(self) -> None:
        """From the first byte: what is here is of another file, or nobody can tell."""
        self._start_again()
        if self.in_use:
            raise SnapshotChanged("the server's snapshot cannot be gone on with: it sends all of it anew")

    def _start_again(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self._known = None

    @property
    def _new_note(self) -> Path:
        return self.note.with_suffix(".json.new")

    def _drop_what_is_unfit(self) -> None:
        """What bears our names and is no file of ours is not used; only the name of it goes."""
        for path in (self.part, self.note, self._new_note):
            if os.path.lexists(path) and unfit(path.lstat()) is not None:
                path.unlink()

    def _noted(self) -> Offer | None:
        try:
            with reading(self.note) as file:
                noted = _offer_decoder.decode(file.read(_LONGEST_NOTE))
        except (FileNotFoundError, *UNDECODABLE):
            return None
        return noted if noted.link == self._link else None

    def _remember(self, offer: Offer) -> None:
        """Written whole or not at all: a torn note would join parts of two files."""
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
        self._known = offer


def _writing(path: Path, how: int) -> BinaryIO:
    return cast(BinaryIO, os.fdopen(opened(path, os.O_WRONLY | os.O_CREAT | how), "wb"))


def _is_usable(etag: str) -> bool:
    return len(etag) <= _LONGEST_ETAG and _ETAG.match(etag) is not None


def _has_end(file: BinaryIO) -> bool:
    """Whether the record is there with which a ZIP ends, sensible or not."""
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:
        return True


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
