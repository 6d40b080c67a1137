"""Makes the parts of a pass from the settings; the only module that chooses adapters.

Each adapter imports its libraries itself, so that `status` on SQLite loads no HTTP client.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from ctisync.backends import Access
from ctisync.core.links import public_link
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.core.steps import Mode, Policy
from ctisync.errors import ConfigurationError, StoreUnavailable
from ctisync.host_files import check_folder, index_path, lock_path
from ctisync.ports import Clock, Feed, Inspection, Log, SnapshotFile, Store
from ctisync.settings import Settings
from ctisync.system.folders import nearest
from ctisync.system.locks import host_lock
from ctisync.urls import MIRROR, Secret, address_of, origin_of

if TYPE_CHECKING:
    from ctisync.command_manager import CommandManagerClient
    from ctisync.feed.client import CtiFeed
    from ctisync.feed.http.budget import PassLimits
    from ctisync.feed.mirror import MirrorFeed
    from ctisync.feed.mirror_files import LocalFiles, MirrorFiles
    from ctisync.feed.plans import ConsoleApi
    from ctisync.feed.snapshot.spool import SpoolFolder
    from ctisync.mirror.publish import MirrorPass
    from ctisync.search.file import IndexFile

_BUNDLE: Final = "bundle"
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
        check_folder(backend.local.path.parent, settings)
    access = Access(host_lock=host_lock, read_only=read_only, within=within, wait=within / _WAITS)
    return closing(backend.open(settings.store, clock, access))


def opened_feed(
    settings: Settings, consumer: Consumer, clock: Clock, log: Log
) -> AbstractContextManager[Feed]:
    """The configured feed for one consumer, within one pass: that of `FEEDS`, by the scheme of `cti.url`."""
    return FEEDS[urlsplit(settings.cti.url).scheme](settings, consumer, clock, log)


def _cti(
    settings: Settings, consumer: Consumer, log: Log, lock: Path, pass_limits: "PassLimits"
) -> "CtiFeed":
    from ctisync.feed.client import CtiFeed

    if settings.cti.trusted_keys:
        raise ConfigurationError(
            "cti.trusted_keys is set, and cti.url is the CTI API, which signs nothing",
            hint="remove cti.trusted_keys, or set cti.url to the address of a mirror",
        )
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
def _mirror(
    settings: Settings, consumer: Consumer, log: Log, lock: Path, pass_limits: "PassLimits"
) -> Iterator["MirrorFeed"]:
    from ctisync.feed.mirror import MirrorFeed
    from ctisync.feed.snapshot.spool import SpoolFolder

    spool = SpoolFolder(lock, pass_limits, log)
    with _files_of_mirror(settings, spool) as files:
        yield MirrorFeed(files, consumer, spool, settings.cti.trust)


def _files_of_mirror(settings: Settings, spool: "SpoolFolder") -> AbstractContextManager["MirrorFiles"]:
    parts = urlsplit(settings.cti.url)
    path = Path(unquote(parts.path))
    if parts.scheme == "file":
        return nullcontext(mirror_files(path))
    if parts.scheme == _BUNDLE:
        from ctisync.feed.tar_files import opened_bundle

        return opened_bundle(path, spool)
    from ctisync.feed.mirror_http import HttpFiles

    cti = settings.cti
    return closing(
        HttpFiles(
            base_url=cti.url,
            token=_revealed(cti.token) if cti.token_exchange_url is None else None,
            ca_file=cti.ca_file,
            headers=_feed_headers(settings),
            retry_budget=cti.retry_budget,
            cooldown=cti.cooldown,
            allowed_hosts=cti.allowed_hosts,
            spool=spool,
        )
    )


_OpenFeed = Callable[[Settings, Consumer, Clock, Log], AbstractContextManager[Feed]]


def _of_passes(
    open_feed: Callable[[Settings, Consumer, Log, Path, "PassLimits"], AbstractContextManager[Feed]],
) -> _OpenFeed:
    """With the lock and the limits of a pass."""
    return lambda settings, consumer, clock, log: open_feed(
        settings, consumer, log, lock_path(settings, consumer), _pass_limits(settings, consumer, clock)
    )


FEEDS: Final[dict[str, _OpenFeed]] = {
    **dict.fromkeys(("http", "https"), _of_passes(_cti)),
    **dict.fromkeys(("file", _BUNDLE, f"{MIRROR}http", f"{MIRROR}https"), _of_passes(_mirror)),
}
"""What opens a feed, by the scheme of its address. The settings have no address of a bundle: `import` has."""


def mirror_files(root: Path) -> "LocalFiles":
    """The files of the mirror folder `root`."""
    from ctisync.feed.mirror_files import LocalFiles

    return LocalFiles(root)


@contextmanager
def opened_publisher(
    settings: Settings, root: Path, consumer: Consumer, clock: Clock, log: Log, *, writes: bool
) -> Iterator["MirrorPass"]:
    """What makes a mirror of the consumer below `root`, for one pass; if it `writes`, with the lock held.
    Raises AnotherPass."""
    from ctisync.feed.http.budget import PassLimits
    from ctisync.mirror.copy import Copier
    from ctisync.mirror.folder import MirrorFolder
    from ctisync.mirror.publish import Publisher

    folder, limits = MirrorFolder(root, consumer, clock, log), PassLimits(clock, settings.limits)
    with ExitStack() as opened:
        if writes:
            folder.make()
            opened.enter_context(host_lock(folder.lock, clock, "ctisync mirror"))
        restarts = settings.on_feed_reset == "init"
        if _is_mirror(settings):
            source = opened.enter_context(_mirror(settings, consumer, log, folder.lock, limits))
            yield Copier(
                feed=source, folder=folder, consumer=consumer, clock=clock, log=log, restarts=restarts
            )
            return
        feed = opened.enter_context(_cti(settings, consumer, log, folder.lock, limits))
        yield Publisher(
            feed=feed,
            folder=folder,
            consumer=consumer,
            keep=settings.mirror.keep,
            clock=clock,
            log=log,
            restarts=restarts,
        )


def opened_snapshot_file(path: Path, settings: Settings, consumer: Consumer, clock: Clock) -> SnapshotFile:
    """A snapshot that you passed as a file. The time of a pass that reads it begins here. Raises UsageError
    if it cannot be read."""
    from ctisync.feed.snapshot.file import open_file

    return open_file(path, _pass_limits(settings, consumer, clock))


def feed_certificates(settings: Settings) -> Iterator[tuple[str, datetime]]:
    """See `DiagnosedStore.certificates`: that of the feed's server."""
    from ctisync import tls

    return tls.expiry_dates([address_of(settings.cti.url)], tls.Files("cti", settings.cti.ca_file))


def console_api(settings: Settings, clock: Clock) -> "ConsoleApi":
    """The API with the plans."""
    from ctisync.feed.plans import ConsoleApi

    cti, headers = settings.cti, _feed_headers(settings)
    if cti.token_exchange_url is None and _is_mirror(settings):
        raise ConfigurationError(
            "cti.url is a mirror, which has no plans", hint="set cti.url to the address of the CTI API"
        )
    return ConsoleApi(cti.url, cti.token_exchange_url, _revealed(cti.token), cti.ca_file, headers, clock)


def _is_mirror(settings: Settings) -> bool:
    return settings.cti.url.startswith(("file:", MIRROR))


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


def search_index(
    settings: Settings, consumer: Consumer, content: Inspection, clock: Clock, log: Log
) -> "IndexFile":
    """The search index of the content, which is made when something is asked."""
    from ctisync.search.file import IndexFile

    local = settings.backend.local
    like = None if local is None else local.path
    return IndexFile(index_path(settings, consumer), content, clock, log, like)


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


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()
