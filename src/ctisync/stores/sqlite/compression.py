"""How a record's line is stored and read back: as text, or as a zstd frame made with a dictionary.

Different lines have more in common than the parts of one line. With a dictionary of what many lines share, a
frame of one line is as small as its share of a ZIP archive. The dictionary is trained on the first lines of a
load and belongs to that generation.

A frame contains the number of its dictionary, the length of its line and a checksum. For SQL there is a
function: after `register(connection)`, `ctisync_line(line)` returns the text of either kind.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

import zstandard
from zstandard import BufferSegment

MOST_UNPACKED: Final = 16 << 20
"""Bytes of a line. A longer one is stored as text, so that no damaged or forged frame takes more memory."""

_NO_DICTIONARY: Final = 0

Value = str | bytes | int | float | None
"""An SQL value in Python."""

Compression = Literal["zstd", "none"]

_LEVEL: Final = 1
_DICTIONARY_BYTES: Final = 64 << 10
_SEGMENT_BYTES: Final = 2048
"""Bytes of the segments that make up the dictionary. Without this figure zstd tries several, takes three
times as long, and on very similar records may choose one that leaves twice as many bytes."""
_COMPARED_BYTES: Final = 8
_LEAST_TRAINED_ON: Final = 1 << 20
"""Bytes of lines. A smaller content gains too little from a dictionary."""
_MOST_TRAINED_ON: Final = 2 << 20
"""Bytes of lines. More do not compress better, and each byte takes nine bytes of memory."""
_LONGEST_SAMPLE: Final = 256 << 10
_OWN_NUMBERS: Final = 1 << 15
"""The zstd format reserves lower numbers for registered dictionaries."""


class StoredLine(NamedTuple):
    """The two columns of a line. With a frame, the text is empty."""

    text: bytes
    frame: BufferSegment | None


class Packing(Protocol):
    """How the lines of one generation are stored."""

    def pack(self, lines: Sequence[bytes]) -> list[StoredLine]:
        """The lines as they are stored, in the same order."""


class AsText:
    """`Packing` for users who read the file with plain SQL."""

    def pack(self, lines: Sequence[bytes]) -> list[StoredLine]:
        return [StoredLine(line, None) for line in lines]


class Packer:
    """`Packing` of each line as a zstd frame, with its length and checksum."""

    def __init__(self, dictionary: bytes | None) -> None:
        if dictionary is None:
            self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
            return
        prepared = zstandard.ZstdCompressionDict(dictionary, zstandard.DICT_TYPE_FULLDICT)
        prepared.precompute_compress(level=_LEVEL)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, dict_data=prepared, write_checksum=True)

    def pack(self, lines: Sequence[bytes]) -> list[StoredLine]:
        """All lines in one call, during which other threads run."""
        frames = iter(self._frames([line for line in lines if len(line) <= MOST_UNPACKED]))
        return [
            StoredLine(b"", next(frames)) if len(line) <= MOST_UNPACKED else StoredLine(line, None)
            for line in lines
        ]

    def _frames(self, lines: "list[bytes | bytearray | memoryview[int]]") -> list[BufferSegment]:
        if not lines:
            return []
        packed = self._compressor.multi_compress_to_buffer(lines)
        return [packed[number] for number in range(len(packed))]


def number_of(generation: int) -> int:
    """The number of a generation's dictionary, which each of its frames contains. A file uses neither number
    twice."""
    return _OWN_NUMBERS + generation


def trained(lines: Sequence[bytes], number: int) -> bytes | None:
    """A dictionary of what these lines have in common; None if they are too few."""
    samples: list[bytes | bytearray | memoryview[int]] = []
    size = 0
    for line in lines:
        if len(line) <= _LONGEST_SAMPLE and size < _MOST_TRAINED_ON:
            samples.append(line)
            size += len(line)
    if size < _LEAST_TRAINED_ON:
        return None
    try:
        dictionary = zstandard.train_dictionary(
            _DICTIONARY_BYTES, samples, k=_SEGMENT_BYTES, d=_COMPARED_BYTES, dict_id=number
        )
    except zstandard.ZstdError:  # too few lines to find common parts
        return None
    return dictionary.as_bytes()


class Unreadable(ValueError):
    """A frame that cannot be unpacked; the text says why."""


class UnreadableState(ValueError):
    """The stored state of a consumer cannot be decoded."""


class Unpacker:
    """Unpacks the frames of one database. Its dictionaries are read when a frame first names them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._by_dictionary = {_NO_DICTIONARY: zstandard.ZstdDecompressor()}

    def line(self, frame: bytes) -> bytes:
        """The line in a frame. Raises Unreadable."""
        try:
            header = zstandard.get_frame_parameters(frame)
            if header.content_size > MOST_UNPACKED:  # also if it has no size: that is the highest number
                raise Unreadable(f"it claims to be longer than {MOST_UNPACKED} bytes")
            unpacking = self._by_dictionary.get(header.dict_id) or self._with_dictionary(header.dict_id)
            return unpacking.decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Unreadable(str(error)) from None

    def _with_dictionary(self, number: int) -> zstandard.ZstdDecompressor:
        query = "SELECT CAST(content AS BLOB) FROM dictionaries WHERE id = ?"
        row = self._connection.execute(query, (number,)).fetchone()
        if row is None:
            raise Unreadable(f"its dictionary {number} is missing")
        dictionary = zstandard.ZstdCompressionDict(row[0], zstandard.DICT_TYPE_FULLDICT)
        self._by_dictionary[number] = zstandard.ZstdDecompressor(dict_data=dictionary)
        return self._by_dictionary[number]


def register(connection: sqlite3.Connection) -> None:
    """Add the SQL function `ctisync_line` to the connection: the text of a `line` of the view `content`.

    A statement fails with sqlite3.OperationalError if it reads a line that cannot be unpacked.
    """
    unpacker = Unpacker(connection)

    def line(stored: Value) -> Value:
        return unpacker.line(stored).decode() if isinstance(stored, bytes) else stored

    connection.create_function("ctisync_line", 1, line, deterministic=True)
