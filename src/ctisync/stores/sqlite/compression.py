"""How a record's line is stored and read back: as text, or as a zstd frame made with a dictionary.

Different lines have more in common than the parts of one line. With a dictionary of what many lines share, a
frame of one line is as small as its share of a ZIP archive. The dictionary is trained on the first lines of a
load and belongs to that generation.

A frame contains the number of its dictionary, the length of its line and a checksum. For SQL there is a
function: after `register(connection)`, `ctisync_line(line)` returns the text of either kind.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import zstandard
from zstandard import BufferSegment

from ctisync.core.model import Record

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


class RecordRow(NamedTuple):
    """A record with its line as it is stored. With a frame, the text is empty."""

    name: str
    offset: int
    text: bytes
    frame: BufferSegment | None

    @property
    def size(self) -> int:
        """Bytes of the line, as it is stored."""
        return len(self.text) if self.frame is None else len(self.frame)


Packing = Callable[[Sequence[Record]], list[RecordRow]]
"""How the records of one generation are stored: their rows, in the same order."""


def as_text(records: Sequence[Record]) -> list[RecordRow]:
    """`Packing` for users who read the file with plain SQL."""
    return [RecordRow(record.name, record.offset, record.line, None) for record in records]


class Packer:
    """Makes a zstd frame of each line, with its length and checksum."""

    def __init__(self, dictionary: bytes | None) -> None:
        prepared = None
        if dictionary is not None:
            prepared = zstandard.ZstdCompressionDict(dictionary, zstandard.DICT_TYPE_FULLDICT)
            prepared.precompute_compress(level=_LEVEL)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, dict_data=prepared, write_checksum=True)

    def pack(self, records: Sequence[Record]) -> list[RecordRow]:
        """`Packing`: all lines in one call, during which other threads run."""
        lines = [record.line for record in records]
        short: list[bytes | bytearray | memoryview[int]] = [
            line for line in lines if len(line) <= MOST_UNPACKED
        ]
        packed = self._compressor.multi_compress_to_buffer(short) if short else ()
        frames = map(packed.__getitem__, range(len(packed)))
        return [
            RecordRow(record.name, record.offset, b"", next(frames))
            if len(line) <= MOST_UNPACKED
            else RecordRow(record.name, record.offset, line, None)
            for record, line in zip(records, lines, strict=True)
        ]


def number_of(generation: int) -> int:
    """The number of a generation's dictionary, which each of its frames contains. A file uses neither number
    twice."""
    return _OWN_NUMBERS + generation


def trained(records: Sequence[Record], number: int) -> bytes | None:
    """A dictionary of what the lines of these records have in common; None if they are too few."""
    samples: list[bytes | bytearray | memoryview[int]] = []
    size = 0
    for record in records:
        if len(record.line) <= _LONGEST_SAMPLE and size < _MOST_TRAINED_ON:
            samples.append(record.line)
            size += len(record.line)
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
    """A stored state or frame that cannot be decoded; the text says why."""


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
