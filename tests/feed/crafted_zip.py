"""ZIPs as no library writes them: fields patched in place, sizes wrapped to 32 bits."""

import dataclasses
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Final

from ctisync.feed.snapshot.zip_stream import Unpacked
from tests.support.feed_simulator import zipped

MEMBER: Final = "vd_1.0.0_vd_4.8.0_1901695_1746459961.json"

_WRAP: Final = 1 << 32
_LONG: Final = 1 << 12

# Where a field lies behind the signature of a central entry, and of a local header (APPNOTE 4.3.7, 4.3.12).
_CENTRAL: Final = {
    "flags": (8, "<H"),
    "method": (10, "<H"),
    "crc": (16, "<I"),
    "packed": (20, "<I"),
    "size": (24, "<I"),
}
_LOCAL: Final = {
    "flags": (6, "<H"),
    "method": (8, "<H"),
    "crc": (14, "<I"),
    "packed": (18, "<I"),
    "size": (22, "<I"),
}


def patched(content: bytes, **fields: int) -> bytes:
    """A ZIP of one member whose headers say something else than is true."""
    archive = bytearray(zipped({MEMBER: content}))
    for signature, places in ((b"PK\x01\x02", _CENTRAL), (b"PK\x03\x04", _LOCAL)):
        start = archive.index(signature)
        for field, value in fields.items():
            offset, form = places[field]
            struct.pack_into(form, archive, start + offset, value)
    return bytes(archive)


def write_wrapped(path: Path, piece: bytes, times: int) -> int:
    """A ZIP without zip64 fields whose one member is `piece` so many times; sizes modulo 2^32.

    Returns the member's true size.
    """
    return write_pieces(path, repeat(piece, times))


def write_pieces(path: Path, pieces: Iterable[bytes], *, crc: int | None = None) -> int:
    """The same of any pieces. A long one that comes again is packed once: after a full flush a deflate stream
    does not look back, so packed bytes may be repeated.

    `crc` instead of the true one saves the time that it takes.
    """
    packed_once: dict[bytes, bytes] = {}
    size = packed = summed = 0
    name = MEMBER.encode()
    with path.open("wb") as file:
        file.write(b"\0" * (30 + len(name)))
        for piece in pieces:
            if (packed_piece := packed_once.get(piece)) is None:
                packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
                packed_piece = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
                if len(piece) >= _LONG:
                    packed_once[piece] = packed_piece
            file.write(packed_piece)
            size += len(piece)
            packed += len(packed_piece)
            summed = zlib.crc32(piece, summed) if crc is None else crc
        end = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
        file.write(end)
        packed += len(end)
        fields = {"flags": 0, "method": 8, "crc": summed, "packed": packed % _WRAP, "size": size % _WRAP}
        directory = file.tell()
        file.write(_header(b"PK\x01\x02", b"\x14\x00", fields, name))
        file.write(struct.pack("<HHHHII", 0, 0, 0, 0, 0, 0) + name)
        length = file.tell() - directory
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, length, directory, 0))
        file.seek(0)
        file.write(_header(b"PK\x03\x04", b"", fields, name) + struct.pack("<H", 0) + name)
    return size


@dataclasses.dataclass(frozen=True)
class Entry:
    """One member, true in all that is not given. `packed` is what lies there, `behind` what follows it.

    `central` and `local` replace fields of its two headers; `at`: where the directory says that it lies,
    instead of where it does; `absent`: it is in the directory alone.
    """

    content: bytes = b""
    name: bytes = MEMBER.encode()
    method: int = 8
    flags: int = 0
    packed: bytes | None = None
    behind: bytes = b""
    central: Mapping[str, int] = dataclasses.field(default_factory=dict)
    local: Mapping[str, int] = dataclasses.field(default_factory=dict)
    local_name: bytes | None = None
    extra: bytes = b""
    at: int | None = None
    absent: bool = False


def assembled(entries: Sequence[Entry], comment: bytes = b"", **end: int) -> bytes:
    """A ZIP of these entries; `end` replaces fields of the record at its end: count, size, start."""
    archive, directory = b"", b""
    for entry in entries:
        place = len(archive) if entry.at is None else entry.at
        packed = deflated(entry.content) if entry.packed is None and entry.method == 8 else entry.packed
        data = entry.content if packed is None else packed
        true = {"flags": entry.flags, "method": entry.method, "crc": zlib.crc32(entry.content)}
        true |= {"packed": len(data), "size": len(entry.content)}
        if not entry.absent:
            name = entry.name if entry.local_name is None else entry.local_name
            archive += _header(b"PK\x03\x04", b"", {**true, **entry.local}, name) + struct.pack("<H", 0)
            archive += name + data + entry.behind
        fields = {**true, **entry.central}
        directory += _header(b"PK\x01\x02", b"\x14\x00", fields, entry.name)
        directory += struct.pack("<HHHHII", len(entry.extra), 0, 0, 0, 0, place) + entry.name + entry.extra
    counts = {"count": len(entries), "size": len(directory), "start": len(archive), **end}
    count = counts["count"]
    record = struct.pack("<HHHHIIH", 0, 0, count, count, counts["size"], counts["start"], len(comment))
    return archive + directory + b"PK\x05\x06" + record + comment


def deflated(content: bytes) -> bytes:
    """As a member is packed: without a header."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def zip64_extra(*sizes: int) -> bytes:
    """The field that holds what does not fit into 32 bits: size, packed size, place."""
    return struct.pack(f"<HH{len(sizes)}Q", 1, 8 * len(sizes), *sizes)


def joined(contents: Iterable[Unpacked]) -> Iterator[bytes]:
    """The pieces of all members, one after the other."""
    return (piece for _, pieces in contents for piece in pieces)


def _header(signature: bytes, made_by: bytes, fields: Mapping[str, int], name: bytes) -> bytes:
    """What both headers of a member begin with, to the length of its name."""
    version = fields.get("version", 20)
    numbers = (fields["crc"], fields["packed"], fields["size"], len(name))
    return (
        signature
        + made_by
        + struct.pack("<HHHIIIIH", version, fields["flags"], fields["method"], 0x21 << 16, *numbers)
    )
