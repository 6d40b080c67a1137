"""What a simulated consumer does that is not public: it signs links in exchange for a token."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.support import records
from tests.support.feed_failures import Reply

EXCHANGE: Final = "/api/v1/platform/environments/token/exchange"

_FORM: Final = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "requested_token_type": "urn:wazuh:params:oauth:token-type:signed_url",
}
_SIGNED_PARAMETERS: Final = {"from_offset", "to_offset"}
"""Those of a request for changes that is signed: Wazuh's own programs send no other."""


class PrivateConsumer:
    """With `exchanged_token`, only a link lets in that was signed in exchange for this token.

    `signs` makes the signature of the nth link, and `expires_in` is what is said of it: `expire_links` does
    it. `uses` is how many requests a link lets in before it expires by itself.
    """

    def __init__(self) -> None:
        self.exchanged_token: str | None = None
        self.expires_in: Any = 300
        self.signs: Callable[[int], str] = "1767225600-{:032x}".format
        self.uses: int | None = None
        self.signed: dict[str, str] = {}
        """The path and query that each signature is for."""
        self._used: Counter[str] = Counter()
        self._count = 0

    @property
    def origin(self) -> str:
        raise NotImplementedError

    def has(self, path: str) -> bool:
        """Whether the path is one of this consumer."""
        raise NotImplementedError

    @property
    def exchange_url(self) -> str:
        """What `cti.token_exchange_url` is set to."""
        return self.origin + EXCHANGE

    def expire_links(self) -> None:
        """No link that was signed so far lets in any more."""
        self.signed.clear()

    def turned_away(self, path: str, query: Mapping[str, str]) -> Reply | None:
        """The refusal of a request that has no valid signature, where one is needed."""
        if self.exchanged_token is None:
            return None
        if "verify" not in query:
            return _problem(401, "unauthorized_client", "a signed link is needed")
        verify = query["verify"]
        self._used[verify] += 1
        spent = self.uses is not None and self._used[verify] > self.uses
        unsigned = urlencode([(key, value) for key, value in query.items() if key != "verify"])
        if spent or self.signed.get(verify) != path + (f"?{unsigned}" if unsigned else ""):
            return _problem(403, "access_denied", "the link has expired, or is another one's")
        return None

    def exchanged(self, method: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """The answer to the form of an exchange."""
        token = self.exchanged_token
        if method != "POST" or any(form.get(key) != value for key, value in _FORM.items()):
            return _problem(400, "invalid_request", "the form is not that of an exchange")
        resource = urlsplit(form["resource"])  # by whatever name this server is reached
        extra = (
            dict(parse_qsl(resource.query)).keys() - _SIGNED_PARAMETERS if "/changes" in resource.path else ()
        )
        if token is None or not self.has(resource.path) or extra:
            return _problem(400, "invalid_target", "there is no such resource for this environment")
        if form.get("subject_token") != token or headers.get("authorization") != f"Bearer {token}":
            return _problem(400, "unauthorized_client", "the token is invalid or has expired")
        self._count += 1
        verify = self.signs(self._count)
        self.signed[verify] = resource.path + (f"?{resource.query}" if resource.query else "")
        link = form["resource"] + ("&" if resource.query else "?") + f"verify={verify}"
        reply = {
            "access_token": link,
            "issued_token_type": _FORM["requested_token_type"],
            "token_type": "N_A",
        }
        body = records.encode({**reply, "expires_in": self.expires_in})
        return Reply(200, body, {"Content-Type": "application/json; charset=utf-8"})


def _problem(status: int, code: str, words: str) -> Reply:
    body = records.encode({"error": code, "error_description": words})
    return Reply(status, body, {"Content-Type": "application/json"})
