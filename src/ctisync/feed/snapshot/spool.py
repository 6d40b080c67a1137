"""The spool: the files of one consumer's snapshots while they are downloaded and loaded.

They are beside the lock file, under its name: `<name>-<16 hex digits of the link>.part`, and a `.json` with
link, ETag and size of the file. So they have one writer, the pass that holds that lock, also if several
stores share the folder.
"""

import hashlib
import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from ctisync.core.state import RefusedSnapshot
from ctisync.errors import FeedRefused, SnapshotRefused, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.feed.http.budget import PassLimits, RetryBudget, RetryLater
from ctisync.feed.http.transport import FeedReply
from ctisync.feed.http.url_policy import Reach
from ctisync.feed.snapshot.download import Download, Offer
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.ports import Log
from ctisync.system.files import open_own_fd, size_and_digest, to_chown

_PIECE: Final = 1 << 20
_ACCEPTED: Final = (200, 206, 416)

_PROGRESS: Final = 1 << 20
"""Bytes that count as progress, whose time is not taken from the retry budget."""


@dataclass(frozen=True)
class SpoolFolder:
    """The folder, and the names of its files. `lock`: the lock file that the pass holds."""

    lock: Path
    pass_limits: PassLimits
    log: Log

    def store_stream(self, stream: BinaryIO, link: str) -> LocalSnapshot:
        """See `ports.Feed.store_stream`."""
        with self._usable_folder():
            part = self._begin(link)
            try:
                with os.fdopen(open_own_fd(part, os.O_WRONLY | os.O_CREAT), "wb") as file:
                    file.truncate()
                    self._copy(stream, file)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return LocalSnapshot(part, Offer(link), self.pass_limits, ours=(part,))

    def _copy(self, stream: BinaryIO, file: BinaryIO) -> None:
        most, size = self.pass_limits.limits.snapshot_bytes, 0
        with self.log.progress("read", None, "bytes") as bar:
            while piece := stream.read(_PIECE):
                size += len(piece)
                if size > most:
                    raise SnapshotRefused.over_limit("snapshot_bytes", f"it is larger than {most} bytes")
                file.write(piece)
                bar.reached(size)
                self.pass_limits.check_time()

    def _begin(self, link: str) -> Path:
        """Create the folder, and remove the files of other snapshots. Returns the path of the part."""
        self.lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.note_of(link).with_suffix(".part")
        self._remove_all_but(part.stem)
        return part

    def tidy(self, keep: Path | None = None) -> None:
        """Remove the files that dead passes have left, but for `keep`. Raises StoreUnavailable."""
        with self._usable_folder():
            self._remove_all_but(None if keep is None else keep.stem)

    def size_and_digest(self, file: LocalSnapshot, meanwhile: Callable[[], None]) -> tuple[int, str]:
        """Bytes and SHA-256 of a file of this folder. Raises StoreUnavailable."""
        with self._usable_folder():
            return size_and_digest(file.path, meanwhile)

    def note_of(self, link: str) -> Path:
        """The path of a file in which something of `link` may be kept."""
        digest = hashlib.sha256(link.encode()).hexdigest()[:16]
        return self.lock.with_name(f"{self.lock.stem}-{digest}.json")

    def _remove_all_but(self, stem: str | None) -> None:
        for path in downloads(self.lock):
            if path.stem != stem:
                path.unlink(missing_ok=True)

    @contextmanager
    def _usable_folder(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            folder = self.lock.parent
            raise StoreUnavailable(
                f"cannot store the snapshot in {folder}: {error.strerror or error}",
                hint=to_chown(folder / self.lock.stem)
                or "the folder must be writable, with enough free disk space; check with: "
                f"df -h {quoted(folder)}",
            ) from error


class Server(Protocol):
    """Where a download comes from."""

    def follow(
        self, url: str, *, headers: Mapping[str, str], accept: tuple[int, ...], reach: Reach | None
    ) -> AbstractContextManager[FeedReply]:
        """As `FeedTransport.follow`."""


@dataclass(frozen=True)
class Spool(SpoolFolder):
    """A folder for downloads; `Download` writes the content of the files."""

    access: Server
    retry_budget: RetryBudget

    def fetch(
        self,
        link: str,
        url: str,
        refused: RefusedSnapshot | None,
        keep_alive: Callable[[], None],
        reach: Reach | None,
        *,
        whole: bool = True,
    ) -> LocalSnapshot:
        """The file at `url`, which is stored under the name of `link`. See `ports.PassFeed.fetch_snapshot`.

        `reach`: the hosts to which it may lead; None: any. `whole`: wait for its end; else it is downloaded
        while it is read (`open_snapshot`). Raises StoreUnavailable if the folder cannot store it.
        """
        with self._usable_folder():
            most_bytes = self.pass_limits.limits.snapshot_bytes
            download = Download(self._begin(link), link, refused, most_bytes, self.log)
        pieces = self._download(download, url, keep_alive, reach)
        next(pieces)
        if whole:
            self._finish(download, pieces)
        download.in_use = True
        try:
            return LocalSnapshot(
                download.part,
                download.offer,
                self.pass_limits,
                ours=(download.part, download.note),
                arriving=None if whole else pieces,
            )
        except BaseException:
            with suppress(StoreUnavailable):
                pieces.close()
            raise

    def _finish(self, download: Download, pieces: Iterator[int]) -> None:
        if (have := next(pieces, None)) is not None:  # else the file was complete already
            with self.log.progress("download", download.offer.size, "bytes") as bar:
                bar.reached(have)
                for have in pieces:
                    bar.reached(have)

    def _download(
        self, download: Download, url: str, keep_alive: Callable[[], None], reach: Reach | None
    ) -> Generator[int]:
        """Download with retries. Yields the bytes that are here: once before the first piece, then after
        each."""
        budget = self.retry_budget
        budget.begin()
        with self._usable_folder():
            while True:
                headers = download.request_headers()
                try:
                    with (
                        self.access.follow(url, headers=headers, accept=_ACCEPTED, reach=reach) as reply,
                        closing(download.store(reply)) as pieces,
                    ):
                        counted = next(pieces)
                        with budget.set_aside():
                            yield counted
                        for have in pieces:
                            keep_alive()
                            if have - counted >= _PROGRESS:
                                budget.begin()
                                counted = have
                            with budget.set_aside():
                                yield have
                    return
                except FeedRefused as refusal:
                    if "Range" not in headers or isinstance(refusal, SnapshotRefused):
                        raise
                    download.restart()  # the server may refuse only the request for the rest
                except RetryLater as failure:
                    # An interrupted download is resumed later: the feed was unreachable, so the data is not
                    # refused (`bad_data`).
                    budget.failed(RetryLater(failure.reason, retry_after=failure.retry_after))


def downloads(lock: Path) -> list[Path]:
    """The files of downloads that holders of this lock have left, also of notes that were being written.
    Raises StoreUnavailable."""
    kinds = r"(part|json|json\.new|json\.[0-9a-f]{16}\.part)"
    ours = re.compile(rf"\.?{re.escape(lock.stem)}-[0-9a-f]{{16}}\.{kinds}")
    try:
        return sorted(path for path in lock.parent.iterdir() if ours.fullmatch(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(
            f"the folder {lock.parent} cannot be read: {error.strerror}", hint=f"ls -ld {quoted(lock.parent)}"
        ) from error
