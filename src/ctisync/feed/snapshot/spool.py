"""The spool: the files of one consumer's snapshots while they are downloaded and loaded.

They are beside the lock file, under its name: `<name>-<16 hex digits of the link>.part`, and a `.json` with
link, ETag and size of the file. So they have one writer, the pass that holds that lock, also if several
stores share the folder.
"""

import hashlib
import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from ctisync.core.model import Consumer
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import FeedRefused, SnapshotRefused, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.feed.http.budget import PassLimits, RetryBudget, RetryLater
from ctisync.feed.http.token_exchange import Access
from ctisync.feed.http.url_policy import Reach
from ctisync.feed.snapshot.download import Download
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.ports import Clock, Log, Progress
from ctisync.system.files import open_own_fd, to_chown

_PIECE: Final = 1 << 20

_OLD: Final = 86_400
"""Seconds, longer than any pass takes. A file that has not changed for so long is not in use."""


class Spool:
    """The folder, and the names of its files. `Download` writes their content."""

    def __init__(
        self,
        lock: Path,
        consumer: Consumer,
        clock: Clock,
        access: Access,
        retry_budget: RetryBudget,
        pass_limits: PassLimits,
        log: Log,
    ) -> None:
        """`lock`: the lock file that the pass holds."""
        self._folder = lock.parent
        self._prefix = lock.stem
        self._earlier = _earlier_pattern(consumer)
        self._clock = clock
        self._access = access
        self._retry_budget = retry_budget
        self._pass_limits = pass_limits
        self._log = log

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
        limits, progressed = self._pass_limits.limits, self._retry_budget.begin
        with self._usable_folder():
            part = self._begin(link)
            download = Download(part, link, refused, limits.snapshot_bytes, self._log, keep_alive, progressed)
        pieces = self._download(download, url, reach)
        next(pieces)
        if whole:
            self._finish(download, pieces)
            return self._file(download)
        download.in_use = True
        try:
            return self._file(download, pieces)
        except BaseException:
            with suppress(StoreUnavailable):
                pieces.close()
            raise

    def _finish(self, download: Download, pieces: Iterator[None]) -> None:
        with ExitStack() as shown:
            bar: Progress | None = None  # none for a file that is complete already
            for _ in pieces:
                if bar is None:
                    bar = shown.enter_context(self._log.progress("download", download.offer.size, "bytes"))
                bar.reached(download.have)

    def _download(self, download: Download, url: str, reach: Reach | None) -> Generator[None]:
        """Download with retries. Yields once before the first piece, then after each; ends after the last."""
        accept = (200, 206, 416)
        self._retry_budget.begin()
        with self._usable_folder():
            while True:
                headers = download.request_headers()
                try:
                    with (
                        self._access.follow(url, headers=headers, accept=accept, reach=reach) as reply,
                        closing(download.store(reply)) as pieces,
                    ):
                        for _ in pieces:
                            with self._retry_budget.set_aside():
                                yield
                    return
                except FeedRefused as refusal:
                    if "Range" not in headers or isinstance(refusal, SnapshotRefused):
                        raise
                    download.restart()  # the server may refuse only the request for the rest
                except RetryLater as failure:
                    # An interrupted download is resumed later: the feed was unreachable, so the data is not
                    # refused (`bad_data`).
                    self._retry_budget.failed(RetryLater(failure.reason, retry_after=failure.retry_after))

    def _file(self, download: Download, arriving: Generator[None] | None = None) -> LocalSnapshot:
        offer, ours = download.offer, (download.part, download.note)
        return LocalSnapshot(
            download.part,
            offer.link,
            self._pass_limits,
            etag=offer.etag,
            announced=offer.size,
            ours=ours,
            arriving=arriving,
        )

    def store_stream(self, stream: BinaryIO, link: str) -> LocalSnapshot:
        """See `ports.Feed.store_stream`."""
        with self._usable_folder(), self._log.progress("read", None, "bytes") as progress:
            part = self._begin(link)
            try:
                with os.fdopen(open_own_fd(part, os.O_WRONLY | os.O_CREAT), "wb") as file:
                    file.truncate()
                    self._copy(stream, file, progress)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return LocalSnapshot(part, link, self._pass_limits, ours=(part,))

    def _copy(self, stream: BinaryIO, file: BinaryIO, progress: Progress) -> None:
        most, size = self._pass_limits.limits.snapshot_bytes, 0
        while piece := stream.read(_PIECE):
            size += len(piece)
            if size > most:
                raise SnapshotRefused.over_limit("snapshot_bytes", f"it is larger than {most} bytes")
            file.write(piece)
            progress.reached(size)
            self._pass_limits.check_time()

    def _begin(self, link: str) -> Path:
        """Create the folder, and remove the files of other snapshots. Returns the path of the part."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f"{self._prefix}-{hashlib.sha256(link.encode()).hexdigest()[:16]}.part"
        self._remove_all_but(part.stem)
        return part

    def tidy(self) -> None:
        """Remove the files that dead passes have left. Raises StoreUnavailable."""
        with self._usable_folder():
            if self._folder.is_dir():
                self._remove_all_but(None)

    def _remove_all_but(self, stem: str | None) -> None:
        ours = _file_pattern(self._prefix)
        for path in self._folder.iterdir():
            other = ours.fullmatch(path.name) and path.stem != stem
            if other or (self._earlier.fullmatch(path.name) and self._is_old(path)):
                path.unlink(missing_ok=True)

    def _is_old(self, path: Path) -> bool:
        """In earlier versions all stores of a folder shared the names, so a pass of such a version may still
        use the file for another store."""
        return self._clock.now().timestamp() - path.lstat().st_mtime > _OLD

    @contextmanager
    def _usable_folder(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(
                f"cannot store the snapshot in {self._folder}: {error.strerror or error}",
                hint=to_chown(self._folder / self._prefix)
                or "the folder must be writable, with enough free disk space; check with: "
                f"df -h {quoted(self._folder)}",
            ) from error


def downloads(lock: Path) -> list[Path]:
    """The files of downloads that holders of this lock have left. Raises StoreUnavailable."""
    ours = _file_pattern(lock.stem)
    try:
        return sorted(path for path in lock.parent.iterdir() if ours.fullmatch(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(
            f"the folder {lock.parent} cannot be read: {error.strerror}",
            hint=f"ls -ld {quoted(lock.parent)}",
        ) from error


def _file_pattern(prefix: str) -> re.Pattern[str]:
    return re.compile(re.escape(prefix) + r"-[0-9a-f]{16}\.(part|json|json\.new)")


def _earlier_pattern(consumer: Consumer) -> re.Pattern[str]:
    parts = (quote(part, safe="").replace("-", "%2D") for part in (consumer.context, consumer.name))
    return _file_pattern("-".join(parts))
