"""The quick way from a line to a record: simdjson, if it is installed, parses the whole line at once.

It accepts no line that `core.wire.record` and the limits would refuse. It decides only on lines of the usual
form; the caller reads all others, and every line with an error, by `core.wire`.
"""

from collections.abc import Callable
from typing import Final

from ctisync.core.json_text import Excess, check_line
from ctisync.core.limits import Limits
from ctisync.core.model import MAX_OFFSET, Record
from ctisync.core.wire import wrong_name

Reader = Callable[[bytes], Record | None]
"""Returns the record of a line, or None if it does not decide on it."""


def undecided(line: bytes) -> None:
    """The reader of a platform without simdjson: it decides on no line."""


def reader(limits: Limits) -> Reader:
    """A reader for one thread."""
    try:
        return _Simd(limits).record
    except ImportError:  # it has no wheel for this platform
        return undecided


class _Simd:
    """A parser, and the fields that the last line had: nearly all lines have the same."""

    def __init__(self, limits: Limits) -> None:
        import simdjson

        self._parse = simdjson.Parser().parse
        self._object = simdjson.Object
        self._limits = limits
        self._fields: list[str] = []
        self._named_by: str | None = None

    def record(self, line: bytes) -> Record | None:
        # simdjson skips a BOM, and blanks at the end.
        if line[:1] != b"{" or line[-1:] != b"}" or len(line) > self._limits.line_bytes:
            return None
        try:
            document = self._parse(line)
            assert isinstance(document, self._object)  # it begins with a brace
            if (fields := list(document)) != self._fields:
                self._fields, self._named_by = fields, _naming_field(fields)
            if self._named_by is None or not isinstance(document["payload"], self._object):
                return None
            name, offset, version = document[self._named_by], document["offset"], document.get("version")
            check_line(line, self._limits)
        except _UNDECIDED:
            return None
        if type(name) is not str or wrong_name(name) or not (version is None or type(version) is int):
            return None
        return Record(name, offset, line) if type(offset) is int and 0 <= offset <= MAX_OFFSET else None


def _naming_field(fields: list[str]) -> str | None:
    """The field with the name; None for lines to be read by `core.wire`: with two names, or a field twice, of
    which simdjson takes the first and msgspec the last."""
    if len(set(fields)) < len(fields) or {"name", "resource"} <= set(fields):
        return None
    return "resource" if "resource" in fields else "name"


_UNDECIDED: Final = (ValueError, RuntimeError, KeyError, Excess)
"""simdjson raises ValueError and RuntimeError for what it cannot parse: errors, integers beyond 64 bits,
numbers beyond doubles, and nesting beyond 1024."""
