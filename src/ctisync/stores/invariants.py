"""Checks that every store makes of its caller: each failure is a bug of the caller and raises ValueError."""

from collections.abc import Sequence
from typing import Final

import msgspec

from ctisync import hints
from ctisync.core.model import Consumer, Write
from ctisync.core.state import ConsumerState
from ctisync.errors import EmptyStore

_OF_A_CHECK: Final = (
    *("last_offset", "last_snapshot_link", "checked_at", "cooldown"),
    *("unanswered_at", "was_in_step_at", "incidents", "occupant", "identity", "serials"),
)
"""The fields of a state that a check changes."""


def check_save(stored: ConsumerState, state: ConsumerState) -> None:
    """Raises ValueError if `save` would raise the offset: only `apply` and `publish` may."""
    if state.offset > stored.offset:
        raise ValueError(f"save cannot raise the offset from {stored.offset} to {state.offset}")


def check_apply(stored: ConsumerState, writes: Sequence[Write], after: ConsumerState) -> None:
    """Raises ValueError unless the range ends above the stored offset and none of its writes is after its
    end."""
    if not stored.content:
        raise ValueError("there is no content to apply a range to")
    if after.offset <= stored.offset:
        raise ValueError(f"cannot apply a range that ends at {after.offset}, content is at {stored.offset}")
    highest = max((write.offset for write in writes), default=0)
    if highest > after.offset:
        raise ValueError(f"a write of offset {highest} lies beyond the range's end {after.offset}")


def check_publish(after: ConsumerState) -> None:
    """Raises ValueError unless the state says that there is a content and that no load is running."""
    if not after.content or after.loading:
        raise ValueError("a published content's state must say that there is content and that nothing loads")


def differs_by_check(stored: ConsumerState, state: ConsumerState) -> bool:
    """Whether `state` differs from `stored` only in what the feed reported and when it was asked, the
    cool-down, the alerted incidents, and the correction of a time in the future. Such a state may be written
    without a lease."""
    is_corrected = state.updated_at is not None and state.updated_at == state.checked_at
    fields = (*_OF_A_CHECK, "updated_at") if is_corrected else _OF_A_CHECK
    return msgspec.structs.replace(stored, **{name: getattr(state, name) for name in fields}) == state


def no_content(store: str, consumer: Consumer, state: ConsumerState) -> EmptyStore:
    """The error for a missing content; `state` says whether there was one."""
    if state.occupant is not None:
        return EmptyStore(
            f"readers of {consumer.index} find the content of {state.occupant}, not that of {consumer}",
            hint=hints.command("status"),
        )
    if state.content and state.index_elsewhere(consumer) is None:
        return EmptyStore(f"the content of {consumer} is gone from {store}", hint=hints.command("sync"))
    return EmptyStore(f"{store} holds no content of {consumer} yet", hint=hints.command("sync"))
