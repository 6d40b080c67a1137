"""The built-in feed: its content, and its HTTP server on the loopback interface.

The content has the format of the real feed: records, and a log of changes that grows. It is the same in every
run. Each change is made twice: in the record itself, and in the log, as the operations that a client has to
apply. The records therefore do not depend on the code that reads the feed.
"""

import io
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from ctisync.errors import UsageError
from ctisync.system.threads import start_thread

CONTEXT: Final = "vd_1.0.0"
CONSUMER: Final = "vd_4.8.0"
FIRST_OFFSET: Final = 100_000

_SEED: Final = 20_26
_VENDORS: Final = ("acme", "globex", "initech", "umbrella", "tyrell", "wonka")
_PRODUCTS: Final = ("parser", "gateway", "kernel", "viewer", "agent", "mailer", "storage")
_FLAWS: Final = ("a heap overflow", "a path traversal", "a use after free", "a missing check", "an injection")
_CONSEQUENCES: Final = ("run code", "read files", "crash it", "gain rights")


class DemoFeed:
    """A feed that begins with so many `records`, after offset FIRST_OFFSET.

    `records`: the current ones by name; `changes`: the log, ascending by offset; `snapshot`: a ZIP with the
    records as of `snapshot_offset`, empty before `publish_snapshot`.
    """

    def __init__(self, records: int) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.changes: list[dict[str, Any]] = []
        self.last_offset = FIRST_OFFSET
        self.snapshot = b""
        self.snapshot_offset = 0
        self._chance = random.Random(_SEED)  # noqa: S311  # no secret is made of it
        self._created = 0
        for _ in range(records):
            self._create()

    def publish_snapshot(self) -> None:
        """Make a snapshot of the current records."""
        self.snapshot_offset = self.last_offset
        name = f"{CONTEXT}_{CONSUMER}_{self.last_offset}_1746459961.json"
        lines = [msgspec.json.encode(record) for record in self.records.values()]
        self._chance.shuffle(lines)  # a real snapshot is not sorted
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(name), b"\n".join(lines) + b"\n", zipfile.ZIP_DEFLATED)
        self.snapshot = target.getvalue()

    def live_on(self, changes: int) -> None:
        """Add so many changes: mostly updates, also of the same records again, some creates and deletes. Some
        offsets are left out, as in the real feed."""
        lately: list[str] = []
        for _ in range(changes):
            dice = self._chance.random()
            if dice < 0.02:
                self.last_offset += self._chance.randint(1, 5)
            if dice < 0.85:
                is_recent = lately and self._chance.random() < 0.3
                lately.append(self._chance.choice(lately[-20:] if is_recent else list(self.records)))
                self._update(lately[-1])
            elif dice < 0.95:
                lately.append(self._create())
            else:
                name = self._chance.choice(list(self.records))
                self._delete(name)
                lately = [other for other in lately if other != name]

    def _create(self) -> str:
        self._created += 1
        name = f"CVE-{2000 + self._created % 26}-{10_000 + self._created}"
        payload = self._payload(name)
        change = self._log("create", name, payload=payload)
        self.records[name] = {
            "name": name,
            "offset": change["offset"],
            "version": 1,
            "inserted_at": change["inserted_at"],
            "payload": deepcopy(payload),  # an update of the record must not alter the payload in the log
        }
        return name

    def _update(self, name: str) -> None:
        record = self.records[name]
        operations = self._edit(record["payload"]["containers"]["cna"])
        record["version"] += 1
        record["offset"] = self._log("update", name, record["version"], operations=operations)["offset"]

    def _delete(self, name: str) -> None:
        self._log("delete", name, self.records.pop(name)["version"] + 1)

    def _log(self, kind: str, name: str, version: int = 1, **content: Any) -> dict[str, Any]:
        self.last_offset += 1
        day, minute = divmod(self.last_offset - FIRST_OFFSET, 1440)
        change = {
            "offset": self.last_offset,
            "type": kind,
            "version": version,
            "context": CONTEXT,
            "resource": name,
            "inserted_at": f"2025-05-{1 + day % 28:02}T{minute // 60:02}:{minute % 60:02}:00.000000Z",
            **content,
        }
        self.changes.append(change)
        return change

    def _edit(self, container: dict[str, Any]) -> list[dict[str, Any]]:
        """Change a container; returns the change as operations of a JSON Patch (RFC 6902)."""
        base, number = "/containers/cna", self._chance.randint(1000, 9999)
        match self._chance.randrange(4):
            case 0:
                text = f"{container['descriptions'][0]['value'].split(' (')[0]} (analysis {number})"
                container["descriptions"][0]["value"] = text
                return [{"op": "replace", "path": f"{base}/descriptions/0/value", "value": text}]
            case 1:
                reference = {"url": f"https://example.org/advisory/{number}"}
                container["references"].append(reference)
                return [{"op": "add", "path": f"{base}/references/-", "value": dict(reference)}]
            case 2 if len(container["references"]) > 1:
                old = container["references"].pop(0)
                return [
                    {"op": "test", "path": f"{base}/references/0", "value": old},
                    {"op": "remove", "path": f"{base}/references/0"},
                ]
            case _:
                fix = f"{number // 1000}.{number % 1000}"
                container["affected"][0]["versions"][0]["lessThan"] = fix
                container["x_fixed/in"] = fix
                return [
                    {"op": "replace", "path": f"{base}/affected/0/versions/0/lessThan", "value": fix},
                    {"op": "add", "path": f"{base}/x_fixed~1in", "value": fix},
                ]

    def _payload(self, name: str) -> dict[str, Any]:
        choose = self._chance.choice
        vendor, product = choose(_VENDORS), choose(_PRODUCTS)
        words = f"In the {product} of {vendor}, {choose(_FLAWS)} lets others {choose(_CONSEQUENCES)}"
        version = f"{self._chance.randint(1, 9)}.{self._chance.randint(0, 20)}"
        span = {"status": "affected", "version": "0", "lessThan": version}
        affected = {"vendor": vendor, "product": product, "defaultStatus": "unaffected", "versions": [span]}
        score = {"version": "3.1", "baseScore": self._chance.randint(1, 99) / 10}
        container = {
            "affected": [affected],
            "descriptions": [{"lang": "en", "value": words}],
            "metrics": [{"cvssV3_1": score}],
            "references": [{"url": f"https://example.org/{name}/{i}"} for i in range(2)],
        }
        return {
            "dataType": "CVE_RECORD",
            "dataVersion": "5.0",
            "cveMetadata": {"cveId": name, "state": "PUBLISHED", "assignerShortName": vendor},
            "containers": {"cna": container},
        }


