"""Makes the parts of a pass from the settings; the only module that chooses adapters.

Each adapter imports its libraries itself, so that `status` on SQLite loads no HTTP client.
"""

import hashlib
import math
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import msgspec

from ctisync.backends import Access
from ctisync.core.links import public_link
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.core.steps import Mode, Policy
from ctisync.errors import ConfigurationError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.ports import Clock, Feed, Inspection, Log, SnapshotFile, Store
from ctisync.settings import Settings
from ctisync.system.files import STDOUT, open_any, open_own
from ctisync.system.folders import folder_risk, nearest
from ctisync.system.locks import host_lock, lock_beside, lock_for_server
from ctisync.system.process import standard_input
from ctisync.urls import Secret, origin_of

if TYPE_CHECKING:
    from ctisync.command_manager import CommandManagerClient
    from ctisync.feed.client import CtiFeed
    from ctisync.feed.http.budget import PassLimits
    from ctisync.feed.mirror_files import LocalFiles
    from ctisync.feed.plans import ConsoleApi
    from ctisync.mirror.publish import Publisher
    from ctisync.search.file import IndexFile

_WAITS: Final = 4
"""If the time for all requests is limited, one without an answer takes at most its fourth part: the rest is
for another node."""


def opened_store(
    settings: Settings,
    clock: Clock,
    *,
    host_lock: str | None = None,
    read_only: bool = False,
    within: float = math.inf,
) -> AbstractContextManager[Store]:
    """The configured store. `host_lock`: the id of the lock that the caller holds, from `consumer_lock`; None
    for a caller that only reads. `read_only`: reading does not even migrate the stored state. `within`:
    seconds for everything that the caller does with the store; a single wait gets a part of them."""
    backend = settings.backend
    if backend.local is not None:
        _check_folder(backend.local.path.parent, settings)
    access = Access(host_lock=host_lock, read_only=read_only, within=within, wait=within / _WAITS)
    return closing(backend.open(settings.store, clock, access))


def opened_feed(
    settings: Settings, consumer: Consumer, clock: Clock, log: Log
) -> AbstractContextManager[Feed]:
    """The configured feed for one consumer, within one pass: that of `FEEDS`, by the scheme of `cti.url`."""
    return FEEDS[urlsplit(settings.cti.url).scheme](settings, consumer, clock, log)


def _opened_cti(
    settings: Settings, consumer: Consumer, clock: Clock, log: Log
) -> AbstractContextManager[Feed]:
    return _cti(
        settings, consumer, log, lock_path(settings, consumer), _pass_limits(settings, consumer, clock)
    )


def _cti(
    settings: Settings, consumer: Consumer, log: Log, lock: Path, pass_limits: "PassLimits"
) -> "CtiFeed":
    from ctisync.feed.client import CtiFeed

    return CtiFeed(
        base_url=settings.cti.url,
        consumer=consumer,
        token=_revealed(settings.cti.token),
        ca_file=settings.cti.ca_file,
        retry_budget=settings.cti.retry_budget,
        lock=lock,
        pass_limits=pass_limits,
        log=log,
        cooldown=settings.cti.cooldown,
        allowed_hosts=settings.cti.allowed_hosts,
        load_while_downloading=settings.cti.load_while_downloading,
        token_exchange_url=settings.cti.token_exchange_url,
        headers=_feed_headers(settings),
    )


@contextmanager
def _opened_folder(settings: Settings, consumer: Consumer, clock: Clock, log: Log) -> Iterator[Feed]:
    from ctisync.feed.mirror import MirrorFeed
    from ctisync.feed.mirror_files import LocalFiles
    from ctisync.feed.snapshot.spool import SpoolFolder

    spool = SpoolFolder(lock_path(settings, consumer), _pass_limits(settings, consumer, clock), log)
    yield MirrorFeed(LocalFiles(Path(unquote(urlsplit(settings.cti.url).path))), consumer, spool)


