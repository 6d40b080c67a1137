"""How much a feed may ask of this machine, whatever it sends: the settings of `[limits]`."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Each figure is the most that is taken (`min_rate`: the least). Sizes are in bytes."""

    # A snapshot, as it is downloaded.
    snapshot_bytes: Count = 64 << 30
    # The records in it; today's feed has 8 GB of them.
    unzipped_bytes: Count = 64 << 30
    # What comes out of one packed byte, once 100 MiB have come out; 8 or so for the feed's records.
    ratio: Count = 200
    # One line or element of a snapshot, and a record after its updates; the feed's have up to 270 kB. An
    # element of an array takes some ten times its size in memory.
    line_bytes: Count = 8 << 20
    # Containers inside one another in a payload (9 in the feed's). Counting exactly costs time, and few
    # records have 500 containers in all, so that most are passed by a count of their brackets.
    # Python's own limit is 1000 calls, not all of which are ours.
    json_depth: Annotated[int, Meta(ge=1, le=800)] = 500
    # JSON values in a record, and in all that comes of one question to the API: some 100 bytes of memory
    # each. A record of the feed has some hundred.
    json_values: Count = 1_000_000
    # Entries in a snapshot's ZIP; the feed's have one.
    members: Count = 1000
    # All that comes of one question to the API, decoded.
    reply_bytes: Count = 64 << 20
    # Operations of one patch.
    patch_operations: Count = 10_000
    # What the `copy` operations on one record may add, in about bytes of JSON: 8 for each value, 1 for
    # each character. 16 of them in 758 bytes can make a megabyte, and each more doubles it.
    patch_copied_bytes: Count = 8 << 20
    # Offsets that the feed's last one may lie above the content's; it has come to some 2 million in all.
    # One that lies about it answers each range with nothing, which is how a gap is confirmed.
    offsets_ahead: Count = 10_000_000
    # Seconds for a whole pass; 0 is no limit.
    pass_seconds: Annotated[float, Meta(ge=0, le=31_536_000)] = 21_600.0
    # Bytes a second, over a minute: a body that comes slower is given up. 0 is no limit.
    min_rate: Annotated[float, Meta(ge=0, le=1e9)] = 1000.0


USUAL: Final = Limits()
