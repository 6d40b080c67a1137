"""Archives: whatever a file holds, records come out or the file is refused, whichever way it is read."""

import gzip
import io
import json
import zipfile
import zlib
from contextlib import suppress
from typing import BinaryIO, Final, cast

import zstandard

from ctisync.core.limits import Limits
from ctisync.core.model import MAX_NAME_BYTES, Record
from ctisync.errors import SnapshotChanged, SnapshotRefused
from ctisync.feed.http.budget import PIECE
from ctisync.feed.snapshot import records as archive
from ctisync.feed.snapshot.compressed import ISAL, ZLIB, Codec
from ctisync.feed.snapshot.zip_stream import ENCRYPTED, Archive
from tests.feed.crafted_zip import Entry, assembled, deflated, joined
from tests.fuzz.drawing import Drawn
from tests.fuzz.printed import check_printed
from tests.fuzz.target import target
from tests.support.records import named

LIMITS: Final = Limits(
    unzipped_bytes=1 << 20, line_bytes=2000, json_depth=12, json_values=300, members=20, ratio=200
)
HIGHEST: Final = 1_000_000

LINES: Final = (
    b'{"name":"CVE-1","offset":1,"version":1,"inserted_at":"2026","payload":{"a":[1,{"b":2.50}]}}\n'
    b'\r\n{"name":"CVE-2","offset":2,"payload":{"text":"\\ud83d\\udc1e \\u0000","n":1e400}}\n'
    b'{"offset":3,"payload":{},"name":"CVE-3","more":[null,true,-0.0]}'
)
ARRAY: Final = b"\xef\xbb\xbf [" + b",".join(line for line in LINES.split(b"\n")) + b" ]\n"

Outcome = list[Record] | SnapshotRefused | SnapshotChanged


def packed(content: bytes, name: bytes = b"1901695_1746459961.json") -> bytes:
    return assembled([Entry(content, name=name)])


class _Coming:
    """A file of which more is here after each read, and whose end is known only when all of it is: what
    `ArrivingFile` is to its reader. A read hands out what it was asked for."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.tell = self._file.tell
        self.seek = self._file.seek
        self.read = self._file.read


def outcome(data: bytes, *, whole: bool) -> Outcome:
    file = cast(BinaryIO, io.BytesIO(data) if whole else _Coming(data))
    records: list[Record] = []
    try:
        for batch in archive.records(file, HIGHEST, LIMITS, whole=whole):
            records += batch
    except (SnapshotRefused, SnapshotChanged) as error:
        check_printed(error)
        assert not (whole and isinstance(error, SnapshotChanged)), "a whole file does not change"
        return error
    assert records, "no record, and no refusal"
    return records


@target(
    seeds=(
        *(gzip.compress(LINES, mtime=0), zstandard.ZstdCompressor().compress(LINES)),
        *(LINES, ARRAY, packed(LINES), packed(ARRAY), b"<html>", b"[]", b"PK\x05\x06" + b"\0" * 18),
        assembled([Entry(b"readme", name=b"README"), Entry(LINES), Entry(b"", name=b"folder/", method=0)]),
        assembled([Entry(LINES, method=0)]),
        assembled([Entry(LINES), Entry(LINES, name=b"other.json")]),
        packed(b"no record\n").partition(b"PK\x01\x02")[0] + packed(LINES),
    ),
    tokens=(
        *(b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08", b".json"),
        *(b'"name":', b'"offset":', b'"payload":{', b"\xef\xbb\xbf", b"\n", b"[", b"{}", b"},", b"\\ud83d"),
        *(b"\xff\xff\xff\xff", b"\x01\x00\x10\x00", b"1e999", b"1000001", b"\xe2\x80\xa8"),
    ),
)
def archives(data: bytes) -> None:
    """A file as it is read by `--from`, and while it is downloaded: the same records, or none.

    Records that came out hold what the limits allow, and are what Python's own JSON reads there.
    """
    here, coming = outcome(data, whole=True), outcome(data, whole=False)
    if isinstance(here, list):
        assert isinstance(coming, SnapshotChanged) or here == coming, (
            f"{here} whole, {coming!r} while it comes"
        )
        for record in here:
            _check(record)
    else:
        assert not isinstance(coming, list), f"refused whole ({here}), {coming} while it comes"


def _check(record: Record) -> None:
    assert len(record.line) <= LIMITS.line_bytes
    assert 0 <= record.offset <= HIGHEST
    assert 0 < len(record.name.encode()) <= MAX_NAME_BYTES
    read = json.loads(record.line, parse_float=str)
    assert (named(read), read["offset"]) == (record.name, record.offset)
    assert isinstance(read["payload"], dict)


@target(seeds=[bytes(range(64)), b"\0" * 40, b"\1\2\3" * 30], most_bytes=400)
def members(data: bytes) -> None:
    """A ZIP with headers that lie: ISA-L and zlib, the directory's way and the first entry's come to the same
    bytes, or to a refusal; and where Python's own `zipfile` reads without complaint, to its bytes."""
    zipped = _drawn_zip(Drawn(data))
    ways = [_content(zipped, codec, whole=True) for codec in _codecs()]
    assert len(set(ways)) == 1, f"ISA-L and zlib do not agree: {[_short(way) for way in ways]}"
    heads = [_content(zipped, codec, whole=False) for codec in _codecs()]
    assert len(set(heads)) == 1, f"ISA-L and zlib do not agree on a head: {[_short(way) for way in heads]}"
    (whole, *_), (head, *_) = ways, heads
    assert head == whole or head is None, f"{_short(head)} by its head, {_short(whole)} by the directory"
    if whole is not None and (theirs := _by_zipfile(zipped)) is not None:
        assert whole == theirs, f"{_short(whole)} here, {_short(theirs)} by zipfile"