@contextmanager
def _opened_bundle(settings: Settings, consumer: Consumer, clock: Clock, log: Log) -> Iterator[Feed]:
    """A bundle that is a regular file is read where it is, another one from a copy in the spool."""
    from ctisync.feed.mirror import MirrorFeed
    from ctisync.feed.snapshot.spool import SpoolFolder
    from ctisync.feed.tar_files import TarFiles

    path = Path(unquote(urlsplit(settings.cti.url).path))
    spool = SpoolFolder(lock_path(settings, consumer), _pass_limits(settings, consumer, clock), log)
    with ExitStack() as opened:
        file = standard_input() if path == STDOUT else opened.enter_context(open_any(path))
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            copy = spool.store_stream(file, str(path))
            file = opened.enter_context(open_own(copy.path))
            copy.discard()  # it stays until it is closed
        yield MirrorFeed(TarFiles(file, str(path)), consumer, spool)


FEEDS: Final[dict[str, Callable[[Settings, Consumer, Clock, Log], AbstractContextManager[Feed]]]] = {
    "http": _opened_cti,
    "https": _opened_cti,
    "file": _opened_folder,
    "bundle": _opened_bundle,
}
"""What opens a feed, by the scheme of its address. The settings have no address of a bundle: `import` has."""


def mirror_files(root: Path) -> "LocalFiles":
    """The files of the mirror folder `root`."""
    from ctisync.feed.mirror_files import LocalFiles

    return LocalFiles(root)


@contextmanager
def opened_publisher(
    settings: Settings, root: Path, consumer: Consumer, clock: Clock, log: Log, *, writes: bool
) -> Iterator["Publisher"]:
    """What makes a mirror of the consumer below `root`, for one pass; if it `writes`, with the lock held.

    Raises AnotherPass, and ConfigurationError if `cti.url` is a mirror itself.
    """
    from ctisync.core.manifest import Keep
    from ctisync.feed.http.budget import PassLimits
    from ctisync.mirror.folder import MirrorFolder
    from ctisync.mirror.publish import Publisher

    if urlsplit(settings.cti.url).scheme == "file":
        raise ConfigurationError(
            "cti.url is a mirror folder, of which ctisync makes no mirror",
            hint="copy the folder, or set cti.url to the address of the CTI API",
        )
    mirror = settings.mirror
    keep = Keep(
        timedelta(seconds=mirror.snapshot_age),
        mirror.keep_snapshots,
        timedelta(seconds=mirror.keep_changes),
    )
    folder, limits = MirrorFolder(root, consumer, clock, log), PassLimits(clock, settings.limits)
    with ExitStack() as opened:
        if writes:
            folder.make()
            opened.enter_context(host_lock(folder.lock, clock, "ctisync mirror"))
        feed = opened.enter_context(_cti(settings, consumer, log, folder.lock, limits))
        yield Publisher(
            feed=feed,
            folder=folder,
            consumer=consumer,
            keep=keep,
            clock=clock,
            log=log,
            restarts=settings.on_feed_reset == "init",
        )


def opened_snapshot_file(path: Path, settings: Settings, consumer: Consumer, clock: Clock) -> SnapshotFile:
    """A snapshot that you passed as a file. The time of a pass that reads it begins here. Raises UsageError
    if it cannot be read."""
    from ctisync.feed.snapshot.file import open_file

    return open_file(path, _pass_limits(settings, consumer, clock))


def feed_certificates(settings: Settings) -> Iterator[tuple[str, datetime]]:
    """See `DiagnosedStore.certificates`: that of the feed's server."""
    from ctisync import tls

    return tls.expiry_dates([settings.cti.url], tls.Files("cti", settings.cti.ca_file))


def console_api(settings: Settings, clock: Clock) -> "ConsoleApi":
    """The API with the plans."""
    from ctisync.feed.plans import ConsoleApi

    cti, headers = settings.cti, _feed_headers(settings)
    if cti.token_exchange_url is None and urlsplit(cti.url).scheme == "file":
        raise ConfigurationError(
            "cti.url is a mirror folder, which has no plans", hint="set cti.url to the address of the CTI API"
        )
    return ConsoleApi(cti.url, cti.token_exchange_url, _revealed(cti.token), cti.ca_file, headers, clock)


def _feed_headers(settings: Settings) -> dict[str, str]:
    """The further headers of requests to the feed and to the console."""
    return {name: value.reveal() for name, value in settings.cti.headers.items()}


