"""The files of a mirror on a web server, or in an object store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import msgspec

from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.manifest import HEAD
from ctisync.errors import FeedUnreachable, SnapshotRefused
from ctisync.escaping import quoted
from ctisync.feed.http.budget import RetryBudget, RetryLater
from ctisync.feed.http.replies import BAD_LOGIN, PROXY_HINT
from ctisync.feed.http.transport import FeedReply, FeedTransport
from ctisync.feed.http.url_policy import Reach, shown
from ctisync.feed.mirror_files import Download, Folders
from ctisync.feed.snapshot.download import ETAG
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.feed.snapshot.spool import Spool, SpoolFolder
from ctisync.system.files import atomic_write, open_own
from ctisync.urls import address_of

_MISSING: Final = (403, 404, 410)
"""An object store answers 403 for a file that is not there."""
_OK, _NOT_MODIFIED = 200, 304
_MANIFEST: Final = "m-"
"""Begins the names of a manifest and of its signature."""
_HINTS: Final = {401: BAD_LOGIN, 407: PROXY_HINT}

T = TypeVar("T")


class _Kept(msgspec.Struct):
    """What the last pass has read: the head, by its ETag, and what the head names."""

    etag: str | None = None
    files: dict[str, bytes] = {}


_kept_decoder: Final = msgspec.json.Decoder(_Kept)


class HttpFiles:
    """`MirrorFiles` below `base_url`: static files, without queries and listings.

    The head is requested by its ETag. Until it changes, the manifest is the one that is kept beside the lock:
    so an idle pass is one request without a reply. Only a snapshot may be redirected.
    """

    hint = "copy the mirror to the server again (each file is checked against its digest)"

    def __init__(
        self,
        *,
        base_url: str,
        token: str | None,
        ca_file: Path | None,
        headers: Mapping[str, str],
        retry_budget: float,
        cooldown: float,
        allowed_hosts: Sequence[str],
        spool: SpoolFolder,
    ) -> None:
        """`base_url` begins with `mirror+`. Else as for `CtiFeed`."""
        limits, log = spool.pass_limits, spool.log
        self._base_url = address_of(base_url).rstrip("/")
        self._transport = transport = FeedTransport(base_url, token, ca_file, limits, headers=headers)
        self._retry_budget = RetryBudget(retry_budget, cooldown, limits, log, lambda: transport.reached)
        self._reach = Reach(self._base_url, allowed_hosts)
        self._note = spool.note_of(self._base_url)
        self._stored = self._read_note()
        self._kept = dict(self._stored.files)
        self._read = _Kept()
        self._etag = self._stored.etag
        self.is_persistent = True

    def close(self) -> None:
        self._transport.close()

    @property
    def received(self) -> int:
        return self._transport.received

    @property
    def retries(self) -> int:
        return self._retry_budget.retries

    def place(self, folders: Folders) -> str:
        return "/".join((shown(self._base_url), *folders))

    def read(self, folders: Folders, name: str, most: int) -> bytes:
        content = self._kept.pop(name, None)  # if it is damaged, the next read requests it
        if content is None or name == HEAD:
            url = self._url(folders, name)
            content = self._persist(url, partial(self._get, url, most, content))
        if name == HEAD:
            self._read = _Kept(self._etag)
        if name == HEAD or name.startswith(_MANIFEST):
            self._read.files[name] = content
        return content

    def fetch(self, folders: Folders, download: Download) -> LocalSnapshot:
        entry, spool, refused, keep_alive = download
        downloads = Spool(spool.lock, spool.pass_limits, spool.log, self, self._retry_budget)
        url = self._url(folders, entry.name)
        snapshot = downloads.fetch(entry.name, url, refused, keep_alive, self._reach)
        if spool.size_and_digest(snapshot, keep_alive) != (entry.size, entry.sha256):
            offer = snapshot.offer
            snapshot.discard()
            raise SnapshotRefused(
                f"{shown(url)} is damaged: it has not the size and the digest that it should",
                hint=self.hint,
                body=(offer.etag, offer.size),
            )
        return snapshot

    def has(self, _folders: Folders, _name: str) -> bool:
        return True

    def tidy(self, spool: SpoolFolder) -> None:
        spool.tidy(self._note)
        if self._read.files and not (self._read == self._stored and self._note.exists()):
            with suppress(OSError), atomic_write(self._note, mode=0o600) as file:  # it saves requests only
                file.write(msgspec.json.encode(self._read))

    @contextmanager
    def follow(
        self, url: str, *, headers: Mapping[str, str], accept: tuple[int, ...], reach: Reach | None
    ) -> Iterator[FeedReply]:
        """As `FeedTransport.follow`."""
        accept = (*accept, *_MISSING)
        with self._transport.follow(url, headers=headers, accept=accept, reach=reach) as reply:
            if reply.status in _MISSING:
                self._refuse(reply)
            yield reply

    def _url(self, folders: Folders, name: str) -> str:
        return "/".join((self._base_url, *folders, name))

    def _get(self, url: str, most: int, kept: bytes | None) -> bytes:
        """`kept`: what the file was with the ETag."""
        headers = {"Accept-Encoding": "identity"}
        if kept is not None and self._etag is not None:
            headers["If-None-Match"] = self._etag
        with self._transport.open(url, headers, keep_alive=True) as reply:
            if kept is not None and "If-None-Match" in headers and reply.status == _NOT_MODIFIED:
                return kept
            if reply.status != _OK:
                self._refuse(reply)
            etag = reply.headers.get("etag", "")
            self._etag = etag if ETAG.match(etag) else None
            content = bytearray()
            for chunk in reply.chunks:
                content += chunk
                if len(content) > most:
                    break
        return bytes(content[: most + 1])

    def _refuse(self, reply: FeedReply) -> NoReturn:
        if not reply.refuses(_MISSING):
            self._transport.refuse(reply, _HINTS, quoting=True)
        raise FeedUnreachable(
            f"the mirror is not complete: {shown(reply.url)}: the server answers {reply.status}",
            hint="copy the mirror to the server again (head.json last), or check cti.url; "
            f"then: curl -I {quoted(shown(reply.url))}",
            is_missing=True,
        )

    def _persist(self, url: str, attempt: Callable[[], T]) -> T:
        if self.is_persistent:
            return self._retry_budget.persist(attempt)
        try:
            return attempt()
        except RetryLater as failure:
            raise FeedUnreachable(failure.reason, hint=f"curl -i {quoted(shown(url))}") from failure

    def _read_note(self) -> _Kept:
        with suppress(OSError, *UNDECODABLE), open_own(self._note) as file:
            return decode_as(file.read(), _kept_decoder)
        return _Kept()
