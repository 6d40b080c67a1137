"""What the variables that name proxies hold of secrets; the HTTP library reads them, and may tell of them."""

import base64
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote


def proxy_secrets(environ: Mapping[str, str]) -> Iterator[str]:
    """The passwords in HTTP_PROXY, https_proxy and so on: as they stand there, and as they are sent.

    Also of a variable that is no address otherwise; without a password the user's name is the secret.
    """
    for name, value in environ.items():
        address, _, _ = value.rpartition("@")
        if address and name.lower().endswith("_proxy"):
            login = re.sub("^[a-z0-9+.-]*://", "", address, flags=re.IGNORECASE)
            user, _, password = login.partition(":")
            yield password or user
            yield unquote(password or user)
            yield base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
