"""One pass at a time on this host: a lock that the kernel releases when its holder ends."""

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

from ctisync import hints
from ctisync.core.health import CheckResult, failed, ok
from ctisync.core.json_text import UNDECODABLE, decode_as
from ctisync.core.model import Consumer
from ctisync.core.pass_report import Work
from ctisync.errors import AnotherPass, ConfigurationError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.ports import Clock
from ctisync.system.files import UntrustedFile, open_own_fd, to_chown, why_untrusted

_MOST_TEXT: Final = 4096


class Identity(msgspec.Struct, frozen=True):
    """The first line of a lock file, which stays: a random id, and device and inode of the file for which it
    was made. It is not valid in a copy or a restored backup of the file."""

    id: str
    device: int
    inode: int


class Holder(msgspec.Struct, frozen=True):
    """The second line, while a pass holds the lock: its process, when it took the lock (RFC 3339), and its
    command. Files of earlier versions have only this line.

    A `pid` below 1 is not valid: for the kernel it means a group of processes.
    """

    pid: Annotated[int, msgspec.Meta(ge=1)]
    since: str
    command: str


_identity_decoder: Final = msgspec.json.Decoder(Identity)
_holder_decoder: Final = msgspec.json.Decoder(Holder)


def lock_beside(database: Path, consumer: Consumer) -> Path:
    """The lock file for a consumer of a SQLite store: in the folder of the database."""
    return database.with_name(f"{database.name}.{consumer.context}.{consumer.name}.lock")


def lock_for_server(folder: Path, urls: tuple[str, ...], consumer: Consumer) -> Path:
    """The lock file for a consumer of an OpenSearch store: in `folder`, one per server and consumer."""
    server = hashlib.sha256(",".join(sorted(urls)).encode()).hexdigest()[:16]
    return folder / f"{server}.{consumer.context}.{consumer.name}.lock"


@contextmanager
def host_lock(path: Path, clock: Clock, command: str) -> Iterator[str]:
    """Hold the lock file while the block runs; never waits for it. Yields the id of the file: an earlier
    pass with the same id held this lock, and has ended.

    The kernel releases the lock when the process ends in any way, so the text of the file counts only while
    the lock is held. The file stays: without it, two passes could hold two files of the same name.
    Raises AnotherPass, ConfigurationError (no such folder), StoreUnavailable (no write, no lock).
    """
    with _named_errors(path):
        file = open_own_fd(path, os.O_RDWR | os.O_CREAT)
    try:
        _take(file, path)
        holder = Holder(os.getpid(), clock.now().isoformat(timespec="seconds"), command)
        with _named_errors(path):
            identity, end = _lock_id(file)
        try:
            with _named_errors(path):  # a signal meanwhile takes effect right after it
                _write(msgspec.json.encode(holder), end, file)
            yield identity
        finally:
            with suppress(OSError):
                os.ftruncate(file, end)
    finally:
        os.close(file)


