"""What a server says in its reply to a refused request: as an object, or as one short line."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from ctisync.core.json_text import Excess, check
from ctisync.core.wire import decode
from ctisync.errors import ReplyTooLarge
from ctisync.feed.http.content_encoding import decoded
from ctisync.feed.http.retry_budget import RetryLater

_LONGEST_REPLY: Final = 64 << 10
_MOST_WORDS: Final = 200
_MOST_LOOKED_AT: Final = 4096


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
            if len(content) >= _MOST_LOOKED_AT:
                break
    answer = _object(content)
    text = None if answer is None else _errors(answer)
    return in_words(content.decode("utf-8", "replace") if text is None else text, secrets)


def in_words(text: str, secrets: Iterable[str]) -> str:
    """A text of a server as one short line, without the secrets."""
    for secret in secrets:
        text = text.replace(secret, "***")  # before the cut: half a token could not be masked
    return one_line(text[:_MOST_LOOKED_AT])


def one_line(text: str) -> str:
    """A text as one line of printable characters, shortened."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _MOST_WORDS else line[:_MOST_WORDS] + "..."


def _body(headers: Mapping[str, str], chunks: Iterator[bytes]) -> Iterator[bytes]:
    return decoded(chunks, headers.get("content-encoding", ""), _LONGEST_REPLY)


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        check(content, 10, 1000)
        found = decode(content)
    except (ValueError, Excess):
        return None
    return found if isinstance(found, dict) else None


def _errors(answer: Mapping[str, Any]) -> str | None:
    """The forms of the API: `{"errors": {FIELD: [TEXT]}}`, `{"errors": {"detail": TEXT}}`, and that of
    OAuth. None for another one."""
    errors = answer.get("errors")
    if isinstance(errors, dict):
        told = {field: _texts(each) for field, each in errors.items()}
        return "; ".join(text if field == "detail" else f"{field}: {text}" for field, text in told.items())
    about = (answer.get("error"), answer.get("error_description"))
    return ": ".join(each for each in about if isinstance(each, str)) or None


def _texts(found: object) -> str:
    return ", ".join(map(str, found)) if isinstance(found, list) else str(found)
