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

from ctisync.core.state import ConsumerState
from ctisync.errors import AnotherPass, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.state_document import (
    STATE_INDEX,
    Lease,
    SeenDocument,
    StateDocument,
    StateEntry,
)

_MACHINE_ID: Final = Path("/etc/machine-id")

_TOLD_EVERY: Final = 5.0
"""Seconds after which a load stores its progress again."""

_CONFLICTS: Final = 20
"""Consumers of one context share a document, so a few conflicts in a row are normal."""


class _Health(msgspec.Struct, frozen=True):
    epoch: Annotated[str, Meta(pattern="^[0-9]{1,12}$")]


_health_decoder: Final = msgspec.json.Decoder(Annotated[list[_Health], Meta(min_length=1)])


class Myself(msgspec.Struct, frozen=True):
    """The holder that a lease names. `lock`: the id of the lock file that this process holds, None without
    one."""

    owner: str
    host: str
    pid: int
    lock: str | None


def myself(lock: str | None = None) -> Myself:
    """This process as a lease's holder. The machine id distinguishes hosts with the same name, such as
    clones."""
    try:
        machine = hashlib.sha256(_MACHINE_ID.read_bytes().strip()).hexdigest()[:8]
    except OSError:
        machine = "unknown"
    try:
        owner = getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        owner = f"uid {os.getuid()}"
    host = f"{socket.gethostname()} (machine {machine})"
    return Myself(owner=owner, host=host, pid=os.getpid(), lock=lock)


def server_time(client: Client) -> int:
    """Seconds since the epoch by the clock of the node that answers. The nodes' clocks may differ by
    seconds."""
    reply = client.call("GET", path("_cat", "health", query="h=epoch&format=json"))
    return int(client.read(reply, _health_decoder)[0].epoch)


def may_be_taken(lease: Lease | None, now: int, ttl: float, taker: Myself | None) -> bool:
    """Whether the lease is free: there is none, it has expired, or its holder is known to be dead.

    A lease that ends later than `now + 2 * ttl` counts as expired: a clock was wrong. One that was taken just
    now may end later than `now + ttl`, if its node's clock is ahead of the one that reported `now`.
    """
    if lease is None or not now < lease.until <= now + 2 * ttl:
        return True
    return taker is not None and is_dead(lease, taker)


def is_dead(lease: Lease, found_by: Myself) -> bool:
    """Whether the lease was taken under the same lock file that `found_by` holds, so that its holder is dead.

    User and host do not prove it: passes of one host use another lock with another state folder or another
    list of URLs, and containers may share the host's name and machine id.
    """
    theirs, ours = (lease.lock, lease.owner, lease.host), (found_by.lock, found_by.owner, found_by.host)
    return lease.lock is not None and theirs == ours


def is_missing(lease: Lease) -> bool:
    """Whether the lease names this host, and a process that is not on it. It is no proof that the holder is
    dead: it may be in a container, or on a clone of this host (ADR 23)."""
    if lease.host != myself().host or lease.pid < 1:  # below 1 it would be a group of processes
        return False
    try:
        os.kill(lease.pid, 0)
    except PermissionError:
        return False
    except (OSError, OverflowError):
        return True
    return False


