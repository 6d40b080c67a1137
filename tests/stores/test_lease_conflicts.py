"""The lease before a node on which others write between any two of our requests."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from ctisync.core.state import ConsumerState
from ctisync.errors import AnotherPass, StoreUnavailable
from ctisync.stores.opensearch import lease as opensearch_lease
from ctisync.stores.opensearch.client import NoReply, OpenSearchReply
from ctisync.stores.opensearch.lease import can_take_over, new_lease
from ctisync.stores.opensearch.state_document import Lease, StateEntry
from tests.stores.small_node import EPOCH, LOCK, Holder, SmallNode, lease

WRITE = "PUT /wazuh-context/_doc"
ME = Lease(token="", owner="root", host="other-host", pid=1, until=0, lock=LOCK)


@pytest.fixture
def node() -> SmallNode:
    """With a document in which nobody holds the lease."""
    made = SmallNode()
    made.put(lambda entry: entry)
    return made


def unchanged(entry: StateEntry) -> StateEntry:
    return entry


@pytest.mark.parametrize(
    ("until", "free"),
    [
        (EPOCH - 1, True),
        (EPOCH, True),
        (EPOCH + 1, False),
        (EPOCH + 900, False),
        (EPOCH + 1800, False),
        (EPOCH + 1801, True),
    ],
)
def test_a_lease_lasts_from_now_to_its_end_and_no_longer_than_two_can_last(until: int, free: bool) -> None:
    assert can_take_over(lease(until=until), EPOCH) is free


def test_a_lease_without_an_owner_may_be_taken_over() -> None:
    assert can_take_over(None, EPOCH) is True


@pytest.mark.parametrize(
    ("taker", "free"),
    [
        (None, False),
        (ME, True),
        (replace(ME, lock=None), False),
        (replace(ME, lock="f" * 32), False),
        (replace(ME, owner="another"), False),
        (replace(ME, host="yet-another-host"), False),
    ],
)
def test_a_live_lease_passes_to_the_holder_of_the_lock_that_it_names(taker: Lease | None, free: bool) -> None:
    """A lock file's number of another host is a copy, and one of another user can't be."""
    assert can_take_over(lease(lock=LOCK), EPOCH, taker) is free


@pytest.mark.parametrize("taker", [ME, replace(ME, lock=None)])
def test_a_lease_that_names_no_lock_file_is_waited_for(taker: Lease) -> None:
    """An earlier version's."""
    assert can_take_over(lease(), EPOCH, taker) is False


