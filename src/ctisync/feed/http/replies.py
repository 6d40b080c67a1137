"""The body of a reply, decoded within limits; the words of a refusal, and what to do about it."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from ctisync import hints
from ctisync.core.json_text import Excess, check, decode
from ctisync.errors import ReplyTooLarge
from ctisync.feed.http.budget import PIECE, RetryLater

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


PROXY_HINT: Final = "the proxy requires a password: add it to HTTPS_PROXY, or add the host to NO_PROXY"

BAD_LOGIN: Final = "set cti.token or cti.token_file (environment CTISYNC_CTI__TOKEN) to a valid token"

_LONGEST_REPLY: Final = 64 << 10
_MOST_WORDS: Final = 200
_LONGEST_WORDS: Final = 4096


def snapshot_hints() -> dict[int, str]:
    """What to type if the server of a snapshot refuses a request, by status."""
    another = hints.command("init-snapshot", "--from FILE_OR_URL")
    refused = dict.fromkeys((401, 403, 404), f"run the same command later, or load another copy: {another}")
    return {**refused, 407: PROXY_HINT}


def object_in(headers: Mapping[str, str], chunks: Iterator[bytes]) -> dict[str, Any] | None:
    """The object of a reply in JSON; None if it is none, or larger than 64 kB."""
    try:
        return _object(b"".join(_body(headers, chunks)))
    except ReplyTooLarge:
        return None


def words_in(headers: Mapping[str, str], chunks: Iterator[bytes], secrets: Iterable[str]) -> str:
    """The text of a refusal as one short line, without the secrets; empty for HTML and for a body that cannot
    be read. Of a JSON object it is the text in `errors`, as `field: text`, or that in `error`."""
    if "html" in headers.get("content-type", "").lower():
        return ""
    content = b""
    with suppress(RetryLater, ReplyTooLarge):
        for chunk in _body(headers, chunks):
            content += chunk
            if len(content) >= _LONGEST_WORDS:  # a server may send more for hours
                break
    answer = _object(content)
    text = None if answer is None else _errors(answer)
    return in_words(content.decode("utf-8", "replace") if text is None else text, secrets)


def in_words(text: str, secrets: Iterable[str]) -> str:
    """A text of a server as one short line, without the secrets."""
    for secret in secrets:
        text = text.replace(secret, "***")  # before the cut: half a token could not be masked
    return one_line(text[:_LONGEST_WORDS])


def one_line(text: str) -> str:
    """A text as one line of printable characters, shortened."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _MOST_WORDS else line[:_MOST_WORDS] + "..."


def _body(headers: Mapping[str, str], chunks: Iterator[bytes]) -> Iterator[bytes]:
    return decoded(chunks, headers.get("content-encoding", ""), _LONGEST_REPLY)


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        check(content, 10, 1000)
        value = decode(content)
    except (ValueError, Excess):
        return None
    return value if isinstance(value, dict) else None


def _errors(answer: Mapping[str, Any]) -> str | None:
    """The forms of the API: `{"errors": {FIELD: [TEXT]}}`, `{"errors": {"detail": TEXT}}`, and that of
    OAuth. None for another one."""
    errors = answer.get("errors")
    if isinstance(errors, dict):
        texts = {field: _texts(each) for field, each in errors.items()}
        return "; ".join(text if field == "detail" else f"{field}: {text}" for field, text in texts.items())
    about = (answer.get("error"), answer.get("error_description"))
    return ": ".join(each for each in about if isinstance(each, str)) or None


def _texts(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
