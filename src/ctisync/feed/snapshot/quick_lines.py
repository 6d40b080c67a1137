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
        import simdjson
    except ImportError:  # it has no wheel for this platform
        return undecided
    parse, an_object = simdjson.Parser().parse, simdjson.Object
    usual: list[str] = []
    named_by = "name"

    def read(line: bytes) -> Record | None:
        nonlocal usual, named_by
        # simdjson skips a BOM, and blanks at the end.
        if line[:1] != b"{" or line[-1:] != b"}" or len(line) > limits.line_bytes:
            return None
        try:
            document = parse(line)
            assert isinstance(document, an_object)  # it begins with a brace
            if (fields := list(document)) != usual:
                if len(set(fields)) < len(fields):  # simdjson takes the first of two, msgspec the last
                    return None
                if "name" in fields and "resource" in fields:
                    return None
                usual, named_by = fields, "resource" if "resource" in fields else "name"
            name, offset, version = document[named_by], document["offset"], document.get("version")
            if not isinstance(document["payload"], an_object):
                return None
            check_line(line, limits)
        except _UNDECIDED:
            return None
        if type(name) is not str or type(offset) is not int or not 0 <= offset <= MAX_OFFSET:
            return None
        if (version is not None and type(version) is not int) or wrong_name(name):
            return None
        return Record(name, offset, line)

    return read


_UNDECIDED: Final = (ValueError, RuntimeError, KeyError, Excess)
"""simdjson raises ValueError and RuntimeError for what it cannot parse: errors, integers beyond 64 bits,
numbers beyond doubles, and nesting beyond 1024."""