def _drawn_zip(drawn: Drawn) -> bytes:
    content = drawn.choice([b"", b"x", b"x" * 300_000, LINES, drawn.take(60)])
    entries = [_drawn_entry(drawn, content) for _ in range(drawn.number(3) + 1)]
    end = {key: drawn.choice([0, 1, 0xFFFF]) for key in ("count", "size", "start") if drawn.number(16) == 1}
    zipped = bytearray(assembled(entries, comment=drawn.take(drawn.number(3)), **end))
    for _ in range(drawn.number(4)):
        if zipped:
            zipped[drawn.number(len(zipped))] = drawn.number(256)
    return bytes(zipped[: len(zipped) - drawn.choice([0, 0, 0, 0, 1, 22, 60])])


def _drawn_entry(drawn: Drawn, content: bytes) -> Entry:
    numbers = [0, 1, len(content), 0xFFFF_FFFF, zlib.crc32(content), 1 << 31]
    lies = (
        {key: drawn.choice(numbers) for key in ("packed", "size", "crc") if drawn.number(8) == 1}
        for _ in "12"
    )
    method = drawn.choice([8, 8, 8, 0, 12])
    name = drawn.choice([b"a.json", b"a.json", b"B.NDJSON", b"readme", b"d/", b"\xff.json", drawn.take(8)])
    return Entry(
        content,
        name=name,
        method=method,
        flags=drawn.choice([0, 0, 0, 8, 1, 0x40, 0x800, 0x20]),
        packed=drawn.choice(
            [None, None, None, deflated(content) + b"more", deflated(content)[:-2], content, b""]
        ),
        behind=drawn.choice([b"", b"", b"PK\x07\x08" + b"\0" * 12]),
        central=next(lies),
        local=next(lies),
        local_name=drawn.choice([None, None, None, b"b.json", b""]),
        extra=drawn.choice([b"", b"", b"\1\0\x10\0" + b"\1" * 16, b"\1\0\xff\xff", drawn.take(5)]),
        at=drawn.choice([None, None, None, None, 0, 3, 0xFFFF_FFFE]),
        absent=drawn.number(16) == 1,
    )


def _codecs() -> list[Codec]:
    return [ZLIB] if ISAL is None else [ZLIB, ISAL]


def _content(zipped: bytes, codec: Codec, *, whole: bool) -> bytes | None:
    """What comes out; None: it was refused."""
    file = io.BytesIO(zipped)
    pieces = []
    try:
        for piece in joined(Archive(file, LIMITS, codec, whole=whole).contents()):
            assert 0 < len(piece) <= PIECE
            pieces.append(piece)
    except (SnapshotRefused, SnapshotChanged) as error:
        check_printed(error)
        return None
    return b"".join(pieces)


def _by_zipfile(zipped: bytes) -> bytes | None:
    """None: it finds something wrong, or more than one member of the name."""
    with suppress(Exception), zipfile.ZipFile(io.BytesIO(zipped)) as opened:
        names = [info for info in opened.infolist() if info.filename.lower().endswith((".json", ".ndjson"))]
        if len(names) == 1 and not names[0].flag_bits & ENCRYPTED:
            return opened.read(names[0])
    return None


def _short(content: bytes | None) -> str:
    return "a refusal" if content is None else f"{len(content)} bytes {content[:20]!r}"
