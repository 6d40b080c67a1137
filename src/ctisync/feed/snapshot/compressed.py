"""Decompression: the library that inflates a ZIP's members, and streams of gzip and zstd.

The limits of a stream are those of a ZIP's member: the bytes in one piece, and the compression ratio.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol, cast

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


class _Format(NamedTuple):
    """A compressed file: its first bytes, and what decompresses a stream of it."""

    name: str
    magic: bytes
    decompress: Callable[[Iterator[bytes]], Iterator[bytes]]


_FORMATS: Final = (
    _Format("gzip", b"\x1f\x8b", gunzipped),
    _Format("zstd", b"\x28\xb5\x2f\xfd", _unzstd),
)
_LONGEST_MAGIC: Final = 4


def is_packed(file: BinaryIO) -> bool:
    """Whether the file begins as gzip or zstd does."""
    file.seek(0)
    return _format_of(file.read(_LONGEST_MAGIC)) is not None


def _format_of(head: bytes) -> _Format | None:
    return next((each for each in _FORMATS if head.startswith(each.magic)), None)


def plain_or_unpacked(file: BinaryIO, limits: Limits) -> Iterator[bytes]:
    """The content of a file that may be compressed, in pieces of at most 1 MiB. It is read from where it is,
    once. Raises SnapshotRefused for damage and for a compression ratio above limits.ratio."""
    head = file.read(_LONGEST_MAGIC)
    if (packed := _format_of(head)) is not None:
        yield from _unpacked(packed, head, file, limits.ratio)
        return
    piece = head + file.read(PIECE - len(head))  # a reader looks at more of the first piece than these bytes
    while piece:
        yield piece
        piece = file.read(PIECE)


def _unpacked(packed: _Format, head: bytes, file: BinaryIO, ratio: int) -> Iterator[bytes]:
    bytes_in = bytes_out = 0

    def chunks() -> Iterator[bytes]:
        nonlocal bytes_in
        chunk = head
        while chunk:
            bytes_in += len(chunk)
            yield chunk
            chunk = file.read(_READ)

    try:
        for piece in packed.decompress(chunks()):
            bytes_out += len(piece)
            if bytes_out > FREE and bytes_out > ratio * bytes_in:
                raise SnapshotRefused.over_limit(
                    "ratio", f"the snapshot's {packed.name} has a compression ratio above {ratio}"
                )
            if piece:
                yield piece
    except Damaged as error:
        raise SnapshotRefused(f"the snapshot's {packed.name} is {error}") from None


class Inflater(Protocol):
    """The interface of the standard library's `zlib.decompressobj`."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Codec(NamedTuple):
    """A library. `inflater` inflates raw deflate data, `crc32` continues a CRC, `error` is raised for
    damage."""

    inflater: Callable[[], Inflater]
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
