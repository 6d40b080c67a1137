"""One pass at a time on this host: a lock that dies with its holder."""

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec

from ctisync.core.health import Verdict, failed, ok
from ctisync.core.model import Consumer
from ctisync.core.pass_report import Work
from ctisync.core.wire import UNDECODABLE
from ctisync.errors import AnotherPass, ConfigurationError, StoreUnavailable
from ctisync.harmless import quoted
from ctisync.own_files import Unfit, claimed, opened, unfit
from ctisync.ports import Clock

_MOST_TEXT: Final = 4096


class Identity(msgspec.Struct, frozen=True):
    """The first line of a lock file, which stays: a random id, and the file that it was made for. In a copy
    of that file, or in one restored from a backup, it counts for nothing."""

    id: str
    device: int
    inode: int


class Holder(msgspec.Struct, frozen=True):
    """The line after it, while a pass holds the lock. Files of earlier versions have this one alone.

    No process has a number below 1: to the kernel these are groups of processes.
    """

    pid: Annotated[int, msgspec.Meta(ge=1)]
    since: str
    command: str


_identity_decoder: Final = msgspec.json.Decoder(Identity)
_holder_decoder: Final = msgspec.json.Decoder(Holder)


def lock_beside(database: Path, consumer: Consumer) -> Path:
    """The lock file for a consumer in a SQLite database."""
    return database.with_name(f"{database.name}.{consumer.context}.{consumer.name}.lock")


def lock_for_server(folder: Path, urls: tuple[str, ...], consumer: Consumer) -> Path:
    """The lock file for a consumer on a server: in `folder`, one a server and consumer."""
    server = hashlib.sha256(",".join(sorted(urls)).encode()).hexdigest()[:16]
    return folder / f"{server}.{consumer.context}.{consumer.name}.lock"


@contextmanager
def host_lock(path: Path, clock: Clock, command: str) -> Iterator[str]:
    """Hold the lock file for as long as the block runs; it is never waited for. Yields the id of this very
    file: what was done under the same id was done by the same lock's holder, who is gone.

    The kernel lets it go when the process ends, however it ends, so what the file says counts only
    while the lock is held. The file stays: removing it would let two passes hold two files of one name.
    Raises AnotherPass, ConfigurationError (no such folder), StoreUnavailable (no write, no lock).
    """
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AnotherPass(_who_holds(file, path)) from error
        except OSError as error:  # a network disk without locks, say
            raise StoreUnavailable(
                f"cannot lock {path}: {error.strerror}",
                hint=f"df -T {quoted(path.parent)} (it must support flock)",
            ) from error
        holder = Holder(os.getpid(), clock.now().isoformat(timespec="seconds"), command)
        with _writing(path):
            identity, end = _identified(file)
        try:
            with _writing(path):  # a signal that comes meanwhile is heard right behind it
                _write(msgspec.json.encode(holder), end, file)
            yield identity
        finally:
            with suppress(OSError):
                os.ftruncate(file, end)


def _identified(file: int) -> tuple[str, int]:
    """The file's id, made if it has none of its own, and where its line ends."""
    found = os.fstat(file)
    line, newline, _ = os.pread(file, _MOST_TEXT, 0).partition(b"\n")
    with suppress(*UNDECODABLE):
        known = _identity_decoder.decode(line)
        if newline and (known.device, known.inode) == (found.st_dev, found.st_ino):
            return known.id, len(line) + 1
    made = Identity(secrets.token_hex(16), found.st_dev, found.st_ino)
    line = msgspec.json.encode(made) + b"\n"
    _write(line, 0, file)
    return made.id, len(line)


