"""How much a feed may ask of this machine, whatever it sends: the settings of `[limits]`."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=2**63 - 1)]


MOST_DEPTH: Final = 800
"""The highest `json_depth`. Python 3.11's own limit is 1000 calls, not all of which are ours."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The maximum that ctisync accepts (`min_rate`: the minimum). Sizes are in bytes.

    snapshot_bytes: Maximum size of a snapshot as downloaded.
    unzipped_bytes: Maximum size of all records in a snapshot, decompressed.
    ratio: Maximum compression ratio, checked once 100 MiB are decompressed.
    line_bytes: Maximum size of a record, in a snapshot and after its updates.
    json_depth: Maximum nesting depth of a record's payload; at most 800.
    json_values: Maximum number of JSON values in a record, and in one reply of the API; each takes about 100
        bytes of memory.
    members: Maximum number of entries in the ZIP of a snapshot.
    reply_bytes: Maximum size of one reply of the API, decompressed; ctisync requests a larger range of
        changes in parts.
    patch_operations: Maximum number of operations in one patch.
    patch_copied_bytes: Maximum bytes that the operations on one record may copy: by `copy`, by `move` to a
        deeper place, and by shifts within arrays.
    offsets_ahead: Maximum difference between the feed's last offset and that of the content.
    pass_seconds: Seconds for a whole pass, checked between requests, chunks, batches, records and operations;
        0: no limit.
    min_rate: Minimum bytes per second, averaged over a minute; ctisync interrupts a slower download and
        resumes it later; 0: no limit.
    """

    snapshot_bytes: Count = 64 << 30

    # Today's feed has 8 GB of them.
    unzipped_bytes: Count = 64 << 30

    # 8 or so for the feed's records.
    ratio: Count = 200

    # One line or element of a snapshot; the feed's have up to 270 kB. An element of an array takes some ten
    # times its size in memory.
    line_bytes: Count = 8 << 20

    # The feed's have 9. Counting exactly costs time, and few records have 500 containers in all, so that
    # most are passed by a count of their brackets.
    json_depth: Annotated[int, Meta(ge=1, le=MOST_DEPTH)] = 500

    # A record of the feed has some hundred.
    json_values: Count = 1_000_000

    # The 4.x feed's have one.
    members: Count = 1000

    reply_bytes: Count = 64 << 20

    patch_operations: Count = 10_000

    # 20 copies in a kilobyte can make as many, and each more doubles it. A move to a deeper place reads as
    # many. An array shifts what is behind an element that comes or goes: 16 elements count as a byte.
    patch_copied_bytes: Count = 8 << 20

    # It has come to some 2 million in all. One that lies about it answers each range with nothing, which is
    # how a gap is confirmed.
    offsets_ahead: Count = 10_000_000

    pass_seconds: Annotated[float, Meta(ge=0, le=31_536_000)] = 21_600.0

    min_rate: Annotated[float, Meta(ge=0, le=1_000_000_000)] = 1000.0


USUAL_LIMITS: Final = Limits()
