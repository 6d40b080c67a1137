"""How an error may look: what a person gets to see of it is clean, whatever it tells of."""

import io
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ctisync.console import Console, Format
from ctisync.errors import CtisyncError
from tests.support.clock import FakeClock

FORMATS: Final[tuple[Format, ...]] = ("text", "json", "journal")

_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns text around (Unicode TR 9)."""


def harmless(text: str) -> bool:
    """Whether a terminal shows all of it, in one line, in the order in which it stands."""
    return not any(unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") or char in _BIDI for char in text)


@contextmanager
def refusing(*errors: type[Exception]) -> Iterator[None]:
    """The block may raise these, and nothing else. What a `CtisyncError` prints is looked at."""
    try:
        yield
    except errors as error:
        if isinstance(error, CtisyncError):
            check_printed(error)


def check_printed(error: CtisyncError) -> None:
    for form in FORMATS:
        stream = io.StringIO()
        console = Console(stream, FakeClock())
        console.configure(least="info", log_format=form)
        console.error(error)
        # As standard error writes what cannot be encoded.
        shown = stream.getvalue().encode(errors="backslashreplace").decode()
        for line in shown.removesuffix("\n").split("\n"):
            assert harmless(line), f"printed as {form}: {line!r}"
