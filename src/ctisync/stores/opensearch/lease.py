"""The lease on a consumer's state, and the only way in which a writer changes that state.

Clocks decide when a lease may be taken, never what is written: each write is conditional on the document
being as last seen, so a writer whose lease was taken over fails at its next one.
"""

import getpass
import hashlib
import os
import secrets
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from ctisync.errors import AnotherPass, StoreUnavailable
from ctisync.ports import Clock
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.state_document import STATE_INDEX, Lease, StateDocument, StateEntry

_MACHINE_ID: Final = Path("/etc/machine-id")

_TOLD_EVERY: Final = 30.0
"""Seconds after which a load says again how far it is."""

_CONFLICTS: Final = 20
"""Consumers of one context share a document, so a few conflicts in a row are nothing unusual."""


class _Health(msgspec.Struct, frozen=True):
    epoch: str


_health_decoder: Final = msgspec.json.Decoder(list[_Health])


class Myself(msgspec.Struct, frozen=True):
    """Who holds a lease. `lock`: the id of the lock file that is held; None: none is."""

    owner: str
    host: str
    pid: int
    lock: str | None


def myself(lock: str | None = None) -> Myself:
    """Hosts that share a name, as cloned ones do, are told apart by their machine id."""
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
    """Seconds since the epoch by the clock of the node that answers; another's may be seconds away."""
    reply = client.call("GET", path("_cat", "health", query="h=epoch&format=json"))
    return int(client.read(reply, _health_decoder)[0].epoch)


def may_be_taken(lease: Lease | None, now: int, ttl: float, taker: Myself | None) -> bool:
    """Whether nobody alive holds this lease.

    An end further away than two whole leases is a clock's mistake; one that was taken just now may end
    later than `now + ttl`, when another node's clock is ahead of the one that told `now`.
    """
    if lease is None or not now < lease.until <= now + 2 * ttl:
        return True
    return taker is not None and is_dead(lease, taker)


def is_dead(lease: Lease, found_by: Myself) -> bool:
    """Whether it was taken under the very lock that its finder holds, so that its holder is gone.

    Neither user nor host tells that: passes of one host have other locks in another state folder or with
    another list of URLs, and containers may share a host's name and its machine id.
    """
    theirs, ours = (lease.lock, lease.owner, lease.host), (found_by.lock, found_by.owner, found_by.host)
    return lease.lock is not None and theirs == ours


class HeldLease:
    """A lease from `acquire` to `release`; `entry` is what was last seen in the document."""

    def __init__(
        self, client: Client, document: StateDocument, clock: Clock, ttl: float, *, host_lock: str | None
    ) -> None:
        self._client = client
        self._document = document
        self._clock = clock
        self._ttl = ttl
        self._me = myself(host_lock)
        self.token = secrets.token_hex(8)
        self._seen = document.read()
        self._server_ahead = server_time(client) - clock.monotonic()
        self._renewed_at = clock.monotonic()
        self._since: int | None = None
        self.records: int | None = None  # that a load has taken in; None: nothing is being loaded

    @property
    def entry(self) -> StateEntry:
        return self._seen.entry

    def acquire(self, change: Callable[[StateEntry], StateEntry]) -> None:
        """Take the lease, and store the entry as `change` makes it. Raises AnotherPass while it is another's.

        In the model: acquire.
        """
        self._since = self._server_now()
        for _ in range(_CONFLICTS):
            lease = self.entry.lease
            if lease is not None and not may_be_taken(lease, self._server_now(), self._ttl, self._me):
                raise AnotherPass(
                    _held_by(lease),
                    hint="wait for it; if that host has died, the first call after that time takes over",
                )
            if self._write(change):
                return
        raise _never_quiet()

    def commit(self, change: Callable[[StateEntry], StateEntry]) -> None:
        """A conditional write of the changed entry, which also renews the lease: `_commit` of the model.

        On a conflict the document is read again: our own write_id says that it was done, our own
        token that only others' fields or what the feed said have changed; then it is tried again.
        Raises AnotherPass when the lease is somebody else's.
        """
        for _ in range(_CONFLICTS):
            # Also before the first try: what was seen last may be the document of who has taken over.
            self._check_token()
            if self._write(change):
                return
        raise _never_quiet()

    def look(self) -> None:
        """Read the document again; raises AnotherPass when the lease is not ours any more."""
        self._seen = self._document.read()
        self._check_token()

    def renew_if_due(self) -> None:
        due = self._ttl / 3 if self.records is None else min(_TOLD_EVERY, self._ttl / 3)
        if self._clock.monotonic() - self._renewed_at > due:
            self.commit(lambda entry: entry)

    def release(self) -> None:
        """Also a lease that is ours without our knowing: a signal may have come before the reply."""
        if self.entry.lease is None or self.entry.lease.token != self.token:
            self.look()
        self.commit(lambda entry: msgspec.structs.replace(entry, lease=None))

    def vanish(self) -> None:
        """Remove all that is stored in the document of this consumer, the lease with it. Nothing is written
        after this."""
        for _ in range(_CONFLICTS):
            self._check_token()
            if self._document.remove(self._seen):
                return
            self._seen = self._document.read()
            if not self._seen.known:  # done by a request whose reply was lost
                return
        raise _never_quiet()

    def lost(self) -> AnotherPass:
        lease = self.entry.lease
        by = "" if lease is None or lease.token == self.token else f"; now {_held_by(lease)}"
        return AnotherPass(f"another pass has taken over the lease of this one{by}")

    def _write(self, change: Callable[[StateEntry], StateEntry]) -> bool:
        """Write the changed entry; False after a conflict, with what was found then as `entry`."""
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
        return True

    def _check_token(self) -> None:
        lease = self.entry.lease
        if lease is None or lease.token != self.token:
            raise self.lost()

    def _server_now(self) -> int:
        return int(self._server_ahead + self._clock.monotonic())


def _held_by(lease: Lease) -> str:
    until = datetime.fromtimestamp(lease.until, UTC).isoformat(sep=" ", timespec="seconds")
    return (
        f"another pass works on this consumer: {lease.owner} on {lease.host}, process {lease.pid}, "
        f"lease until {until}"
    )


def _never_quiet() -> StoreUnavailable:
    return StoreUnavailable(
        f"{STATE_INDEX} changed {_CONFLICTS} times while it was being written; try again later"
    )
