"""ZIPs as no library writes them: fields patched in place, sizes wrapped to 32 bits."""

import struct
import zlib
from pathlib import Path
from typing import Final

from tests.support.feed_simulator import zipped

MEMBER: Final = "vd_1.0.0_vd_4.8.0_1901695_1746459961.json"

_WRAP: Final = 1 << 32

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

    Returns the member's true size. The piece is packed once: after a full flush a deflate stream
    does not look back, so the packed bytes may be repeated.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed_piece = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.flush()
    crc = 0
    for _ in range(times):
        crc = zlib.crc32(piece, crc)
    size, packed = len(piece) * times, len(packed_piece) * times + len(end)
    name = MEMBER.encode()
    common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0x21, crc, packed % _WRAP, size % _WRAP, len(name), 0)
    with path.open("wb") as file:
        file.write(b"PK\x03\x04" + common + name)
        for _ in range(times):
            file.write(packed_piece)
        file.write(end)
        directory = file.tell()
        file.write(
            b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
        )
        length = file.tell() - directory
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, length, directory, 0))
    return size
