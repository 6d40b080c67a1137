"""What of a link may be stored and shown: nothing that may be a secret, such as a password or a signature."""

import hashlib
import re
from typing import Final

_LOGIN: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://|//)?[^/]*@")


def public_link(link: str) -> str:
    """A link without user, password, query and fragment.

    A digest stands in their place, so that two are alike exactly when the links are.
    """
    place = place_of(link)
    if place == link:
        return link
    return f"{place}#{hashlib.sha256(link.encode(errors='surrogatepass')).hexdigest()[:16]}"


def place_of(link: str, login: str = "") -> str:
    """A link without query and fragment, and with `login` instead of user and password."""
    return _LOGIN.sub(rf"\1{login}", re.split("[?#]", link, maxsplit=1)[0])
