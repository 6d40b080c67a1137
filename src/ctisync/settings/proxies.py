"""The proxy variables, and the secrets in them: the HTTP library reads them and may log them."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

_NAMES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_SCHEME: Final = re.compile("^[a-z0-9+.-]*://", re.IGNORECASE)


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxies in effect, by variable, without user and password. Lower-case variables take precedence."""
    found: dict[str, str] = {}
    for name in _NAMES:
        chosen = name if name in environ else name.upper()
        if value := environ.get(chosen):
            before, _, address = value.rpartition("@")
            scheme = _SCHEME.match(before)
            found[chosen] = (scheme[0] if scheme else "") + address
    return found


def proxy_secrets(environ: Mapping[str, str]) -> Iterator[str]:
    """The passwords in HTTP_PROXY, https_proxy and so on, as they are written there and as they are sent.

    Without a password, the user name is the secret. Also of a variable that is not a valid address.
    """
    for name, value in environ.items():
        address, _, _ = value.rpartition("@")
        if address and name.lower().endswith("_proxy"):
            login = _SCHEME.sub("", address)
            user, _, password = login.partition(":")
            yield password or user
            yield unquote(password or user)
            sent = f"{unquote(user)}:{unquote(password)}".encode(errors="surrogateescape")
            yield base64.b64encode(sent).decode()
