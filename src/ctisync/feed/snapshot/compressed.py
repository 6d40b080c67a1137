"""Decompression: the library that inflates a ZIP's members, and streams of gzip and zstd.

The limits of a stream are those of a ZIP's member: the bytes in one piece, and the compression ratio.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, Final, NamedTuple, cast

from ctisync.core.limits import Limits
from ctisync.errors import SnapshotRefused
from ctisync.feed.http.budget import PIECE
from ctisync.feed.http.replies import Damaged, gunzipped

FREE: Final = 100 << 20
"""Bytes that are decompressed without a check of the ratio: a few bytes say nothing about it."""
_READ: Final = 128 << 10
_ZSTD_READ: Final = 1 << 10
"""Bytes. zstd returns everything that its input contains, up to 32 kB per byte."""
_ZSTD_WINDOW: Final = 128 << 20
"""Bytes of the window, which zstd keeps in memory: as much as its command line accepts without --long."""


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of all zstd frames (RFC 8878, 3.1). Raises Damaged."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame = decompressor.decompressobj()
    try:
        for chunk in chunks:
            for begin in range(0, len(chunk), _ZSTD_READ):
                rest = chunk[begin : begin + _ZSTD_READ]
                while rest:
                    if frame.eof:
                        frame = decompressor.decompressobj()
                    piece = frame.decompress(rest)
                    yield from (piece[at : at + PIECE] for at in range(0, len(piece), PIECE))
                    rest = frame.unused_data
    except zstandard.ZstdError:
        raise Damaged("damaged") from None
    if not frame.eof:
        raise Damaged("incomplete")


_FORMATS: Final = {b"\x1f\x8b": ("gzip", gunzipped), b"\x28\xb5\x2f\xfd": ("zstd", _unzstd)}
"""By the first bytes of a file: the name, and what decompresses a stream of it."""
_LONGEST_MAGIC: Final = 4


def is_packed(file: BinaryIO) -> bool:
    """Whether the file begins as gzip or zstd does."""
    file.seek(0)
    return file.read(_LONGEST_MAGIC).startswith(tuple(_FORMATS))


class Ratio:
    """The compression ratio of a snapshot: the bytes of its members or frames, `packed` and unpacked, so
    far."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.packed = 0
        self._unpacked = 0

    def packed_chunks(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, counted."""
        for chunk in chunks:
            self.packed += len(chunk)
            yield chunk

    def add(self, unpacked: int, what: str) -> None:
        """Count bytes that were decompressed. Raises SnapshotRefused for a ratio above the limit, which names
        `what`."""
        self._unpacked += unpacked
        if self._unpacked > FREE and self._unpacked > self._most * self.packed:
            raise SnapshotRefused.over_limit("ratio", f"{what} has a compression ratio above {self._most}")


def plain_or_unpacked(file: BinaryIO, limits: Limits) -> Iterator[bytes]:
    """The content of a file that may be compressed, in pieces of at most 1 MiB. It is read from where it is,
    once. Raises SnapshotRefused for damage and for a compression ratio above limits.ratio."""
    head = file.read(_LONGEST_MAGIC)
    packed = next((each for magic, each in _FORMATS.items() if head.startswith(magic)), None)
    if packed is None:
        piece = head + file.read(PIECE - len(head))  # a reader looks at more of the first piece than the head
        while piece:
            yield piece
            piece = file.read(PIECE)
        return
    name, decompress = packed
    ratio = Ratio(limits.ratio)
    chunks = chain((head,), iter(partial(file.read, _READ), b""))
    try:
        for piece in decompress(ratio.packed_chunks(chunks)):
            ratio.add(len(piece), f"the snapshot's {name}")
            if piece:
                yield piece
    except Damaged as error:
        raise SnapshotRefused(f"the snapshot's {name} is {error}") from None


class Codec(NamedTuple):
    """A library. `inflater` makes an object like the standard library's `zlib.decompressobj`, for raw deflate
    data; `crc32` continues a CRC; `error` is raised for damage."""

    inflater: Callable[[], Any]
    crc32: Callable[[bytes, int], int]
    error: type[Exception]


def _isal() -> Codec | None:
    try:
        from isal import igzip_lib, isal_zlib
    except ImportError:  # it has no wheel for this platform
        return None
    # Its stub declares the class as an instance.
    damage = cast(type[Exception], igzip_lib.IsalError)
    return Codec(lambda: isal_zlib.decompressobj(-zlib.MAX_WBITS), isal_zlib.crc32, damage)


ZLIB: Final = Codec(lambda: zlib.decompressobj(-zlib.MAX_WBITS), zlib.crc32, zlib.error)
ISAL: Final = _isal()
BEST: Final = ISAL or ZLIB