def test_two_clones_of_one_machine_are_two_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have one name, and one must not take the other for a dead pass of its own."""
    own = Path("/etc/machine-id")
    assert (
        hashlib.sha256(own.read_bytes().strip()).hexdigest()[:8] if own.exists() else "unknown"
    ) in new_lease().host
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("  one\n")
    monkeypatch.setattr(opensearch_lease, "_MACHINE_ID", machine_id)
    short = hashlib.sha256(b"one").hexdigest()[:8]
    ours = new_lease()
    assert ours == Lease(
        token=ours.token,
        owner=getpass.getuser(),
        host=f"{socket.gethostname()} (machine {short})",
        pid=os.getpid(),
        until=0,
    )
    machine_id.unlink()
    assert new_lease().host == f"{socket.gethostname()} (machine unknown)"


@pytest.mark.parametrize("failure", [KeyError, OSError], ids=["Python 3.11", "Python 3.13"])
def test_a_user_without_a_name_still_gets_a_lease(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, whose user id stands in no file."""

    def nameless() -> str:
        raise failure("uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert new_lease().owner == f"uid {os.getuid()}"


def test_the_lease_says_until_when_by_the_servers_clock(node: SmallNode) -> None:
    """Whatever this machine's clock says, which has gone on since the two were compared."""
    node.clock.advance(seconds=5000)
    holder = Holder(node)
    node.clock.advance(seconds=60.9)
    holder.lease.acquire(unchanged)
    lease = node.entry().lease
    assert lease is not None
    assert (lease.token, lease.until) == (holder.lease.token, EPOCH + 5000 + 60 + 900)
    assert (lease.owner, lease.host, lease.pid) == (new_lease().owner, new_lease().host, os.getpid())
    assert lease.lock == LOCK


def test_a_lease_of_another_host_is_over_by_the_servers_clock(node: SmallNode) -> None:
    node.put(lambda entry: msgspec.structs.replace(entry, lease=lease(until=EPOCH + 600)))
    holder = Holder(node)
    node.clock.advance(seconds=599)
    with pytest.raises(AnotherPass, match=r"process 4711, lease until 2026-05-28 20:36:40\+00:00"):
        holder.lease.acquire(unchanged)
    node.clock.advance(seconds=1)
    holder.lease.acquire(unchanged)
    assert node.entry().lease != lease()


def test_only_who_holds_its_lock_takes_a_live_lease(node: SmallNode) -> None:
    me = new_lease()
    ours = lease(owner=me.owner, host=me.host, lock=LOCK)
    node.put(lambda entry: msgspec.structs.replace(entry, lease=ours))
    for other in (None, "f" * 32):
        with pytest.raises(AnotherPass):
            Holder(node, host_lock=other).lease.acquire(unchanged)
    assert node.entry().lease == ours
    Holder(node).lease.acquire(unchanged)


def test_who_is_overtaken_while_taking_the_lease_leaves_it_to_the_other(node: SmallNode) -> None:
    holder = Holder(node)
    node.meanwhile.append(
        (WRITE, lambda: node.put(lambda entry: msgspec.structs.replace(entry, lease=lease())))
    )
    with pytest.raises(AnotherPass, match="other-host"):
        holder.lease.acquire(unchanged)
    assert node.entry().lease == lease()


def test_another_consumer_of_the_context_never_hinders_taking_the_lease(node: SmallNode) -> None:
    """19 conflicts with its writes in a row, and what it wrote stays."""
    holder = Holder(node)
    node.meanwhile.extend([(WRITE, node.touch)] * 19)
    holder.lease.acquire(unchanged)
    lease = node.entry().lease
    assert lease is not None
    assert lease.token == holder.lease.token
    assert node.fields is not None
    assert "another" in node.fields


@pytest.mark.parametrize("work", ["acquire", "commit"])
def test_a_document_that_never_rests_ends_the_pass_at_last(node: SmallNode, work: str) -> None:
    """It is not written without having been seen, however often others are quicker."""
    holder = Holder(node)
    if work == "commit":
        holder.lease.acquire(unchanged)
    node.sent.clear()
    node.meanwhile.extend([(WRITE, node.touch)] * 30)
    with pytest.raises(StoreUnavailable, match="changed 20 times"):
        getattr(holder.lease, work)(unchanged)
    assert len(node.sent) == 20


def moved_on(entry: StateEntry) -> StateEntry:
    state = msgspec.structs.replace(entry.state, offset=entry.state.offset + 1)
    return msgspec.structs.replace(entry, state=state)


def test_an_answer_recorded_meanwhile_is_not_lost_and_the_write_is_done_once(node: SmallNode) -> None:
    """An idle pass elsewhere has remembered the feed's word in the very same entry."""

    def record_answer() -> None:
        node.put(
            lambda entry: msgspec.structs.replace(
                entry, state=msgspec.structs.replace(entry.state, last_offset=77)
            )
        )

    holder = Holder(node)
    holder.lease.acquire(unchanged)
    node.meanwhile.append((WRITE, record_answer))
    holder.lease.commit(moved_on)
    assert node.entry().state == ConsumerState(offset=1, last_offset=77)
    assert holder.lease.entry.state == ConsumerState(offset=1, last_offset=77)


def test_a_write_whose_reply_was_lost_is_recognised_and_not_done_again(node: SmallNode) -> None:
    """The second try meets a conflict with the first."""
    holder = Holder(node)
    holder.lease.acquire(unchanged)
    once = node.answer

    def lossy(method: str, target: str, body: bytes | None) -> OpenSearchReply:
        reply = once(method, target, body)
        if method == "PUT":
            node.answer = once  # type: ignore[method-assign]
            raise NoReply("timed out")
        return reply

    node.answer = lossy  # type: ignore[method-assign]
    node.sent.clear()
    holder.lease.commit(moved_on)
    assert node.entry().state.offset == 1
    assert len(node.sent) == 2


def test_who_has_lost_the_lease_writes_nothing_and_learns_who_has_it(node: SmallNode) -> None:
    holder = Holder(node)
    holder.lease.acquire(unchanged)
    node.put(lambda entry: msgspec.structs.replace(entry, lease=lease()))
    before = node.fields
    for _ in range(2):  # the second time with the new holder's document before its eyes
        with pytest.raises(
            AnotherPass, match=r"over this pass's lease; now another pass .* root on other-host"
        ):
            holder.lease.commit(moved_on)
    assert node.fields == before
    with pytest.raises(AnotherPass):
        holder.lease.reload()


def test_who_finds_the_lease_released_by_somebody_else_writes_nothing(node: SmallNode) -> None:
    """Somebody took it, and let it go again: what he has written is not known here."""
    holder = Holder(node)
    holder.lease.acquire(unchanged)
    node.put(lambda entry: msgspec.structs.replace(entry, lease=None))
    before = node.fields
    with pytest.raises(AnotherPass, match=r"taken over this pass's lease$"):
        holder.lease.reload()
    with pytest.raises(AnotherPass):
        holder.lease.commit(moved_on)
    assert node.fields == before


def test_a_lease_is_renewed_when_a_third_of_it_is_over_and_not_at_each_call(node: SmallNode) -> None:
    holder = Holder(node)
    node.clock.advance(seconds=1000)
    holder.lease.acquire(unchanged)
    node.sent.clear()
    node.clock.advance(seconds=300)
    holder.lease.renew_if_due()
    assert node.sent == []
    node.clock.advance(seconds=1)
    holder.lease.renew_if_due()
    renewed = node.entry().lease
    assert renewed is not None
    assert renewed.until == EPOCH + 1301 + 900
    holder.lease.renew_if_due()
    assert len(node.sent) == 1


def test_a_lease_counts_from_before_its_write_was_sent(node: SmallNode) -> None:
    """A write that took long has its end from before; so the next renewal is not late."""
    holder = Holder(node)
    node.meanwhile.append((WRITE, lambda: node.clock.advance(seconds=301)))
    holder.lease.acquire(unchanged)
    node.sent.clear()
    holder.lease.renew_if_due()
    assert len(node.sent) == 1


def test_a_lease_that_was_let_go_is_free_for_any_other(node: SmallNode) -> None:
    holder = Holder(node)
    holder.lease.acquire(unchanged)
    holder.lease.release()
    assert node.entry().lease is None
    node.clock.advance(seconds=1)
    Holder(node, host_lock=None).lease.acquire(unchanged)


@pytest.mark.parametrize("before", [None, lease(until=EPOCH - 1)], ids=["nobody's", "a dead one's"])
def test_a_lease_of_an_unconfirmed_write_is_released_as_well(node: SmallNode, before: Lease | None) -> None:
    """A signal came between the write that took it and its reply."""
    node.put(lambda entry: msgspec.structs.replace(entry, lease=before))
    holder = Holder(node)
    once = node.answer

    def stopped(method: str, target: str, body: bytes | None) -> OpenSearchReply:
        reply = once(method, target, body)
        if method == "PUT":
            node.answer = once  # type: ignore[method-assign]
            raise KeyboardInterrupt
        return reply

    node.answer = stopped  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        holder.lease.acquire(unchanged)
    assert node.entry().lease not in (None, before)
    holder.lease.release()
    assert node.entry().lease is None


def test_releasing_the_lease_costs_one_request(node: SmallNode) -> None:
    """There may be two seconds for it."""
    holder = Holder(node)
    holder.lease.acquire(unchanged)
    before = len(node.requests)
    holder.lease.release()
    assert len(node.requests) == before + 1


def test_somebody_elses_lease_is_never_let_go(node: SmallNode) -> None:
    holder = Holder(node)
    holder.lease.acquire(unchanged)
    node.put(lambda entry: msgspec.structs.replace(entry, lease=lease()))
    with pytest.raises(AnotherPass):
        holder.lease.release()
    assert node.entry().lease == lease()


def test_each_holder_has_a_token_of_its_own(node: SmallNode) -> None:
    tokens = {Holder(node).lease.token for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) == 16 for token in tokens)