def _pass_limits(settings: Settings, consumer: Consumer, clock: Clock) -> "PassLimits":
    """With the free disk space for a store on this host. Not for a server, and not with a filter: the number
    of records is then unknown in advance."""
    from ctisync.feed.http.budget import FreeDiskSpace, PassLimits

    local, disk = settings.backend.local, None
    if local is not None and consumer.resources == ("*",):
        share = local.bytes_per_byte(settings.store)
        disk = FreeDiskSpace(str(local.path.parent), local.free_space, share)
    return PassLimits(clock, settings.limits, disk)


def share_of_records(settings: Settings) -> float | None:
    """Bytes that the store needs per byte of records, on the disk of the downloads; None if the store is on
    another host."""
    local = settings.backend.local
    return None if local is None else local.bytes_per_byte(settings.store)


def free_disk_space(settings: Settings) -> int:
    """Free bytes for downloads and, with a store on this host, records. Raises StoreUnavailable if they are
    unknown."""
    from ctisync.system.folders import free_in

    if (local := settings.backend.local) is not None:
        # No folder yet, or a broken file: other checks report it.
        with suppress(ConfigurationError, StoreUnavailable):
            return local.free_space(read_only=True)
    return free_in(nearest(settings.spool_folder))


def command_manager(settings: Settings, clock: Clock) -> "CommandManagerClient | None":
    """The Command Manager; None if ctisync sends no update commands."""
    manager, store = settings.command_manager, settings.store
    urls = settings.command_manager_urls
    if not urls:
        return None
    from ctisync.command_manager import CommandManagerClient
    from ctisync.tls import Files

    # The credentials and TLS files of the store are used only for the origins of the store.
    same = all(origin_of(url) in settings.backend.urls for url in urls)
    login = manager if manager.username is not None or not same else store
    tls = manager if manager.ca_file is not None or not same else store
    certificate = manager if manager.client_cert is not None or not same else store
    return CommandManagerClient(
        urls,
        clock,
        version=manager.version,
        target_id=manager.target_id,
        timeout=manager.timeout,
        login=None if login.username is None else (login.username, _revealed(login.password) or ""),
        files=Files("command_manager", tls.ca_file, certificate.client_cert, certificate.client_key),
    )


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
        _make_folder(settings.state_dir)
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


def search_index(
    settings: Settings, consumer: Consumer, content: Inspection, clock: Clock, log: Log
) -> "IndexFile":
    """The search index of the content, which is made when something is asked."""
    from ctisync.search.file import IndexFile

    local = settings.backend.local
    like = None if local is None else local.path
    return IndexFile(index_path(settings, consumer), content, clock, log, like)


def beside_passes(consumer: Consumer) -> Consumer:
    """The consumer under whose name `verify --against` locks and downloads, so that a pass over this one can
    run at the same time. No consumer in the settings has such a name."""
    return msgspec.structs.replace(consumer, name=f"{consumer.name} verify")


def policy(
    settings: Settings,
    mode: Mode,
    *,
    tolerate_cooldown: bool = False,
    now: bool = False,
    keep: bool = False,
    replace: bool = False,
) -> Policy:
    """What a pass of this mode may do, from the settings and the options of that name."""
    return Policy(
        mode,
        settings.on_feed_reset,
        timedelta(seconds=settings.reinit_interval),
        settings.limits,
        tolerate_cooldown,
        timedelta(seconds=settings.hooks.stale_after),
        server=public_link(settings.cti.url.rstrip("/")),
        now=now,
        keep=keep,
        replace=replace,
        cooldowns=settings.cti.cooldown > 0,
    )


def effective_state(state: ConsumerState, settings: Settings, clock: Clock) -> ConsumerState:
    """The state, without a cool-down that has no effect with these settings."""
    return state if policy(settings, "sync").cooldown_of(state, clock.now()) else state.cooldown_ended()


def _check_folder(folder: Path, settings: Settings) -> None:
    """A configured folder must exist, so that a typing error does not create a second database."""
    with suppress(PermissionError):  # the store reports it
        if folder != settings.state_dir and not folder.is_dir():
            raise ConfigurationError(
                f"store.url: the folder {folder} does not exist", hint=f"mkdir -p {quoted(folder)}"
            )


def _make_folder(folder: Path) -> None:
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


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()
