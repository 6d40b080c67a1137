"""`status --json`: its document. A contract, which other software relies on."""

from typing import Any

from ctisync.commands.status.look import ConsumerStatus, FailedStatus, Status
from ctisync.console import rfc3339
from ctisync.core.pass_report import PassReport, Work
from ctisync.core.state import ConsumerState


def as_document(status: Status) -> dict[str, Any]:
    """The contract of `status --json`."""
    return {
        "store": status.store,
        "consumers": [
            _consumer_document(one) if isinstance(one, ConsumerStatus) else _unseen_document(one)
            for one in status.found
        ],
        "not_configured": [
            {
                "context": each.consumer.context,
                "consumer": each.consumer.name,
                "replaced_by": each.replaced_by,
            }
            for each in status.unnamed
        ],
        "refuses_writes": [{"why": each.text, "to_do": each.hint} for each in status.refusals],
    }


def _unseen_document(one: FailedStatus) -> dict[str, Any]:
    """All keys of a consumer, with null, and the error."""
    names = _consumer_document(ConsumerStatus(one.consumer, ConsumerState(), None))
    return {
        **dict.fromkeys(names),
        "context": one.consumer.context,
        "consumer": one.consumer.name,
        "error": {"message": one.error.message, "to_do": one.error.hint},
    }


def _work_document(work: Work) -> dict[str, Any]:
    return {
        "who": work.who,
        "since": work.since and rfc3339(work.since),
        "records": work.records,
        "lease_until": work.until and rfc3339(work.until),
        "process_missing": work.missing,
    }


def _failure_document(failure: PassReport) -> dict[str, Any]:
    return {
        "ended_at": rfc3339(failure.ended_at),
        "exit_code": failure.exit_code,
        "outcome": failure.outcome,
        "why": failure.why,
    }


def _consumer_document(one: ConsumerStatus) -> dict[str, Any]:
    state = one.state
    owed = state.owed
    failed = state.failed if state.phase == "blocked" else None
    return {
        "context": one.consumer.context,
        "consumer": one.consumer.name,
        "phase": one.phase,
        "offset": state.offset,
        "last_offset": state.last_offset,
        "behind": state.behind,
        "last_snapshot_link": state.last_snapshot_link,
        "snapshot_offset": state.snapshot_offset,
        "records": one.records,
        "pending_command": owed and {"offset": str(owed.offset), "attempts": owed.attempts},
        "checked_at": state.checked_at and rfc3339(state.checked_at),
        "tried_at": state.tried_at and rfc3339(state.tried_at),
        "updated_at": state.updated_at and rfc3339(state.updated_at),
        "accepted": state.accepted and {"offset": state.accepted.offset, "at": rfc3339(state.accepted.at)},
        "blocked_by": failed
        and {
            "offset": failed.offset,
            "resource": failed.resource,
            "operation": failed.operation,
            "reason": failed.reason,
        },
        "asked_at": state.requested and rfc3339(state.requested.at),
        "at_work": one.work and _work_document(one.work),
        "last_failure": one.failure and _failure_document(one.failure),
        "occupant": state.occupant,
        "alias_moved": one.moved and {"to": one.moved.to, "from": one.moved.was},
        "error": None,
    }
