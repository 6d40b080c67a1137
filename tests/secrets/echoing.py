"""What a careless server answers: the credentials that a request came with."""

import html
import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from tests.support.http_proxy import Answer, Intercept, Received

SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "as it came": lambda text: text,
    "JSON": json.dumps,
    "for an address": lambda text: quote(text, safe=""),
    "for an address, in small letters": lambda text: quote(text, safe="/:").replace("%C3", "%c3"),
    "Python": lambda text: repr(text.encode()),
    "HTML": html.escape,
    "cut off": lambda text: f"{'careless ':*<140}{text}",
}
"""How a server writes what it echoes. "Cut off" goes beyond the 200 characters that a message shows."""


def echo(status: int, *, spelling: str = "as it came", part: str = "", **headers: str) -> Intercept:
    """Tells the client, in plain text, with which credentials it came; for targets that hold `part`."""

    def answer(request: Received) -> Answer | None:
        if part not in request.target:
            return None
        text = SPELLINGS[spelling](request.credentials)
        return Answer(status, text.encode(), {"Content-Type": "text/plain", **_dashed(headers)})

    return answer


def json_echo(status: int, *, spelling: str = "as it came", part: str = "") -> Intercept:
    """The same as an error of OpenSearch or of its plugins."""

    def answer(request: Received) -> Answer | None:
        if part not in request.target:
            return None
        text = SPELLINGS[spelling](request.credentials)
        error = {"type": "security_exception", "reason": f"not for {text}"}
        body = json.dumps({"error": error, "status": status}, ensure_ascii=False)
        return Answer(status, body.encode(), {"Content-Type": "application/json"})

    return answer


def garbage(*, part: str = "") -> Intercept:
    """What is no HTTP, but holds what came."""

    def answer(request: Received) -> Answer | None:
        if part not in request.target:
            return None
        headers = "".join(f"no colon here {value}\r\n".replace(":", "") for value in request.headers.values())
        return Answer(raw=f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode())

    return answer


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}
