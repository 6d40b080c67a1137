"""What no pass can have stored in a state, and none can go on from."""

from collections.abc import Iterator

from ctisync.core.model import MAX_OFFSET, MAX_RANGE
from ctisync.core.state import ConsumerState


def contradictions(state: ConsumerState) -> Iterator[tuple[str, str]]:
    """Fields with such values, each with the reason. Of an
    unsettled state only the numbers are checked: the next writer settles the rest."""
    offsets = {
        "offset": state.offset,
        "last_offset": state.last_offset,
        "snapshot_offset": state.snapshot_offset,
        "range_to": state.range_to,
        "owed": state.owed.offset if state.owed else None,
        "failed": state.failed.offset if state.failed else None,
    }
    for field, offset in offsets.items():
        if offset is not None and not 0 <= offset <= MAX_OFFSET:
            yield field, f"offset {offset} is out of range"
    if state.unsettled:
        return
    if not state.content and state.offset > 0:
        yield "offset", f"it is {state.offset}, but there is no content"
    to = state.range_to
    if to is not None and not (state.content and state.offset < to <= state.offset + MAX_RANGE):
        yield "range_to", f"a range that ends at {to} cannot begin at offset {state.offset}"


def contradiction(state: ConsumerState) -> str | None:
    """The first of them, as a sentence; None if there is none, or if the state says: initialise."""
    if state.offset == 0:
        return None
    return next((f"the stored state is wrong: {field}: {why}" for field, why in contradictions(state)), None)
