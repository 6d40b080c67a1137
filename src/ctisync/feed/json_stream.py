"""JSON from a stream, by ijson on its C library: integers exact, fractions as Decimal.

The backend is pinned: the others are slower and see less of what is wrong, and an environment
variable would choose between them. What it bears badly does not reach it: see `digits`, `surrogates`.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from types import ModuleType
from typing import Any

from ctisync.core.model import Json
from ctisync.errors import ConfigurationError
from ctisync.feed.digits import bearable
from ctisync.feed.surrogates import paired


class NotJson(ValueError):
    """The stream is not the JSON text that it should be, or it ends too early."""


def members(chunks: Iterator[bytes]) -> Iterator[tuple[str, Json]]:
    """Key and value of the outermost object; nothing when the text is no object. Raises NotJson."""
    parser = _parser()
    return _translated(parser, lambda: parser.kvitems(_File(chunks), ""))


def elements(chunks: Iterator[bytes]) -> Iterator[Json]:
    """The elements of the outermost array, of a text that begins with one. Raises NotJson."""
    parser = _parser()
    return _translated(parser, lambda: parser.items(_File(chunks), "item"))


class _File:
    """Chunks as the file that ijson wants; it takes more or less than it asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        # A string that has no end shows where a line ends, which none may hold.
        self._chunks = chain(paired(bearable(chunks)), (b"\n",))

    def read(self, size: int = -1) -> bytes:
        return b"" if size == 0 else next((chunk for chunk in self._chunks if chunk), b"")


def _parser() -> ModuleType:
    import ijson

    try:
        backend: ModuleType = ijson.get_backend("yajl2_c")
    except ImportError:
        raise ConfigurationError(
            "ijson has no yajl2_c backend here",
            hint="install its wheel: pip install --force-reinstall --only-binary ijson ijson",
        ) from None
    return backend


def _translated(parser: ModuleType, parse: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    try:
        yield from parse()
    except ArithmeticError:
        raise NotJson("a number's exponent is beyond all bounds") from None
    # Besides JSONError: what `_File` refuses, and text that is no UTF-8.
    except (parser.common.JSONError, ValueError, RecursionError) as error:
        raise NotJson(" ".join(str(error).split())[:120]) from None