def _write(line: bytes, at: int, file: int) -> None:
    os.ftruncate(file, at)
    os.pwrite(file, line, at)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _not_writable(path, error) from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        file = opened(path, os.O_RDWR | os.O_CREAT)
    except Unfit as error:
        raise StoreUnavailable(
            f"cannot use the lock file {path}: {error.strerror}",
            hint=claimed(path) or f"while no pass runs: rm {quoted(path)}; then: ctisync sync",
        ) from error
    except OSError as error:
        if not path.parent.exists():
            raise ConfigurationError(
                f"the folder {path.parent} does not exist", hint=f"mkdir -p {quoted(path.parent)}"
            ) from error
        raise _not_writable(path, error) from error
    try:
        yield file
    finally:
        os.close(file)


class Watched(NamedTuple):
    """What a lock file tells: the pass of this host that holds it; or, in `unread`, why it cannot be read,
    so that nothing is known of a pass."""

    work: Work | None = None
    unread: str | None = None

    @property
    def who(self) -> str | None:
        return None if self.work is None else self.work.who


def watched(path: Path) -> Watched:
    """Only looked at, not locked: a pass that begins just now is not to be turned away."""
    try:
        return Watched(work_in(_text_of(path)))
    except (FileNotFoundError, NotADirectoryError):  # no pass has ever run here
        return Watched()
    except OSError as error:
        return Watched(unread=f"it cannot be read ({error.strerror})")


def work_in(text: bytes) -> Work | None:
    """The pass that a lock file names, if there is such a process."""
    holder = _named_in(text)
    if holder is None:
        return None
    who = f"{holder.command}, process {holder.pid}"
    try:
        os.kill(holder.pid, 0)
    except PermissionError:
        who += " of another user"
    except (OSError, OverflowError):  # there is none, or no process has such a number
        return None
    since = None
    with suppress(ValueError):  # the text of another program
        since = datetime.fromisoformat(holder.since)
    return Work(who, since if since and since.tzinfo else None)


def last_held(path: Path) -> tuple[str, datetime] | None:
    """The lock file's id, and when a pass of this host has last taken it or let it go; None when none has, or
    that cannot be told."""
    try:
        line = _text_of(path).partition(b"\n")[0]
        found = path.lstat()
        known = _identity_decoder.decode(line)
    except (OSError, *UNDECODABLE):
        return None
    if (known.device, known.inode) != (found.st_dev, found.st_ino):
        return None
    return known.id, datetime.fromtimestamp(found.st_mtime, UTC)


def _text_of(path: Path) -> bytes:
    """Of any user's file: nothing is believed of it but which process to look for."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.pread(file, _MOST_TEXT, 0)
    finally:
        os.close(file)


def diagnose(path: Path) -> Verdict:
    """Whether a pass of this user can take the lock file, by looking at it alone."""
    folder = path.parent  # of one that may not be entered, nothing in it seems to be there
    closed = os.access(folder, os.F_OK) and not os.access(folder, os.X_OK)
    found = watched(path)
    why = (unfit(path.lstat()) if os.path.lexists(path) else None) or found.unread
    if closed or why is not None or (os.access(path, os.F_OK) and not os.access(path, os.R_OK | os.W_OK)):
        return failed(
            "lock",
            f"a pass cannot use {path}: {why or 'it may not be written to'}",
            claimed(path) or f"ls -ld {quoted(path)}; run ctisync as the owner of its folder",
        )
    return ok("lock", "free" if found.who is None else f"held by a pass at work: {found.who}")


def _who_holds(file: int, path: Path) -> str:
    holder = _named_in(os.pread(file, _MOST_TEXT, 0))
    if holder is None:  # it has just begun, or just ended
        return f"another pass is running (it holds {path})"
    return f"another pass is running: {holder.command}, process {holder.pid}, since {holder.since}"


def _named_in(text: bytes) -> Holder | None:
    try:
        return _holder_decoder.decode(text.rpartition(b"\n")[2])
    except UNDECODABLE:
        return None


def _not_writable(path: Path, error: OSError) -> StoreUnavailable:
    hint = "free some space there"
    if error.errno != errno.ENOSPC:
        hint = claimed(path) or f"ls -ld {quoted(path.parent)}"
    return StoreUnavailable(f"cannot write the lock file {path}: {error.strerror}", hint=hint)
