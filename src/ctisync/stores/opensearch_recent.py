"""What the last range has written: the next one often touches the same records, and need not read them.

It is known from the replies to our own writes, and good for one range: whatever comes between forgets it.
"""

from collections.abc import Sequence
from typing import Final

from ctisync.core.model import Put, Record, Write
from ctisync.stores.opensearch_actions import Sent, Stored

MOST_BYTES: Final = 8_000_000
"""Of lines: half of a large range, and the later half, which is the likelier one to be touched again."""

Recent = dict[str, tuple[Record, Stored] | None]
"""By name: the record and its version, or None for one that is gone."""


def remembered(writes: Sequence[Write], sent: Sequence[Sent]) -> Recent:
    """Of a range's writes, the last ones whose replies tell how the record now stands."""
    stands = {name: stored for each in sent for name, stored in each.stands.items()}
    recent: Recent = {}
    size = 0
    for write in reversed(writes):
        if write.name not in stands:
            continue
        stored = stands[write.name]
        if stored is None or not isinstance(write, Put):
            recent[write.name] = None
            continue
        size += len(write.record.line)
        if size > MOST_BYTES:
            break
        recent[write.name] = write.record, stored
    return recent
