"""`verify`: checks the stored content and state; prints lines or a JSON document."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import Any

import msgspec

from ctisync.cli.invocation import Invocation
from ctisync.commands.snapshot_sources import (
    SnapshotSource,
    fetched,
    file_here,
    named_refusals,
    snapshot_sources,
)
from ctisync.core.findings import Kind
from ctisync.core.model import Consumer
from ctisync.core.words import counted
from ctisync.errors import AuditFailed, CtisyncError, EmptyStore
from ctisync.escaping import escape
from ctisync.ports import SnapshotFile, Store
from ctisync.settings.checks import SqlitePlace
from ctisync.system.locks import LockState, read_lock
from ctisync.verify.audit import CheckSummary, Verification
from ctisync.verify.audit import verify as verified
from ctisync.verify.comparison import Reference
from ctisync.wiring import beside_passes, consumer_lock, lock_path, opened_feed, opened_store


class Verified(msgspec.Struct, frozen=True):
    """`failed`: the error that ended the verification of a consumer; those of the others are complete."""

    store: str
    verifications: tuple[Verification, ...]
    failed: CtisyncError | None = None


def verify(invocation: Invocation, *, deep: bool) -> Verified:
    """Verify the consumers, one after the other; an error of one of several does not hide the others. Writes
    nothing. `deep`: decode every record."""
    verifications: list[Verification] = []
    failed: CtisyncError | None = None
    with opened_store(invocation.settings, invocation.clock) as store:
        for each in invocation.consumers:
            try:
                verifications.append(_verification_of(invocation, each, store, deep=deep))
            except CtisyncError as error:
                if len(invocation.consumers) == 1:
                    raise
                failed = failed or error
        return Verified(store.name, tuple(verifications), failed)


def verify_against(invocation: Invocation, source: str, *, deep: bool) -> Verified:
    """The same for the only consumer, compared with the snapshot `source`, a file or an address.

    Raises EmptyStore before it downloads anything, and UsageError and SnapshotRefused like a load.
    """
    consumer = invocation.only_consumer("--against compares")
    with opened_store(invocation.settings, invocation.clock) as store:
        _refuse_empty(store, consumer)
        packages = snapshot_sources(
            source, (consumer,), named=True, log=invocation.console, option="--against"
        )
        one = packages[0] if packages else SnapshotSource(consumer, source)
        with named_refusals(one.location, "--against"), _opened_snapshot(invocation, one) as snapshot:
            found = _verification_of(invocation, consumer, store, deep=deep, against=snapshot)
        return Verified(store.name, (found,))


def raise_bad_end(verified: Verified) -> None:
    """Raises the error that ended a verification, AuditFailed for differences, EmptyStore without content."""
    if verified.failed is not None:
        raise verified.failed
    for one in verified.verifications:
        if one.differences:
            wrong = [each for each in one.checks if each.differences]
            named = ", ".join(f"{each.check} {each.differences}" for each in wrong)
            found = counted(one.differences, "difference")
            hidden = Kind.STORE_HIDDEN  # the differences may only be hidden records
            hint = hidden.hint if hidden in one.counts else wrong[0].hint
            raise AuditFailed(f"{one.consumer}: {found} ({named})", hint=hint)
    for one in verified.verifications:
        if one.is_empty:
            raise _empty(verified.store, one.consumer)


def as_document(verified: Verified) -> dict[str, Any]:
    """The contract of `verify --json`."""
    return {"store": verified.store, "consumers": [_consumer_document(one) for one in verified.verifications]}


def as_text(verified: Verified, hint: Callable[[str], str] = str, *, quiet: bool = False) -> str:
    """One line per check, then its findings, a limited number of each kind; `hint` formats a hint. `quiet`:
    only checks with findings; without a difference, nothing."""
    shown = [one for one in verified.verifications if one.differences or not quiet]
    lines = [f"store  {verified.store}"] if shown or not quiet else []
    for one in shown:
        lines += ["", f"{one.consumer}  {_standing(one)}"]
        if one.records is None and not one.differences:
            continue
        for each in one.checks:
            if quiet and not (each.differences or each.notes):  # a note may explain a difference
                continue
            lines.append(f"  {each.check:<12} {_ended(each, hint)}".rstrip())
            lines += _told(one, each)
    return "\n".join(map(escape, lines))


def _consumer_document(one: Verification) -> dict[str, Any]:
    return {
        "context": one.consumer.context,
        "consumer": one.consumer.name,
        "ok": one.is_good,
        "offset": one.state.offset,
        "records": one.records,
        "checks": [
            {
                "check": each.check,
                "ok": not each.differences,
                "differences": each.differences,
                "notes": each.notes,
                "to_do": each.hint,
            }
            for each in one.checks
        ],
        "counts": {kind.label: count for kind, count in one.counts.items()},
        "findings": [
            {
                "kind": each.kind.label,
                "check": each.kind.check,
                "weight": each.kind.weight,
                "subject": each.subject,
                "detail": each.detail,
            }
            for each in one.findings
        ],
    }


def _standing(one: Verification) -> str:
    if one.records is None:
        return "no content yet" if one.is_empty else f"offset {one.state.offset:,}, no content"
    return f"offset {one.state.offset:,}, {counted(one.records, 'record')}"


def _ended(each: CheckSummary, hint: Callable[[str], str]) -> str:
    words = f"differs: {each.differences:,}" if each.differences else "ok"
    if each.notes:
        words += f", notes: {each.notes:,}"
    return words if each.hint is None else f"{words:<28} try: {hint(each.hint)}"


def _told(one: Verification, check: CheckSummary) -> Iterator[str]:
    """The findings of a check, which are sorted by kind."""
    own = [finding for finding in one.findings if finding.kind.check == check.check]
    for kind, findings in groupby(own, key=lambda finding: finding.kind):
        shown = [f"    {kind.label:<20} {each.subject}: {each.detail}" for each in findings]
        yield from shown
        if (more := one.counts[kind] - len(shown)) > 0:
            yield f"    {kind.label:<20} and {more:,} more"


def _refuse_empty(store: Store, consumer: Consumer) -> None:
    with store.inspect(consumer) as inspection:
        if not inspection.state.content and inspection.count() is None:
            raise _empty(store.name, consumer)


def _empty(store: str, consumer: Consumer) -> EmptyStore:
    return EmptyStore(f"{store} holds no content of {consumer} yet", hint="ctisync sync")


@contextmanager
def _opened_snapshot(invocation: Invocation, one: SnapshotSource) -> Iterator[tuple[SnapshotFile, Reference]]:
    """The snapshot and its offset. A download is removed at the end."""
    from ctisync.feed.snapshot.file import snapshot_offset

    settings, clock = invocation.settings, invocation.clock
    source, packaged = one.location, None if one.entry is None else one.entry.offset
    file = file_here(one, settings, clock)
    with ExitStack() as opened:
        if file is None:
            spooled = beside_passes(one.consumer)
            opened.enter_context(consumer_lock(settings, spooled, clock, "ctisync verify --against"))
            feed = opened.enter_context(opened_feed(settings, spooled, clock, invocation.console))
            file = fetched(feed, source)
            opened.callback(file.discard)
        offset, told_by = snapshot_offset(file, source, packaged)
        invocation.console.event("info", "offset-found", offset=offset, told_by=told_by)
        yield file, Reference(offset, exact=told_by != "highest line")


def _verification_of(
    invocation: Invocation,
    consumer: Consumer,
    store: Store,
    *,
    deep: bool,
    against: tuple[SnapshotFile, Reference] | None = None,
) -> Verification:
    from ctisync.feed.snapshot.parsers import reader

    path = lock_path(invocation.settings, consumer)
    # OpenSearch stores the holder of its lease itself.
    lock = read_lock(path) if isinstance(invocation.settings.place, SqlitePlace) else LockState()
    return verified(
        consumer,
        store=store,
        log=invocation.console,
        deep=deep,
        against=against,
        at_work=lock.who,
        unread=None if lock.unread is None else f"{path}: {lock.unread}",
        limits=invocation.settings.limits,
        read=reader(invocation.settings.limits),
    )
