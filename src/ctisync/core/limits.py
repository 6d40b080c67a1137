"""How much a feed may ask of this machine, whatever it sends: the settings of `[limits]`."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each figure is the most that is taken (`min_rate`: the least). Sizes are in bytes."""

    snapshot_bytes: Annotated[Count, Meta(description="Of a snapshot, as it is downloaded.")] = 64 << 30
    # Today's feed has 8 GB of them.
    unzipped_bytes: Annotated[Count, Meta(description="Of the records in a snapshot.")] = 64 << 30
    # 8 or so for the feed's records.
    ratio: Annotated[Count, Meta(description="Bytes out of one packed byte, once 100 MiB have come out.")] = (
        200
    )
    # One line or element of a snapshot; the feed's have up to 270 kB. An element of an array takes some ten
    # times its size in memory.
    line_bytes: Annotated[Count, Meta(description="Of a record, in a snapshot and after its updates.")] = (
        8 << 20
    )
    # The feed's have 9. Counting exactly costs time, and few records have 500 containers in all, so that
    # most are passed by a count of their brackets. Python's own limit is 1000 calls, not all of which are
    # ours.
    json_depth: Annotated[
        int,
        Meta(ge=1, le=800),
        Meta(description="Containers inside one another in a record's payload; at most 800."),
    ] = 500
    # A record of the feed has some hundred.
    json_values: Annotated[
        Count,
        Meta(
            description="Values in a record, and in all that comes of one question to the API; some 100 "
            "bytes of memory each."
        ),
    ] = 1_000_000
    # The feed's have one.
    members: Annotated[Count, Meta(description="Entries in a snapshot's ZIP.")] = 1000
    reply_bytes: Annotated[
        Count,
        Meta(
            description="Of all that comes of one question to the API, unpacked; a range of changes that is "
            "larger is asked for in parts."
        ),
    ] = 64 << 20
    patch_operations: Annotated[Count, Meta(description="Operations of one patch.")] = 10_000
    # In about bytes of JSON: 8 for each value, 1 for each character. 16 of them in 758 bytes can make a
    # megabyte, and each more doubles it.
    patch_copied_bytes: Annotated[
        Count, Meta(description="What the `copy` operations on one record may add.")
    ] = 8 << 20
    # It has come to some 2 million in all. One that lies about it answers each range with nothing, which is
    # how a gap is confirmed.
    offsets_ahead: Annotated[
        Count, Meta(description="Offsets that the feed's last one may lie above the content's.")
    ] = 10_000_000
    pass_seconds: Annotated[
        float,
        Meta(ge=0, le=31_536_000),
        Meta(description="Seconds for a whole pass, looked at between requests, chunks and batches; 0: any."),
    ] = 21_600.0
    min_rate: Annotated[
        float,
        Meta(ge=0, le=1_000_000_000),
        Meta(
            description="Bytes a second, over a minute; a slower download is broken off and gone on with "
            "later; 0: any."
        ),
    ] = 1000.0


USUAL: Final = Limits()
