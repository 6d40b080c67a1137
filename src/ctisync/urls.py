"""URLs and secrets that a person sets: how a URL is split, what ctisync refuses in it, and what it shows.

Errors are ConfigurationErrors. `where` is the source of the value, with which a message begins.
"""

import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ctisync.core.links import place_of
from ctisync.errors import ConfigurationError

MIRROR: Final = "mirror+"
"""Begins the address of a mirror on a web server."""


class Secret:
    """A text that only `reveal` returns: `str`, `repr` and f-strings show `Secret(***)`.

    `file`: the one that a `{ file = … }` names for it, if it came from one.
    """

    __slots__ = ("_text", "file")

    def __init__(self, text: str, file: Path | None = None) -> None:
        self._text = text
        self.file = file

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def split(url: str, where: str) -> SplitResult:
    """The parts of a URL. Raises ConfigurationError if it has an invalid port or host, or white space."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises for a port that is not a number
    except ValueError as error:
        raise ConfigurationError(f"{where}: {redacted(url)} is not a URL: {error}") from error
    if re.search(r"[\s\x00-\x1f]", url):
        raise ConfigurationError(f"{where}: {redacted(url)} contains a space or a control character")
    return parts


def refuse_credentials(url: str, where: str, instead: str) -> None:
    """Raises ConfigurationError for a login in the URL; `instead`: the settings for it."""
    if "@" in url:
        raise ConfigurationError(
            f"{where}: the URL contains a user name or password, which would appear in logs",
            hint=f"set {instead}",
        )


def redacted(url: str) -> str:
    """A URL for a message, without login and query, which may contain passwords and keys."""
    return repr(place_of(url, "***@"))


def address_of(url: str) -> str:
    """The address to connect to, of a URL that may begin with `mirror+`."""
    return url.removeprefix(MIRROR)


def origin_of(url: str, default_port: int | None = None) -> str:
    """Scheme, host and port of a checked URL. Without a port in it: `default_port`, or that of the scheme."""
    parts = urlsplit(url)
    port = parts.port or default_port or (443 if parts.scheme == "https" else 80)
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{name}:{port}"