def _take(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AnotherPass(_busy_message(file, path)) from error
    except OSError as error:  # for example a network disk without locks
        raise StoreUnavailable(
            f"cannot lock {path}: {error.strerror}",
            hint=f"df -T {quoted(path.parent)} (it must support flock)",
        ) from error


def _lock_id(file: int) -> tuple[str, int]:
    """The id of the file, created if it has no valid one, and the end of its line."""
    text, status = os.pread(file, _MOST_TEXT, 0), os.fstat(file)
    if (identity := _identity_in(text, status)) is not None:
        return identity.id, text.index(b"\n") + 1
    identity = Identity(secrets.token_hex(16), status.st_dev, status.st_ino)
    line = msgspec.json.encode(identity) + b"\n"
    _write(line, 0, file)
    return identity.id, len(line)


def _identity_in(text: bytes, status: os.stat_result) -> Identity | None:
    """The first line of a lock file, if it is whole and of this file."""
    line, newline, _ = text.partition(b"\n")
    with suppress(*UNDECODABLE):
        identity = decode_as(line, _identity_decoder)
        if newline and (identity.device, identity.inode) == (status.st_dev, status.st_ino):
            return identity
    return None


def _write(line: bytes, at: int, file: int) -> None:
    os.ftruncate(file, at)
    os.pwrite(file, line, at)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Errors of opening and writing the lock file become those of ctisync."""
    try:
        yield
    except UntrustedFile as error:
        raise StoreUnavailable(
            f"cannot use the lock file {path}: {error.strerror}",
            hint=to_chown(path) or f"while no pass runs: rm {quoted(path)}; then: {hints.command('sync')}",
        ) from error
    except OSError as error:
        if not path.parent.exists():
            raise ConfigurationError(
                f"the folder {path.parent} does not exist", hint=f"mkdir -p {quoted(path.parent)}"
            ) from error
        hint = "free disk space there"
        if error.errno != errno.ENOSPC:
            hint = to_chown(path) or f"ls -ld {quoted(path.parent)}"
        raise StoreUnavailable(f"cannot write the lock file {path}: {error.strerror}", hint=hint) from error


class LockState(NamedTuple):
    """The pass of this host that holds a lock file; or, in `unread`, why the file cannot be read, so that it
    is unknown whether a pass is running. `last`: the id of the file, and when a pass last took or released
    it; None if there was no pass, or that is unknown."""

    work: Work | None = None
    unread: str | None = None
    last: tuple[str, datetime] | None = None

    @property
    def who(self) -> str | None:
        """Command and process of the pass, for people; None if no pass is known to run."""
        return None if self.work is None else self.work.who


def read_lock(path: Path) -> LockState:
    """The pass that holds this lock file. Reads it without locking it, so that a starting pass does not
    fail; raises nothing."""
    try:
        text, status = _text_of(path), path.lstat()
    except (FileNotFoundError, NotADirectoryError):  # no pass has run here yet
        return LockState()
    except OSError as error:
        return LockState(unread=f"it cannot be read ({error.strerror})")
    last = None
    if (identity := _identity_in(text, status)) is not None:
        with suppress(ValueError, OverflowError, OSError):  # the file's time is beyond all dates
            last = identity.id, datetime.fromtimestamp(status.st_mtime, UTC)
    return LockState(lock_owner(text), last=last)


def lock_owner(text: bytes) -> Work | None:
    """The pass that the text of a lock file names; None if it names none, or its process does not exist."""
    holder = _holder_in(text)
    if holder is None:
        return None
    who = f"{holder.command}, process {holder.pid}"
    try:
        os.kill(holder.pid, 0)
    except PermissionError:
        who += " of another user"
    except (OSError, OverflowError):  # no such process, or no valid number
        return None
    since = None
    with suppress(ValueError):  # the text of another program
        since = datetime.fromisoformat(holder.since)
    return Work(who, since if since and since.tzinfo else None)


def _text_of(path: Path) -> bytes:
    """Also of a file of another user: ctisync trusts only the process number in it."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.pread(file, _MOST_TEXT, 0)
    finally:
        os.close(file)


def diagnose(path: Path) -> CheckResult:
    """Whether a pass of this user can lock the file; only reads it."""
    folder = path.parent  # without permission for it, its files seem to be missing
    closed = os.access(folder, os.F_OK) and not os.access(folder, os.X_OK)
    state = read_lock(path)
    why = (why_untrusted(path.lstat()) if os.path.lexists(path) else None) or state.unread
    if closed or why is not None or (os.access(path, os.F_OK) and not os.access(path, os.R_OK | os.W_OK)):
        return failed(
            "lock",
            f"a pass cannot use {path}: {why or 'no permission to write to it'}",
            to_chown(path) or f"ls -ld {quoted(path)}; run ctisync as the owner of its folder",
        )
    return ok("lock", "free" if state.who is None else f"held by a running pass: {state.who}")


def _busy_message(file: int, path: Path) -> str:
    holder = None
    with suppress(OSError):  # an error of the disk
        holder = _holder_in(os.pread(file, _MOST_TEXT, 0))
    if holder is None:  # it has just started or ended, or that is unknown
        return f"another pass is running (it holds {path})"
    return f"another pass is running: {holder.command}, process {holder.pid}, since {holder.since}"


def _holder_in(text: bytes) -> Holder | None:
    try:
        return decode_as(text.rpartition(b"\n")[2], _holder_decoder)
    except UNDECODABLE:
        return None
