"""A connection to OpenSearch with nothing between: requests of ready bytes, replies as bytes."""

import http.client
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from bench.processes import BenchFailed

Json = Any

_JSON: Final = {"Content-Type": "application/json"}
_WORDS: Final = 300


class Connection:
    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def send(
        self, method: str, target: str, body: bytes | memoryview = b"", *, allow: Collection[int] = ()
    ) -> bytes:
        """Raises BenchFailed for a reply whose status is no success and none of `allow`."""
        self._connection.request(method, target, body, _JSON)
        reply = self._connection.getresponse()
        content = reply.read()
        if reply.status >= 300 and reply.status not in allow:
            raise BenchFailed(f"{method} {target}: {reply.status} {content[:_WORDS]!r}")
        return content

    def send_json(self, method: str, target: str, body: Json) -> Json:
        return json.loads(self.send(method, target, json.dumps(body).encode()))

    def bulk(self, index: str, body: bytes | memoryview) -> None:
        """Raises BenchFailed when any item of it was not done."""
        reply = self.send("POST", f"/{index}/_bulk?filter_path=errors", body)
        if reply != b'{"errors":false}':
            raise BenchFailed(f"a bulk of {len(body)} bytes: {reply[:_WORDS]!r}")


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    try:
        yield Connection(connection)
    finally:
        connection.close()
