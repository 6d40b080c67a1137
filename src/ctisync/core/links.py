"""Links: the part that may be stored and shown, without a password or a signature; a consumer's address."""

import hashlib
import re
from typing import Final, NamedTuple

from ctisync.escaping import escape

LONGEST_LINK: Final = 8000
"""Characters. Every server should accept them (RFC 9110, 4.1); httpx fails for much longer links."""

_BEGIN: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://|//)?")
_LOGIN: Final = re.compile(r"[^/]*@")
_PASSED_OVER: Final = re.compile(r"^[\x00-\x20]+|[\t\r\n]")
"""Characters that `urllib.parse` ignores in an address, so that a login after them is still one."""

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""A pattern for the names of contexts and consumers."""

_ADDRESS: Final = re.compile(
    rf"(https?://[\w.:/%~\[\]@-]+)/catalog/contexts/({NAME})/consumers/({NAME})/?", re.ASCII
)


def public_link(link: str) -> str:
    """A link without user, password, query and fragment, with printable characters, and at most
    `LONGEST_LINK` characters.

    A digest replaces the removed parts, so that two results are equal if and only if the links are.
    """
    place = escape(place_of(link)[:LONGEST_LINK])
    if place == link:
        return link
    return f"{place}#{hashlib.sha256(link.encode(errors='surrogatepass')).hexdigest()[:16]}"


def place_of(link: str, login: str = "") -> str:
    """A link without query and fragment, and with `login` instead of user and password."""
    place = _PASSED_OVER.sub("", re.split("[?#]", link, maxsplit=1)[0])
    begin, login_match = _split_login(place)
    while login_match is not None:
        place = _PASSED_OVER.sub("", begin + place[login_match.end() :])
        begin, login_match = _split_login(place)
        if login_match is None:
            return begin + login + place[len(begin) :]
    return place


def _split_login(place: str) -> tuple[str, re.Match[str] | None]:
    """The scheme, and the login after it."""
    begin = _BEGIN.match(place)
    assert begin is not None  # it may be empty
    return begin[0], _LOGIN.match(place, begin.end())


class Address(NamedTuple):
    """`base`: the base URL of the API, as in `cti.url`."""

    base: str
    context: str
    consumer: str


def parse_consumer_url(url: object) -> Address | None:
    """The parts of a consumer's whole address; None for anything else, also for an address with a query."""
    match = _ADDRESS.fullmatch(url) if isinstance(url, str) else None
    return match and Address(*match.groups())