_CONSUMER_PATH: Final = f"/api/v1/catalog/contexts/{CONTEXT}/consumers/{CONSUMER}"


@contextmanager
def served(feed: DemoFeed) -> Iterator[str]:
    """Serve the feed while the block runs; yields the value for `cti.url`.

    Raises UsageError if the system allows no further thread.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, feed))
    thread = start_thread(lambda: server.serve_forever(0.05), "feed")
    if thread is None:
        server.server_close()
        raise UsageError(
            "the demo needs a thread for its feed, but the system allows no more", hint="ulimit -u"
        )
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, feed: DemoFeed, *connection: Any) -> None:
        self._feed = feed
        super().__init__(*connection)

    def do_GET(self) -> None:
        body = self._body()
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def _body(self) -> bytes | None:
        """The body of the reply; None: there is nothing at this address."""
        feed, parts = self._feed, urlsplit(self.path)
        file = f"{feed.snapshot_offset}_1746459961.zip"
        snapshot = f"/store/contexts/{CONTEXT}/consumers/{CONSUMER}/{file}"
        if parts.path == snapshot:
            return feed.snapshot
        data: Any
        if parts.path == _CONSUMER_PATH:
            data = {
                "id": 4,
                "name": CONSUMER,
                "context": CONTEXT,
                "last_offset": feed.last_offset,
                "last_snapshot_link": f"http://{self.headers['Host']}{snapshot}",
                "last_snapshot_offset": feed.snapshot_offset,
            }
        elif parts.path == f"{_CONSUMER_PATH}/changes":
            query = parse_qs(parts.query)
            after, to = int(query["from_offset"][0]), int(query["to_offset"][0])
            data = [each for each in feed.changes if after < each["offset"] <= to]
        else:
            return None
        return msgspec.json.encode({"data": data})

    def log_message(self, *_: Any) -> None:
        """Prints nothing: the log of the passes names their requests."""
