"""The curl commands in hints: how you query or change OpenSearch with the access of the settings."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ctisync.escaping import quoted

_ADMINISTRATOR = "admin"
"""The user that the security plugin creates, on a Wazuh indexer too. The settings' user may lack rights."""

SYNC = "; then: ctisync sync"


class Curl(NamedTuple):
    """`url` is a node's. No command contains a password: curl asks for it."""

    url: str
    username: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    def looks(self, target: str = "") -> str:
        """A GET, as the settings' user."""
        return " ".join(["curl", *self._trusts(), *self._shows(), quoted(self.url + target)])

    def mends(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> str:
        """A request that changes something: as the administrator, if the settings have a user."""
        words = ["curl", *self._trusts()]
        if self.username is not None or self.client_cert is not None:
            words += ["--user", _ADMINISTRATOR]
        words += ["-X", method, quoted(self.url + target)]
        if body is not None:
            sent = msgspec.json.encode(body).decode()
            words += ["-H", quoted("Content-Type: application/json"), "-d", quoted(sent)]
        return " ".join(words)

    def _trusts(self) -> Iterator[str]:
        if self.ca_file is not None and self.url.startswith("https:"):
            yield from ("--cacert", _file(self.ca_file))

    def _shows(self) -> Iterator[str]:
        if self.client_cert is not None:
            yield from ("--cert", _file(self.client_cert.replace("\\", "\\\\").replace(":", "\\:")))
        if self.client_key is not None:
            yield from ("--key", _file(self.client_key))
        if self.username is not None:
            yield from ("--user", quoted(self.username))


def _file(name: str) -> str:
    return quoted(Path(name).absolute())
