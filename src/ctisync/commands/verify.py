"""`ctisync verify`: check the stored content and state. The audit itself is in `verify.audit`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Any

import typer

from ctisync.cli.invocation import CommonOptions, Invocation, JsonOption, command, json_fields, print_document
from ctisync.commands.snapshot_sources import SnapshotSource, named_refusals, snapshot_sources
from ctisync.core.findings import Kind
from ctisync.core.model import Consumer
from ctisync.core.words import counted
from ctisync.errors import DONE, AuditFailed, CtisyncError
from ctisync.escaping import escape
from ctisync.host_files import beside_passes, consumer_lock, lock_path
from ctisync.ports import SnapshotFile, Store
from ctisync.stores.invariants import no_content
from ctisync.system.locks import LockState, read_lock
from ctisync.system.process import print_result
from ctisync.verify import audit
from ctisync.verify.audit import CheckSummary, Verification
from ctisync.verify.rules import Reference
from ctisync.wiring import opened_feed, opened_store

_Snapshot = tuple[SnapshotFile, Reference]


@dataclass
class VerifyResult:
    """`store`: its name. `error`: what ended the verification of a consumer; those of the others are
    complete."""

    store: str
    verifications: list[Verification] = field(default_factory=list)
    error: CtisyncError | None = None


@command()
def verify(
    options: CommonOptions,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every record.")] = False,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="FILE_OR_URL",
            help="Compare with this snapshot, or with that in the folder of a package; -: standard input.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Check the stored content and state for errors. Changes nothing."""
    invocation = options.invocation()
    result = _verify(invocation, against, deep=deep)
    if as_json:
        consumers = [_document(one) for one in result.verifications]
        print_document({"store": result.store, "consumers": consumers})
    elif text := _as_text(result, quiet=options.quiet):
        print_result(text)
    _raise_for(result)
    return DONE


def _verify(invocation: Invocation, against: str | None, *, deep: bool) -> VerifyResult:
    """Verify the consumers, one after the other; an error of one of several does not hide the others. Writes
    nothing. `against`: where a snapshot is, for a single consumer; `deep`: decode every record.

    With `against`, raises EmptyStore before it downloads anything, and UsageError and SnapshotRefused like a
    load.
    """
    consumers = invocation.consumers if against is None else [invocation.only_consumer("--against compares")]
    with opened_store(invocation.settings, invocation.clock) as store, ExitStack() as opened:
        result, snapshot = VerifyResult(store.name), None
        if against is not None:
            with store.inspect(consumers[0]) as inspection:
                if not inspection.state.content and inspection.count() is None:
                    raise no_content(store.name, consumers[0], inspection.state)
            snapshot = opened.enter_context(_opened_snapshot(invocation, consumers[0], against))
        for each in consumers:
            try:
                result.verifications.append(_audit(invocation, each, store, deep=deep, against=snapshot))
            except CtisyncError as error:
                if len(consumers) == 1:
                    raise
                result.error = result.error or error
        return result


@contextmanager
def _opened_snapshot(invocation: Invocation, consumer: Consumer, location: str) -> Iterator[_Snapshot]:
    """The snapshot and its offset. A download is removed at the end; until then, refusals of the snapshot say
    where it is from."""
    settings, clock, log = invocation.settings, invocation.clock, invocation.console
    packaged = snapshot_sources(location, (consumer,), named=True, log=log, option="--against")
    source = packaged[0] if packaged else SnapshotSource(consumer, location)
    with named_refusals(source.location, "--against"), ExitStack() as opened:
        file = source.open_file(invocation)
        if file is None:
            spooled = beside_passes(consumer)
            opened.enter_context(consumer_lock(settings, spooled, clock, "ctisync verify --against"))
            file = source.download(opened.enter_context(opened_feed(settings, spooled, clock, log)))
            opened.callback(file.discard)
        offset, origin = source.offset_of(file)
        log.event("info", "offset-found", offset=offset, told_by=origin)
        yield file, Reference(offset, exact=origin != "highest line")