class HeldLease:
    """A lease from `acquire` to `release`. `entry` is the entry as last read or written."""

    def __init__(
        self,
        client: Client,
        document: StateDocument,
        clock: Clock,
        ttl: float,
        *,
        host_lock: str | None,
        seen: SeenDocument | None = None,
    ) -> None:
        """`seen`: the document as it was read a moment ago. If it has changed since, it is read again."""
        self._client = client
        self._document = document
        self._clock = clock
        self._ttl = ttl
        self._me = myself(host_lock)
        self.token = secrets.token_hex(8)
        self._seen = document.read() if seen is None else seen
        self._noted: ConsumerState | None = None
        self._server_ahead = server_time(client) - clock.monotonic()
        self._renewed_at = clock.monotonic()
        self._since: int | None = None
        self.records: int | None = None  # loaded so far; None: no load is running

    @property
    def entry(self) -> StateEntry:
        entry = self._seen.entry
        return entry if self._noted is None else msgspec.structs.replace(entry, state=self._noted)

    def save_later(self, state: ConsumerState) -> None:
        """Store this state together with the next write, unless that one has its own."""
        self._noted = state

    def acquire(self, change: Callable[[StateEntry], StateEntry]) -> None:
        """Take the lease, and store the entry that `change` returns. Raises AnotherPass while another pass
        holds the lease.

        In the model: acquire.
        """
        self._since = self._server_now()
        if self.entry.lease is not None:  # it may have been given back since it was read
            self._seen = self._document.read()
        for _ in range(_CONFLICTS):
            lease = self.entry.lease
            if lease is not None and not may_be_taken(lease, self._server_now(), self._ttl, self._me):
                raise AnotherPass(_held_by(lease), hint=_until_it_is_free(lease))
            if self._write(change):
                return
        raise _never_quiet()

    def commit(self, change: Callable[[StateEntry], StateEntry]) -> None:
        """Write the changed entry under the condition that the document is as last read. This also renews the
        lease. This is `_commit` of the model.

        After a conflict the document is read again. Our own write_id there means that the write was done. Our
        own token means that only other consumers' fields or the feed's facts have changed: it is tried again.
        Raises AnotherPass if another pass holds the lease.
        """
        for _ in range(_CONFLICTS):
            # Also before the first try: the document as last read may already be that of another holder.
            self._check_token()
            if self._write(change):
                return
        raise _never_quiet()

    def look(self) -> None:
        """Read the document again. Raises AnotherPass if the lease is no longer ours."""
        self._seen = self._document.read()
        self._check_token()

    def renew_if_due(self) -> None:
        """Renew the lease after a third of its time; during a load every 5 seconds, to store its
        progress."""
        due = self._ttl / 3 if self.records is None else min(_TOLD_EVERY, self._ttl / 3)
        if self._clock.monotonic() - self._renewed_at > due:
            self.commit(lambda entry: entry)

    def release(self) -> None:
        """Give the lease back. If the reply to taking it was lost to a signal, read the document first."""
        if self.entry.lease is None or self.entry.lease.token != self.token:
            self.look()
        self.commit(lambda entry: msgspec.structs.replace(entry, lease=None))

    def vanish(self) -> None:
        """Remove the consumer's entry, with the lease, from the document. It is the last write."""
        for _ in range(_CONFLICTS):
            self._check_token()
            if self._document.remove(self._seen):
                return
            self._seen = self._document.read()
            if not self._seen.known:  # a request whose reply was lost has done it
                return
        raise _never_quiet()

    def lost(self) -> AnotherPass:
        """The error of a pass whose lease was taken over."""
        lease = self.entry.lease
        by = "" if lease is None or lease.token == self.token else f"; now {_held_by(lease)}"
        return AnotherPass(f"another pass has taken over this pass's lease{by}")

    def _write(self, change: Callable[[StateEntry], StateEntry]) -> bool:
        """Write the changed entry. False after a conflict; `entry` is then the one found in the document."""
        began = self._clock.monotonic()
        lease = Lease(
            token=self.token,
            owner=self._me.owner,
            host=self._me.host,
            pid=self._me.pid,
            until=int(self._server_now() + self._ttl),
            lock=self._me.lock,
            since=self._since,
            records=self.records,
        )
        write_id = secrets.token_hex(8)
        entry = change(msgspec.structs.replace(self.entry, lease=lease, write_id=write_id))
        self._seen = self._document.write(self._seen, entry) or self._document.read()
        if self.entry.write_id != write_id:
            return False
        self._renewed_at = began
        self._noted = None
        return True

    def _check_token(self) -> None:
        lease = self.entry.lease
        if lease is None or lease.token != self.token:
            raise self.lost()

    def _server_now(self) -> int:
        return int(self._server_ahead + self._clock.monotonic())


def in_words(lease: Lease) -> str:
    """Who has the lease, and until when, for people."""
    until = lease.end.isoformat(sep=" ", timespec="seconds")
    missing = ", which this host does not have" if is_missing(lease) else ""
    return f"{lease.owner} on {lease.host}, process {lease.pid}{missing}, lease until {until}"


def _held_by(lease: Lease) -> str:
    return f"another pass works on this consumer: {in_words(lease)}"


def _until_it_is_free(lease: Lease) -> str:
    if not is_missing(lease):
        return "wait for it; if its host has died, the first pass after that time takes over"
    return f"if it was killed, run the same command after {lease.end:%Y-%m-%dT%H:%M:%SZ}; the lease ends then"


def _never_quiet() -> StoreUnavailable:
    return StoreUnavailable(
        f"{STATE_INDEX} changed {_CONFLICTS} times while it was being written; try again later"
    )
