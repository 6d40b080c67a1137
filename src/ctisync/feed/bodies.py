"""The body of an API reply, decoded within bounds."""

from collections.abc import Iterator

from ctisync.errors import ReplyTooLarge
from ctisync.feed.packed import Damaged, gunzipped
from ctisync.feed.patience import Again


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
