"""The lease on a consumer's state, and the only way in which a writer changes that state.

Clocks decide when a lease may be taken, never what is written: each write has the condition that the document
is as last read. So a writer whose lease was taken over fails at its next write.
"""

import getpass
import hashlib
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from ctisync.core.pass_report import Work
from ctisync.core.state import ConsumerState
from ctisync.errors import AnotherPass, StoreUnavailable
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.indices import STATE_INDEX
from ctisync.stores.opensearch.state_document import Lease, StateDocument, StateEntry, StoredDocument, as_time

LEASE_TTL: Final = 900.0
"""Seconds."""

_MACHINE_ID: Final = Path("/etc/machine-id")

_PROGRESS_INTERVAL: Final = 5.0
"""Seconds after which a load stores its progress again."""

_CONFLICTS: Final = 20
"""Consumers of one context share a document, so a few conflicts in a row are normal."""


class _Health(msgspec.Struct, frozen=True):
    epoch: Annotated[str, Meta(pattern="^[0-9]{1,12}$")]


_health_decoder: Final = msgspec.json.Decoder(Annotated[list[_Health], Meta(min_length=1)])


def this_host() -> str:
    """The name of this host. The machine id distinguishes hosts with the same name, such as clones."""
    try:
        machine = hashlib.sha256(_MACHINE_ID.read_bytes().strip()).hexdigest()[:8]
    except OSError:
        machine = "unknown"
    return f"{socket.gethostname()} (machine {machine})"


def new_lease(lock: str | None = None) -> Lease:
    """A lease of this process with a new token, not taken yet. `lock`: the id of the lock file that the
    process holds."""
    try:
        owner = getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        owner = f"uid {os.getuid()}"
    return Lease(secrets.token_hex(8), owner, this_host(), os.getpid(), until=0, lock=lock)


def server_time(client: Client) -> int:
    """Seconds since the epoch by the clock of the node that answers. The nodes' clocks may differ by
    seconds."""
    reply = client.call("GET", path("_cat", "health", query="h=epoch&format=json"))
    return int(client.read(reply, _health_decoder)[0].epoch)


def can_take_over(lease: Lease | None, now: int, ours: Lease | None = None) -> bool:
    """Whether the lease is free: there is none, it has expired, or its holder is dead by `ours`.

    A lease that ends later than `now + 2 * LEASE_TTL` counts as expired: a clock was wrong. One taken just
    now may end later than `now + LEASE_TTL`, if its node's clock is ahead of the one that reported `now`.
    """
    if lease is None or not now < lease.until <= now + 2 * LEASE_TTL:
        return True
    return ours is not None and is_dead(lease, ours)


def current_lease(lease: Lease | None, now: int) -> Lease | None:
    """The lease, if a pass holds it as far as its time tells."""
    return None if can_take_over(lease, now) else lease


def is_dead(lease: Lease, ours: Lease) -> bool:
    """Whether the lease was taken under the same lock file that this process holds, so that its holder is
    dead.

    User and host do not prove it: passes of one host use another lock with another state folder or another
    list of URLs, and containers may share the host's name and machine id.
    """
    same = (lease.lock, lease.owner, lease.host) == (ours.lock, ours.owner, ours.host)
    return same and lease.lock is not None


def is_missing(lease: Lease) -> bool:
    """Whether the lease names this host, and a process that is not on it. It is no proof that the holder is
    dead: it may be in a container, or on a clone of this host (ADR 23)."""
    if lease.host != this_host() or lease.pid < 1:  # below 1 it would be a group of processes
        return False
    try:
        os.kill(lease.pid, 0)
    except PermissionError:
        return False
    except (OSError, OverflowError):
        return True
    return False


