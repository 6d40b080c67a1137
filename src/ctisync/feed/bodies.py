"""The body of an API reply, decoded within bounds."""

import zlib
from collections.abc import Iterator

from ctisync.errors import ReplyTooLarge
from ctisync.feed.patience import Again

_PIECE = 1 << 20


def decoded(chunks: Iterator[bytes], encoding: str, most: int, already: int = 0) -> Iterator[bytes]:
    """A body without its Content-Encoding (gzip or none), as long as it and the bytes that came `already`
    are at most `most`.

    httpx could decode, but in one piece: a reply of a few kB may then fill the memory.
    Raises ReplyTooLarge for a longer body, Again for one that is not what its headers say.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Again(f"the reply is encoded as {encoding[:40]!r}, which was not asked for", bad_data=True)
    amount = already
    for chunk in chunks if encoding in ("", "identity") else _inflated(chunks):
        amount += len(chunk)
        if amount > most:
            raise ReplyTooLarge(
                f"the feed's reply is larger than {most} bytes, which limits.reply_bytes is",
                hint="if that is right: raise limits.reply_bytes",
            )
        yield chunk


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for chunk in chunks:
            rest = chunk
            while rest and not inflater.eof:
                yield inflater.decompress(rest, _PIECE)
                rest = inflater.unconsumed_tail
    except zlib.error:
        raise Again("the reply's gzip is damaged", bad_data=True) from None
    if not inflater.eof:
        raise Again("the reply's gzip is incomplete", bad_data=True)
