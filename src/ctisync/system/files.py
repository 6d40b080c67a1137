"""Opens files that only this user can change, and writes files whole or not at all.

A file that another user planted is never opened: `open_own_fd` follows no link, and accepts only regular
files of this user. Whether other users can change the folder of a file: `folders`.
"""

import errno
import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from ctisync import hints
from ctisync.errors import ConfigurationError, CtisyncError, UsageError
from ctisync.escaping import quoted

STDOUT: Final = Path("-")
"""What an option takes for standard output."""

_OLD: Final = 86_400
"""Seconds: a partial file that has not changed for this long is of a dead process."""

_PIECE: Final = 1 << 20

_OF_KERNEL: Final = re.compile(r"/dev(/pts)?|/proc(/.*)?")


class UntrustedFile(OSError):
    """The file is not a regular file of this user with a single name."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


def file_name(text: str) -> str:
    """The text as a file name for Python: characters that the locale lacks, as with LANG=C without UTF-8
    mode, become lone surrogates for their UTF-8 bytes."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8", "surrogateescape"))
    return text


def expand_home(path: Path, option: str) -> Path:
    """The path that `option` has, with `~` and `~user` expanded. Raises UsageError for an unknown user."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise UsageError(
            f"{option}: {path} begins with the home folder of a user that does not exist",
            hint="write the absolute path",
        ) from None


def absolute(path: Path, where: str, error: type[CtisyncError] = ConfigurationError) -> Path:
    """The absolute path. Raises `error`, which names the setting or option `where`, for a relative path in a
    working folder that does not exist any more."""
    try:
        return path.absolute()
    except FileNotFoundError:
        raise error(
            f"{where}: {path} is relative, and the working folder has been removed",
            hint="change to a folder that exists, or write the absolute path",
        ) from None


def open_own_fd(path: Path, flags: int) -> int:
    """A descriptor of a regular file of this user with a single name. A new file is accessible only to this
    user.

    Follows no link and waits for no pipe. Truncates nothing before the check: do not pass O_TRUNC in
    `flags`. Raises UntrustedFile, and OSError as `os.open` does.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UntrustedFile(path, "it is a symbolic link") from error
        raise
    if (why := why_untrusted(os.fstat(file))) is not None:
        os.close(file)
        raise UntrustedFile(path, why)
    return file


def open_own(path: Path) -> BinaryIO:
    """The file, opened for reading as by `open_own_fd`."""
    return os.fdopen(open_own_fd(path, os.O_RDONLY), "rb")


def open_any(path: Path) -> BinaryIO:
    """A file of any user that a setting or an option names, opened for reading.

    Only an open file of this process, such as `/dev/fd/63` or `/dev/stdin`, may be a pipe or a device: for
    another pipe ctisync could wait for ever. Raises OSError.
    """
    if is_of_kernel(path):
        return path.open("rb")
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(file, "rb")
    os.close(file)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def is_of_kernel(path: Path) -> bool:
    """Whether the name, which may be a link, belongs to the kernel and means an open file or a device."""
    return _OF_KERNEL.fullmatch(os.path.realpath(path.absolute().parent)) is not None


def why_untrusted(status: os.stat_result) -> str | None:
    """Why ctisync cannot trust the file with this result of `lstat` or `fstat`, in words; None if it can."""
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_uid != os.geteuid():
        return f"it belongs to another user ({status.st_uid})"
    if status.st_nlink > 1:
        return f"it has {status.st_nlink} names (hard links)"
    return None


def to_chown(path: Path) -> str | None:
    """The command that makes this user the owner of the file and of files beside it with the same prefix, if
    another user created them, for example a pass run as root. None if there are none."""
    try:
        beside = list(path.parent.iterdir())
        # The name of a lock or log is that of its database, with a suffix after a dot.
        named = [each.name for each in beside if path.name.startswith(f"{each.name}.")]
        first = min([*named, path.name.removesuffix(".lock")])
        others = [each for each in beside if each.name.startswith(first) and _is_of_another(each.lstat())]
    except OSError:
        return None
    if not others:
        return None
    names = " ".join(quoted(each) for each in sorted(others))
    return f"sudo chown {os.geteuid()}:{os.getegid()} {names}; then: {hints.command('sync')}"


