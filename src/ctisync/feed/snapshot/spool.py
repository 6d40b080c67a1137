"""Where the snapshots of one consumer lie while they are downloaded and loaded.

Beside the lock file and under its name: `<name>-<16 hex of the link>.part`, and a `.json` that says what
the part is a part of. So there is one writer, the pass that holds that lock, whichever stores share the
folder.
"""

import hashlib
import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

from ctisync.core.model import Consumer
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import FeedRefused, SnapshotRefused, StoreUnavailable
from ctisync.feed.http.pass_limits import PassLimits
from ctisync.feed.http.retry_budget import Again, RetryBudget
from ctisync.feed.http.transport import FeedTransport
from ctisync.feed.http.url_policy import Reach
from ctisync.feed.snapshot.download import Download
from ctisync.feed.snapshot.file import LocalSnapshot
from ctisync.feed.snapshot.partial_file import PartialFile
from ctisync.harmless import quoted
from ctisync.own_files import claimed, opened
from ctisync.ports import Clock, Log, Progress

_PIECE: Final = 1 << 20

_OLD: Final = 86_400
"""Seconds: longer than any pass takes. A file that has not changed for so long is in nobody's use."""


class Spool:
    """The folder and the rules of its names; the files' content is the `Download`'s."""

    def __init__(
        self,
        lock: Path,
        consumer: Consumer,
        clock: Clock,
        transport: FeedTransport,
        retry_budget: RetryBudget,
        pass_limits: PassLimits,
        log: Log,
    ) -> None:
        """`lock` is what the pass over this consumer's content in its store holds."""
        self._folder = lock.parent
        self._prefix = lock.stem
        self._earlier = _names_of_earlier_versions(consumer)
        self._clock = clock
        self._transport = transport
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
    ) -> LocalSnapshot:
        """The file behind `url` (which `link` stands for), complete. See `ports.Feed.fetch_snapshot`.

        `reach` says where it may lie; None: anywhere. Raises StoreUnavailable when the folder cannot take it.
        """
        download, coming = self._begun(link, url, refused, keep_alive, reach)
        next(coming)
        with ExitStack() as shown:
            bar: Progress | None = None
            for _ in coming:
                bar = bar or shown.enter_context(self._progress(download))
                bar.reached(download.have)
        return self._file(download, None)

    def take_in(self, stream: BinaryIO, link: str) -> LocalSnapshot:
        """What comes from `stream`, to its end. Raises StoreUnavailable when the folder cannot take it,
        SnapshotRefused when it is more than the limits allow."""
        with self._usable_folder(), self._log.progress("read", None, "bytes") as progress:
            part = self._begin(link)
            try:
                with os.fdopen(opened(part, os.O_WRONLY | os.O_CREAT), "wb") as file:
                    file.truncate()
                    self._copy(stream, file, progress)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return LocalSnapshot(
            part, link=link, etag=None, announced=None, ours=(part,), pass_limits=self._pass_limits
        )

    def _copy(self, stream: BinaryIO, file: BinaryIO, progress: Progress) -> None:
        most, size = self._pass_limits.limits.snapshot_bytes, 0
        while piece := stream.read(_PIECE):
            size += len(piece)
            if size > most:
                raise SnapshotRefused(
                    f"it is larger than {most} bytes, which limits.snapshot_bytes is",
                    hint="if that is right: raise limits.snapshot_bytes",
                )
            file.write(piece)
            progress.reached(size)
            self._pass_limits.check_time()

    def open(
        self,
        link: str,
        url: str,
        refused: RefusedSnapshot | None,
        keep_alive: Callable[[], None],
        reach: Reach,
    ) -> LocalSnapshot:
        """The same file, which comes in while it is read. See `ports.Feed.open_snapshot`."""
        download, coming = self._begun(link, url, refused, keep_alive, reach)
        next(coming)
        download.in_use = True
        rest = PartialFile(coming)
        try:
            return self._file(download, rest)
        except BaseException:
            rest.close()
            raise

    def _begun(
        self,
        link: str,
        url: str,
        refused: RefusedSnapshot | None,
        keep_alive: Callable[[], None],
        reach: Reach | None,
    ) -> tuple[Download, Generator[None]]:
        with self._usable_folder():
            download = Download(
                self._begin(link),
                link,
                refused,
                self._pass_limits.limits.snapshot_bytes,
                self._log,
                keep_alive,
                self._retry_budget.progressed,
            )
        return download, self._coming_in(download, url, reach)

    def _coming_in(self, download: Download, url: str, reach: Reach | None) -> Generator[None]:
        """Yields once when there is something to come, then after each piece of it; ends when all is here."""
        accept = (200, 206, 416)
        self._retry_budget.begin()
        with self._usable_folder():
            while True:
                question = download.question()
                try:
                    with (
                        self._transport.follow(url, headers=question, accept=accept, reach=reach) as reply,
                        closing(download.take(reply)) as pieces,
                    ):
                        for _ in pieces:
                            with self._retry_budget.set_aside():
                                yield
                    return
                except FeedRefused as refusal:
                    if "Range" not in question or isinstance(refusal, SnapshotRefused):
                        raise
                    download.start_anew()  # it may be the question for the rest that the server refuses
                except Again as failure:
                    # A cut-off download is gone on with later: the feed was unreachable, its data is not
                    # refused.
                    self._retry_budget.failed(Again(failure.reason, asked_for=failure.asked_for))

    def _progress(self, download: Download) -> AbstractContextManager[Progress]:
        return self._log.progress("download", download.offer.size, "bytes")

    def _file(self, download: Download, arriving: PartialFile | None) -> LocalSnapshot:
        return LocalSnapshot(
            download.part,
            link=download.offer.link,
            etag=download.offer.etag,
            announced=download.offer.size,
            ours=(download.part, download.note),
            pass_limits=self._pass_limits,
            arriving=arriving,
        )

    def _begin(self, link: str) -> Path:
        """The part's path; the folder is there, and what is left of other snapshots is gone."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f"{self._prefix}-{hashlib.sha256(link.encode()).hexdigest()[:16]}.part"
        self._remove_all_but(part.stem)
        return part

    def tidy(self) -> None:
        """Remove what passes that died have left of this consumer's snapshots."""
        with self._usable_folder():
            if self._folder.is_dir():
                self._remove_all_but(None)

    def _remove_all_but(self, stem: str | None) -> None:
        ours = _named(self._prefix)
        for path in self._folder.iterdir():
            other = ours.fullmatch(path.name) and path.stem != stem
            if other or (self._earlier.fullmatch(path.name) and self._is_old(path)):
                path.unlink(missing_ok=True)

    def _is_old(self, path: Path) -> bool:
        """Under the names of earlier versions, which all stores of a folder shared, a pass of such a version
        may still be at work for another store."""
        return self._clock.now().timestamp() - path.lstat().st_mtime > _OLD

    @contextmanager
    def _usable_folder(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(
                f"the snapshot cannot be kept in {self._folder}: {error.strerror or error}",
                hint=claimed(self._folder / self._prefix)
                or "it must be writable and have room for the snapshot; look with: "
                f"df -h {quoted(self._folder)}",
            ) from error


def downloads(lock: Path) -> list[Path]:
    """What the holders of this lock have left of snapshots that they downloaded. Raises StoreUnavailable."""
    ours = _named(lock.stem)
    try:
        return sorted(path for path in lock.parent.iterdir() if ours.fullmatch(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(
            f"the folder {lock.parent} cannot be read: {error.strerror}",
            hint=f"ls -ld {quoted(lock.parent)}",
        ) from error


def _named(prefix: str) -> re.Pattern[str]:
    return re.compile(re.escape(prefix) + r"-[0-9a-f]{16}\.(part|json|json\.new)")


def _names_of_earlier_versions(consumer: Consumer) -> re.Pattern[str]:
    parts = (quote(part, safe="").replace("-", "%2D") for part in (consumer.context, consumer.name))
    return _named("-".join(parts))
