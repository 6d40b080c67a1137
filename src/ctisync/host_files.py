"""The files of a consumer on this host: its lock, the downloads beside that, its search index; and their
folders."""

import hashlib
import os
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import msgspec

from ctisync.core.model import Consumer
from ctisync.errors import ConfigurationError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.ports import Clock
from ctisync.settings import Settings
from ctisync.system.folders import folder_risk, nearest
from ctisync.system.locks import host_lock, lock_beside, lock_for_server


def consumer_lock(
    settings: Settings, consumer: Consumer, clock: Clock, command: str
) -> AbstractContextManager[str]:
    """Holds the lock of this host for the consumer, as `locks.host_lock` does, and yields its id. `command`:
    the name that another pass and `status` show. Creates a missing state folder.

    Also raises ConfigurationError for a folder in which other users could change files of a pass.
    """
    path, local = lock_path(settings, consumer), settings.backend.local
    _refuse_shared(path.parent)
    if path.parent == settings.state_dir:
        make_folder(settings.state_dir)
        _refuse_shared(path.parent)
    if local is not None:  # it may be a link to another folder
        _refuse_shared(local.path)
    return host_lock(path, clock, command)


def _refuse_shared(path: Path) -> None:
    if (fault := folder_risk(path)) is not None:
        raise ConfigurationError(fault.text, hint=fault.hint)


def lock_path(settings: Settings, consumer: Consumer) -> Path:
    """The lock file of this host for the consumer, beside which its downloads are."""
    backend = settings.backend
    if backend.local is not None:
        return lock_beside(backend.local.path, consumer)
    return lock_for_server(settings.state_dir, backend.urls, consumer)


def index_path(settings: Settings, consumer: Consumer) -> Path:
    """The search index of the content: beside the consumer's lock, or, if this user cannot write there, in
    the user's cache folder."""
    shared = lock_path(settings, consumer).with_suffix(".search")
    if os.access(nearest(shared.parent), os.W_OK):
        return shared
    from platformdirs import user_cache_path

    place = hashlib.sha256(os.fsencode(shared)).hexdigest()[:16]
    with suppress(RuntimeError):  # no HOME and no entry for the user; some versions leave the `~`
        if (folder := user_cache_path("ctisync")).is_absolute():
            return folder / f"{place}.{shared.name}"
    raise StoreUnavailable(
        f"no place for the search index: you cannot write to {shared.parent}, and have no home folder",
        hint="set XDG_CACHE_HOME to a folder that you can write to",
    )


def beside_passes(consumer: Consumer) -> Consumer:
    """The consumer under whose name `verify --against` locks and downloads, so that a pass over this one can
    run at the same time. No consumer in the settings has such a name."""
    return msgspec.structs.replace(consumer, name=f"{consumer.name} verify")


def check_folder(folder: Path, settings: Settings) -> None:
    """A configured folder must exist, so that a typing error does not create a second database."""
    with suppress(PermissionError):  # the store reports it
        if folder != settings.state_dir and not folder.is_dir():
            raise ConfigurationError(
                f"store.url: the folder {folder} does not exist", hint=f"mkdir -p {quoted(folder)}"
            )


def make_folder(folder: Path) -> None:
    try:
        # Under a umask of 002, mkdir with `parents` would make them writable for the group.
        for each in [*reversed(folder.parents), folder]:
            if not each.is_dir():
                each.mkdir(mode=0o700 if each == folder else 0o755, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot create the state folder {folder}: {error.strerror}",
            hint="set state_dir (or CTISYNC_STATE_DIR) to a folder that you can write to",
        ) from error
