"""Decodes the body of an API reply, within limits."""

import zlib
from collections.abc import Iterator
from typing import Final

from ctisync.errors import ReplyTooLarge
from ctisync.feed.http.pass_limits import PIECE
from ctisync.feed.http.retry_budget import RetryLater

ASK_FOR_JSON: Final = {"Accept": "application/json", "Accept-Encoding": "gzip"}
"""The headers of a request whose reply `decoded` decodes."""

_GZIP: Final = zlib.MAX_WBITS | 16


class Damaged(ValueError):
    """The compressed bytes are damaged or incomplete."""


def gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of all gzip members, of which some may be empty (RFC 1952, 2.2). Raises Damaged."""
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
    """A body without its Content-Encoding (gzip or none).

    httpx would decode in one piece, so that a reply of a few kB could fill the memory.
    Raises ReplyTooLarge if the body and the `already` received bytes exceed `most`, RetryLater if the body
    does not match its headers.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise RetryLater(f"the reply has an unexpected encoding: {encoding[:40]!r}", bad_data=True)
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
                f"the feed's reply is larger than {most} bytes (limits.reply_bytes)",
                hint="if this is expected, raise limits.reply_bytes",
            )
        yield chunk


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from gunzipped(chunks)
    except Damaged as error:
        raise RetryLater(f"the reply's gzip is {error}", bad_data=True) from None