def _is_of_another(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid != os.geteuid()


@contextmanager
def named_write_errors(name: object, *, hint: str) -> Iterator[None]:
    """Raises UsageError, which names the output, for an OSError, except that of a reader that has closed its
    end of the pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"cannot write to {name}: {error.strerror}", hint=hint) from error


def create_file(file: Path, text: str, *, hint: str, mode: int = 0o666) -> None:
    """Write a new file, in a folder that is created if it is missing. `mode`: its permissions, without those
    that the umask takes. Raises UsageError, also if the file exists."""
    with named_write_errors(file, hint=hint):
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "x", encoding="utf-8", opener=partial(os.open, mode=mode)) as stream:
            stream.write(text)


def open_inside(root: Path, folders: Sequence[str], name: str) -> BinaryIO:
    """A regular file of any user in `folders` below `root`, opened for reading. No link is followed below
    `root`, and no pipe is waited for. Raises OSError."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    folder = os.open(root, flags | os.O_DIRECTORY)
    try:
        for each in folders:
            inner = os.open(each, flags | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        file = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is not a regular file", name)
    return os.fdopen(file, "rb")


def size_and_digest(path: Path, meanwhile: Callable[[], None]) -> tuple[int, str]:
    """Bytes and SHA-256 of a file of this user. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with open_own(path) as file:
        while piece := file.read(_PIECE):
            meanwhile()
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def add_file(source: Path, target: Path, unsynced: Callable[[OSError], None]) -> None:
    """Move a file of this user to another folder of the same disk, synced to disk. `unsynced`: as for
    `atomic_write`. Raises OSError."""
    with open_own(source) as file:
        os.fchmod(file.fileno(), _usual_mode())
        sync(file.fileno(), unsynced)
    source.replace(target)
    _sync_folder(target.parent, unsynced)


@contextmanager
def atomic_write(
    target: Path, *, mode: int | None = None, unsynced: Callable[[OSError], None] | None = None
) -> Iterator[BinaryIO]:
    """Yields a new file beside `target`, which replaces it, synced to disk, if the block succeeds. Otherwise
    the file is removed, and `target` stays unchanged.

    `mode`: its permissions, regardless of the umask; None: those of any new file. Until the end only this
    user can read it. A link is replaced, never followed: in a folder that other users can write to, it can
    point anywhere. A device or pipe, such as `/dev/stdout`, is written to directly. `unsynced` is called with
    the error of a disk that does not support fsync; without it, the error is raised. Raises OSError.
    """
    if (special := _opened_special(target)) is not None:
        with special:
            yield special
        return
    beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with open(beside, "xb", opener=partial(os.open, mode=0o600)) as file:
            _remove_leftovers(target, os.fstat(file.fileno()).st_mtime)
            yield file
            file.flush()
            os.fchmod(file.fileno(), _usual_mode() if mode is None else mode)
            sync(file.fileno(), unsynced)
        beside.replace(target)
        _sync_folder(target.parent, unsynced)
    finally:
        beside.unlink(missing_ok=True)


def _opened_special(target: Path) -> BinaryIO | None:
    """The opened target, if it must be written to directly."""
    if target == STDOUT:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")  # not 1: the caller may have closed it
    if is_of_kernel(target):
        return target.open("wb")
    try:
        status = target.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
        return None
    if status.st_uid not in (os.geteuid(), 0):  # opening it could block forever
        raise PermissionError(1, "it is a pipe or device of another user", str(target))
    file = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(file).st_mode):  # replaced in the meantime; it is unchanged
        os.close(file)
        return None
    return os.fdopen(file, "wb")


def _remove_leftovers(target: Path, now: float) -> None:
    """Remove partial files of processes that were killed while they wrote the same file."""
    ours = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{16}\.part")
    for path in target.parent.iterdir():
        if ours.fullmatch(path.name):
            with suppress(OSError):  # of another user, or just removed
                status = path.lstat()
                if status.st_uid == os.geteuid() and now - status.st_mtime > _OLD:
                    path.unlink()


def _usual_mode() -> int:
    """The mode of a new file, from the umask of the process."""
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def _sync_folder(folder: Path, unsynced: Callable[[OSError], None] | None = None) -> None:
    """Without this, the new name may be lost in a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor, unsynced)
    finally:
        os.close(descriptor)


def sync(descriptor: int, unsynced: Callable[[OSError], None] | None) -> None:
    """Sync an open file or folder to disk. `unsynced`: as for `atomic_write`."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if unsynced is None or error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
        unsynced(error)