class LeaseHolder:
    """A lease from `acquire` to `release`. `entry` is the entry as last read or written, `records` the number
    that a running load has written (None: no load is running)."""

    def __init__(
        self, client: Client, document: StateDocument, stored: StoredDocument, *, host_lock: str | None
    ) -> None:
        """`stored`: the document as last read. If it has changed since, it is read again."""
        self._document = document
        self._clock = client.clock
        self._ours = new_lease(host_lock)
        self._stored = stored
        self._pending_state: ConsumerState | None = None
        self._server_ahead = server_time(client) - self._clock.monotonic()
        self._renewed_at = self._clock.monotonic()
        self.token = self._ours.token
        self.records: int | None = None

    @property
    def entry(self) -> StateEntry:
        entry, pending = self._stored.entry, self._pending_state
        return entry if pending is None else replace(entry, state=pending)

    def save_later(self, state: ConsumerState) -> None:
        """Store this state together with the next write, unless that one has its own."""
        self._pending_state = state

    def acquire(self, change: Callable[[StateEntry], StateEntry]) -> None:
        """Take the lease, and store the entry that `change` returns. Raises AnotherPass while another pass
        holds the lease.

        In the model: acquire.
        """
        self._ours = replace(self._ours, since=self._server_now())
        if self.entry.lease is not None:  # it may have been given back since it was read
            self._stored = self._document.read()
        self._write(change, self._check_free)

    def commit(self, change: Callable[[StateEntry], StateEntry]) -> None:
        """Write the changed entry under the condition that the document is as last read. This also renews the
        lease. This is `_commit` of the model.

        After a conflict the document is read again. Our own write_id there means that the write was done. Our
        own token means that only other consumers' fields or the feed's facts have changed: it is tried again.
        Raises AnotherPass if another pass holds the lease.
        """
        self._write(change, self._check_token)

    def reload(self) -> None:
        """Read the document again. Raises AnotherPass if the lease is no longer ours."""
        self._stored = self._document.read()
        self._check_token()

    def renew_if_due(self) -> None:
        """Renew the lease after a third of its time; during a load every 5 seconds, to store its
        progress."""
        due = LEASE_TTL / 3 if self.records is None else _PROGRESS_INTERVAL
        if self._clock.monotonic() - self._renewed_at > due:
            self.commit(lambda entry: entry)

    def release(self) -> None:
        """Give the lease back. If the reply to taking it was lost to a signal, read the document first."""
        if self.entry.lease is None or self.entry.lease.token != self.token:
            self.reload()
        self.commit(lambda entry: replace(entry, lease=None))

    def remove_entry(self) -> None:
        """Remove the consumer's entry, with the lease, from the document. It is the last write."""
        for _ in range(_CONFLICTS):
            self._check_token()
            is_removed = self._document.remove(self._stored)
            self._stored = StoredDocument() if is_removed else self._document.read()
            if not self._stored.has_entry:  # perhaps a request whose reply was lost has done it
                return
        raise _too_many_conflicts()

    def _write(self, change: Callable[[StateEntry], StateEntry], check: Callable[[], None]) -> None:
        """Write the changed entry. After a conflict, try again with the entry that is stored then."""
        for _ in range(_CONFLICTS):
            check()  # also before the first try: the document as last read may be that of another holder
            began = self._clock.monotonic()
            write_id = secrets.token_hex(8)
            until = int(self._server_now() + LEASE_TTL)
            lease = replace(self._ours, until=until, records=self.records)
            entry = change(replace(self.entry, lease=lease, write_id=write_id))
            self._stored = self._document.write(self._stored, entry) or self._document.read()
            if self.entry.write_id == write_id:
                self._renewed_at = began
                self._pending_state = None
                return
        raise _too_many_conflicts()

    def _check_free(self) -> None:
        lease = self.entry.lease
        if lease is None or can_take_over(lease, self._server_now(), self._ours):
            return
        if is_missing(lease):
            when = f"{lease.end:%Y-%m-%dT%H:%M:%SZ}"
            hint = f"if it was killed, run the same command after {when}; the lease ends then"
        else:
            hint = "wait for it; if its host has died, the first pass after that time takes over"
        raise AnotherPass(_busy(lease), hint=hint)

    def _check_token(self) -> None:
        lease = self.entry.lease
        if lease is None or lease.token != self.token:
            now = "" if lease is None else f"; now {_busy(lease)}"
            raise AnotherPass(f"another pass has taken over this pass's lease{now}")

    def _server_now(self) -> int:
        return int(self._server_ahead + self._clock.monotonic())


def work_of(lease: Lease) -> Work:
    """What the holder is doing, as `status` shows it."""
    since = None if lease.since is None else as_time(lease.since)
    return Work(lease.who, since, lease.records, lease.lock, lease.end, is_missing(lease))


def describe(lease: Lease) -> str:
    """Who has the lease, and until when, for people."""
    until = lease.end.isoformat(sep=" ", timespec="seconds")
    missing = ", which this host does not have" if is_missing(lease) else ""
    return f"{lease.who}{missing}, lease until {until}"


def _busy(lease: Lease) -> str:
    return f"another pass works on this consumer: {describe(lease)}"


def _too_many_conflicts() -> StoreUnavailable:
    return StoreUnavailable(
        f"{STATE_INDEX} changed {_CONFLICTS} times while it was being written; try again later"
    )
