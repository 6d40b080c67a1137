"""How a record's line is read back: it is stored as text, or packed into a zstd frame.

A frame says which dictionary it was made with, how long its line is, and holds a checksum of it. For SQL
there is a function: after `register(connection)`, `ctisync_line(line)` gives the text of either kind.
"""

import sqlite3
from typing import Final

import zstandard

MOST_UNPACKED: Final = 16 << 20
"""Bytes of a line. A longer one is stored as text, so that no damaged or foreign frame takes more memory."""

_NO_DICTIONARY: Final = 0

Value = str | bytes | int | float | None
"""Of SQL, as Python has it."""


class Unreadable(ValueError):
    """A frame that cannot be unpacked; the text says why."""


class UnreadableState(ValueError):
    """What is stored of a consumer is no state."""


class Unpacker:
    """Unpacks the frames of one database. Its dictionaries are read when a frame first names them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._by_dictionary = {_NO_DICTIONARY: zstandard.ZstdDecompressor()}

    def line(self, frame: bytes) -> bytes:
        """Raises Unreadable."""
        try:
            told = zstandard.get_frame_parameters(frame)
            if told.content_size > MOST_UNPACKED:  # or does not say: that is the highest number of all
                raise Unreadable(f"it claims to be longer than {MOST_UNPACKED} bytes")
            unpacking = self._by_dictionary.get(told.dict_id) or self._with_dictionary(told.dict_id)
            return unpacking.decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Unreadable(str(error)) from None

    def _with_dictionary(self, number: int) -> zstandard.ZstdDecompressor:
        query = "SELECT CAST(content AS BLOB) FROM dictionaries WHERE id = ?"
        found = self._connection.execute(query, (number,)).fetchone()
        if found is None:
            raise Unreadable(f"its dictionary {number} is missing")
        dictionary = zstandard.ZstdCompressionDict(found[0], zstandard.DICT_TYPE_FULLDICT)
        self._by_dictionary[number] = zstandard.ZstdDecompressor(dict_data=dictionary)
        return self._by_dictionary[number]


def register(connection: sqlite3.Connection) -> None:
    """Give the connection the SQL function `ctisync_line`: the text of the view `content`'s column `line`.

    A statement that meets a line which cannot be unpacked fails with sqlite3.OperationalError.
    """
    unpacker = Unpacker(connection)

    def line(stored: Value) -> Value:
        return unpacker.line(stored).decode() if isinstance(stored, bytes) else stored

    connection.create_function("ctisync_line", 1, line, deterministic=True)
