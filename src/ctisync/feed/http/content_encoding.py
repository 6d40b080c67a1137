"""The body of an API reply, decoded within bounds."""

import zlib
from collections.abc import Iterator
from typing import Final

from ctisync.errors import ReplyTooLarge
from ctisync.feed.http.pass_limits import PIECE
from ctisync.feed.http.retry_budget import Again

_GZIP: Final = zlib.MAX_WBITS | 16


class Damaged(ValueError):
    """The packed bytes are no gzip or zstd, or end in the middle."""


def gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What is in the gzip members, which may be several and hold nothing (RFC 1952, 2.2). Raises Damaged."""
    inflater = zlib.decompressobj(_GZIP)
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                if inflater.eof:
                    inflater = zlib.decompressobj(_GZIP)
                yield inflater.decompress(rest, PIECE)
                rest = inflater.unconsumed_tail or inflater.unused_data
    except zlib.error:
        raise Damaged("damaged") from None
    if not inflater.eof:
        raise Damaged("incomplete")


def decoded(chunks: Iterator[bytes], encoding: str, most: int, already: int = 0) -> Iterator[bytes]:
    """A body without its Content-Encoding (gzip or none), as long as it and the bytes that came `already`
    are at most `most`.

    httpx could decode, but in one piece: a reply of a few kB may then fill the memory.
    Raises ReplyTooLarge for a longer body, Again for one that is not what its headers say.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Again(f"the reply is encoded as {encoding[:40]!r}, which was not asked for", bad_data=True)
    body = _at_most(most, already, chunks)
    if encoding in ("", "identity"):
        return body
    return _at_most(most, already, _inflated(body))


def _at_most(most: int, already: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    amount = already
    for chunk in chunks:
        amount += len(chunk)
        if amount > most:
            raise ReplyTooLarge(
                f"the feed's reply is larger than {most} bytes, which limits.reply_bytes is",
                hint="if that is right: raise limits.reply_bytes",
            )
        yield chunk


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from gunzipped(chunks)
    except Damaged as error:
        raise Again(f"the reply's gzip is {error}", bad_data=True) from None
