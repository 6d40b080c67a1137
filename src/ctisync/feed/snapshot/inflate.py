"""The library that inflates a snapshot: ISA-L if it is installed, in half of zlib's time; else zlib.

Both find the same damage, but report it in different words.
"""

import zlib
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, cast


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