def _audit(
    invocation: Invocation, consumer: Consumer, store: Store, *, deep: bool, against: _Snapshot | None
) -> Verification:
    from ctisync.feed.snapshot.parsers import reader  # `--help` needs none of it

    settings = invocation.settings
    path = lock_path(settings, consumer)
    # A store on a server stores itself who writes to it.
    lock = LockState() if settings.backend.local is None else read_lock(path)
    return audit.verify(
        consumer,
        store=store,
        log=invocation.console,
        deep=deep,
        against=against,
        at_work=lock.who,
        unread=None if lock.unread is None else f"{path}: {lock.unread}",
        limits=settings.limits,
        read=reader(settings.limits),
    )


def _raise_for(result: VerifyResult) -> None:
    """Raises the error that ended a verification, AuditFailed for differences, EmptyStore without content."""
    if result.error is not None:
        raise result.error
    for one in result.verifications:
        if one.differences:
            wrong = [each for each in one.checks if each.differences]
            checks = ", ".join(f"{each.check} {each.differences}" for each in wrong)
            hidden = Kind.STORE_HIDDEN  # the differences may only be hidden records
            raise AuditFailed(
                f"{one.consumer}: {counted(one.differences, 'difference')} ({checks})",
                hint=hidden.hint if hidden in one.counts else wrong[0].hint,
            )
    for one in result.verifications:
        if one.is_empty:
            raise no_content(result.store, one.consumer, one.state)


def _as_text(result: VerifyResult, *, quiet: bool) -> str:
    """One line per check, then its findings, a limited number of each kind. `quiet`:
    only checks with findings; without a difference, nothing."""
    shown = [one for one in result.verifications if one.differences or not quiet]
    lines = [f"store  {result.store}"] if shown or not quiet else []
    for one in shown:
        lines += ["", f"{one.consumer}  {_content(one)}"]
        if one.records is None and not one.differences:
            continue
        for each in one.checks:
            if quiet and not (each.differences or each.notes):  # a note may explain a difference
                continue
            lines.append(f"  {each.check:<12} {_summary(each)}".rstrip())
            lines += _findings(one, each)
    return "\n".join(map(escape, lines))


def _content(one: Verification) -> str:
    if one.records is None:
        return "no content yet" if one.is_empty else f"offset {one.state.offset:,}, no content"
    return f"offset {one.state.offset:,}, {counted(one.records, 'record')}"


def _summary(each: CheckSummary) -> str:
    text = f"differs: {each.differences:,}" if each.differences else "ok"
    if each.notes:
        text += f", notes: {each.notes:,}"
    return text if each.hint is None else f"{text:<28} try: {each.hint}"


def _findings(one: Verification, check: CheckSummary) -> Iterator[str]:
    """The findings of a check, which are sorted by kind."""
    own = [finding for finding in one.findings if finding.kind.check == check.check]
    for kind, findings in groupby(own, key=lambda finding: finding.kind):
        shown = [f"    {kind.label:<20} {each.subject}: {each.detail}" for each in findings]
        yield from shown
        if (more := one.counts[kind] - len(shown)) > 0:
            yield f"    {kind.label:<20} and {more:,} more"


def _document(one: Verification) -> dict[str, Any]:
    """The contract of `verify --json`."""
    checks = [json_fields(each, "check", "differences", "notes", to_do="hint") for each in one.checks]
    findings = [
        json_fields(each.kind, "check", "weight", kind="label") | json_fields(each, "subject", "detail")
        for each in one.findings
    ]
    return {
        **json_fields(one.consumer, "context", consumer="name"),
        "ok": one.is_good,
        "offset": one.state.offset,
        "records": one.records,
        "checks": [{**each, "ok": not each["differences"]} for each in checks],
        "counts": {kind.label: count for kind, count in one.counts.items()},
        "findings": findings,
    }
