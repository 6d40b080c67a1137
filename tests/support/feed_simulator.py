"""A CTI server on the loopback interface whose content and failures tests decide.

    with FeedSimulator() as sim:
        sim.history.create("CVE-2024-1")
        sim.publish_snapshot()
        sim.fail("changes", failures.status(429, {"Retry-After": "1"}), times=2)
        ...
        assert [request.status for request in sim.requests] == [...]

By hand: `python -m tests.support.feed_simulator --port 8123 --records 500 --changes 3000`.
"""

import argparse
import hashlib
import io
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from tests.support import records
from tests.support.feed_exchange import EXCHANGE, PrivateConsumer
from tests.support.feed_failures import Failure, Reply, refused
from tests.support.feed_history import CVE_4, Dialect, History, churn, populate
from tests.support.feed_server import Kind, Request, Server

Json = Any
SnapshotKind = Literal["zip", "ndjson", "array"]

ABSENT = object()
"""A value in `info`: the reply lacks the field."""


@dataclass
class File:
    """A file under /store."""

    body: bytes
    etag: str | None
    content_type: str = "application/zip"


@dataclass
class _Order:
    """A failure for requests to come."""

    when: Kind | Callable[[Request], bool]
    failure: Failure
    times: int | None = field(default=1)

    def takes(self, request: Request) -> bool:
        if self.times == 0:
            return False
        meant = self.when(request) if callable(self.when) else self.when == request.kind
        if meant and self.times is not None:
            self.times -= 1
        return meant


PLANS: Final = "/api/v1/catalog/plans"
OWN_PLAN: Final = "/api/v1/platform/environments/me"


class FeedSimulator(PrivateConsumer):
    """One consumer on one server. Public attributes may be changed between requests.

    `history`: the change log; `info`: overrides fields of the consumer's information (`ABSENT`: without the
    field); `files`: the files by their paths under /store; `requests`: the log of requests.

    `beside`: another one whose server this consumer is on, too.
    """

    def __init__(
        self,
        context: str = "vd_1.0.0",
        consumer: str = "vd_4.8.0",
        *,
        first_offset: int = 1000,
        port: int = 0,
        dialect: Dialect = CVE_4,
        beside: "FeedSimulator | None" = None,
    ) -> None:
        super().__init__()
        self.context = context
        self.consumer = consumer
        self.history = History(context, first_offset, dialect)
        self.info: dict[str, Json] = {}
        self.files: dict[str, File] = {}
        self.requests: list[Request] = []
        self.required_token: str | None = None
        self._beside = beside
        self._guests: list[FeedSimulator] = []
        self._snapshot: dict[str, Json] = {}
        self._unix_time = 1746459961
        self._orders: list[_Order] = []
        self._lock = threading.RLock()
        if beside is not None:
            beside._guests.append(self)
            return
        self._server = Server(self, port).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._beside is not None:
            self._beside._guests.remove(self)
            return
        self._server.stop()

    @property
    def stopping(self) -> threading.Event:
        """Set when the server ends: nothing stalls any more."""
        return (self._beside or self)._server.stopping

    @property
    def origin(self) -> str:
        if self._beside is not None:
            return self._beside.origin
        return self._server.url

    @property
    def url(self) -> str:
        """The value for `cti.url`."""
        return f"{self.origin}/api/v1"

    @property
    def consumer_path(self) -> str:
        return f"/api/v1/catalog/contexts/{self.context}/consumers/{self.consumer}"

    def fail(self, when: Kind | Callable[[Request], bool], failure: Failure, times: int | None = 1) -> None:
        """Apply the failure to the next `times` replies of this kind, or to requests that match a predicate;
        None: to all of them."""
        with self._lock:
            self._orders.append(_Order(when, failure, times))

    def heal(self) -> None:
        """Drop all failures for requests to come."""
        with self._lock:
            self._orders.clear()

    def requests_for(self, kind: Kind) -> list[Request]:
        """The requests of this kind so far."""
        with self._lock:
            return [request for request in self.requests if request.kind == kind]

    def publish_snapshot(
        self,
        kind: SnapshotKind = "zip",
        *,
        offset: int | None = None,
        body: bytes | None = None,
        host: "FeedSimulator | None" = None,
    ) -> str:
        """Offer a snapshot as of an offset (default: the last one); returns its link.

        `body`: other bytes to send for it; `host`: another server in the link.
        """
        at = self.history.last_offset if offset is None else offset
        self._unix_time += 1
        suffix = {"zip": "zip", "ndjson": "ndjson", "array": "json"}[kind]
        path = f"/store/contexts/{self.context}/consumers/{self.consumer}/{at}_{self._unix_time}.{suffix}"
        content = self._snapshot_body(kind, at) if body is None else body
        (host or self).files[path] = File(content, _etag(content))
        link = (host or self).origin + path
        self._snapshot = {
            "last_snapshot_at": "2025-05-05T15:46:01.391685Z",
            "last_snapshot_link": link,
            "last_snapshot_offset": at,
        }
        return link

    def reset(self, first_offset: int = 1000) -> None:
        """The feed starts again: another history, no snapshot."""
        with self._lock:
            self.history = History(self.context, first_offset, self.history.dialect)
            self._snapshot = {}

    def expected_records(self, offset: int | None = None) -> dict[str, bytes]:
        """The lines of all records that a store must hold at an offset (default: the last one), by name."""
        return self.history.expected_records(offset)

    def expected_lines(self, offset: int | None = None) -> list[bytes]:
        """The same in the order of an export: by the UTF-8 bytes of the name."""
        records = self.expected_records(offset)
        return [records[name] for name in sorted(records, key=str.encode)]

    def stored_lines(self, loaded_at: int, offset: int | None = None) -> list[bytes]:
        """The same of a store that has loaded the snapshot of `loaded_at`."""
        records = self.history.stored_records(loaded_at, offset)
        return [records[name] for name in sorted(records, key=str.encode)]

    def whose(self, path: str, form: dict[str, str]) -> "FeedSimulator":
        """The consumer that a request is for."""
        requested = urlsplit(form["resource"]).path if path == EXCHANGE and "resource" in form else path
        return next((each for each in self._guests if each.has(requested)), self)

    def has(self, path: str) -> bool:
        return path in self.files or path in (self.consumer_path, f"{self.consumer_path}/changes")

    def reply_to(self, request: Request) -> Reply:
        """The reply to a request, with the failure that is due; also adds the request to the log."""
        with self._lock:
            reply = self._true_reply(request)
            order = next((order for order in self._orders if order.takes(request)), None)
            if order is not None:
                reply = order.failure(reply)
            request.status = reply.status
            self.requests.append(request)
            return reply

    def kind_of(self, path: str) -> Kind:
        if path == self.consumer_path:
            return "info"
        if path == self.consumer_path + "/changes":
            return "changes"
        if path == EXCHANGE:
            return "exchange"
        return "snapshot" if path.startswith("/store/") else "other"

    def _true_reply(self, request: Request) -> Reply:
        match request.kind:
            case "exchange":
                return self.exchanged(request.method, request.form, request.headers)
            case "info" | "changes" | "snapshot":
                return self.turned_away(request.path, request.query) or self._let_in(request)
            case _:
                return self._let_in(request)

    def _let_in(self, request: Request) -> Reply:
        match request.kind:
            case "info" | "changes" if not self._may_enter(request):
                return refused(401, "unauthorized")
            case "info":
                return _json({"data": self._consumer_information()})
            case "changes":
                return self._changes(request)
            case "other" if request.path in (PLANS, OWN_PLAN):
                return self._console(request)
            case "snapshot" if request.path in self.files:
                return _file(self.files[request.path], request.headers)
            case _:
                return refused(404, "Not Found")

    def _console(self, request: Request) -> Reply:
        """The plans of the console; the environment's own one for its token."""
        free, pro = self._plan("Free", "t1"), {**self._plan("Pro Plan", "t0"), "is_public": False}
        if request.path == PLANS:
            return _json({"plans": [free, pro]})
        if not (self.required_token and self._may_enter(request)):
            return refused(401, "Unauthorized")
        return _json({"name": "environment-01", "organization": {"name": "Acme"}, "plans": [pro]})

    def _plan(self, name: str, tier: str) -> dict[str, Json]:
        base = f"{self.url}/catalog/contexts/{tier}"
        features = [
            {
                "name": f"{tier}-feature-{kind}",
                "type": f"cti:catalog:consumer:{kind}",
                "description": "of a plan",
                "resource": f"{base}-{kind}-5/consumers/public-{kind}-5",
            }
            for kind in ("vulnerabilities", "iocs", "ruleset")
        ]
        help_ = {"name": "Help", "type": "cloud:assistance:wazuh", "email": "help@example.com"}
        return {"name": name, "is_public": True, "features": [*features, help_]}

    def _may_enter(self, request: Request) -> bool:
        token = self.required_token
        return token is None or request.headers.get("authorization") == f"Bearer {token}"

    def _consumer_information(self) -> dict[str, Json]:
        fields = {
            "id": 4,
            "name": self.consumer,
            "context": self.context,
            "operations": None,
            "inserted_at": "2023-11-23T19:34:18.698495Z",
            "updated_at": "2025-03-31T15:17:32.839974Z",
            "last_offset": self.history.last_offset,
            "paths_filter": None,
            "paths_reject": None,
            "changes_url": f"127.0.0.1{self.consumer_path}/changes",
            "last_snapshot_at": None,
            "last_snapshot_link": None,
            "last_snapshot_offset": None,
            **self._snapshot,
            **self.info,
        }
        return {name: value for name, value in fields.items() if value is not ABSENT}

    def _changes(self, request: Request) -> Reply:
        try:
            after, to = request.range
        except (KeyError, ValueError):
            return refused(400, "from_offset and to_offset must be integers")
        if not 0 <= to - after <= 1000:
            return refused(422, "a range holds at most 1000 offsets")
        return _json({"data": self.history.served(after, to)})

    def _snapshot_body(self, kind: SnapshotKind, offset: int) -> bytes:
        lines = _shuffled(self.expected_lines(offset))
        match kind:
            case "zip":
                member = f"{self.context}_{self.consumer}_{offset}_{self._unix_time}.json"
                count = self.history.dialect.members
                parts = [b"".join(line + b"\n" for line in lines[number::count]) for number in range(count)]
                if count == 1:
                    return zipped({member: parts[0]})
                named = {f"part {number}.json": part for number, part in enumerate(parts)}
                return zipped({"README.md": b"Hello", **named, "LICENSE": b"Words"})
            case "ndjson":
                return b"".join(line + b"\n" for line in lines)
            case "array":
                return b"[" + b",\n".join(lines) + b"]"


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP with these members; equal members give equal bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return target.getvalue()


def unused_port() -> int:
    """A loopback port without a listener; it stays bound while this process lives, so that none can come."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    port = int(reserved.getsockname()[1])
    reserved.detach()
    return port


def _shuffled(lines: list[bytes]) -> list[bytes]:
    """In an order that is neither that of names nor of offsets, and the same each time."""
    return sorted(lines, key=lambda line: hashlib.sha256(line).digest())


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def _json(document: Json) -> Reply:
    return Reply(200, records.encode(document), {"Content-Type": "application/json; charset=utf-8"})


def _file(file: File, sent: dict[str, str]) -> Reply:
    """A part of the file only for the same strong ETag, else all of it (RFC 9110, 13.1.5 and 14)."""
    headers = {"Content-Type": file.content_type, "Accept-Ranges": "bytes"}
    if file.etag is not None:
        headers["ETag"] = file.etag
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", sent.get("range", ""))
    same = sent.get("if-range") in (None, file.etag) and not (sent.get("if-range") or "").startswith("W/")
    if match is None or not same:
        return Reply(200, file.body, headers)
    start, total = int(match[1]), len(file.body)
    if start >= total:
        return Reply(416, b"", {**headers, "Content-Range": f"bytes */{total}"})
    end = min(int(match[2] or total), total - 1)
    part = file.body[start : end + 1]
    return Reply(206, part, {**headers, "Content-Range": f"bytes {start}-{end}/{total}"})


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A made-up CTI feed to play with, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--records", type=int, default=500, help="records in the snapshot")
    parser.add_argument("--changes", type=int, default=3000, help="changes after the snapshot")
    options = parser.parse_args(None if arguments is None else list(arguments))
    with FeedSimulator(port=options.port) as sim:
        populate(sim.history, options.records)
        sim.publish_snapshot()
        churn(sim.history, options.changes)
        print(f"The feed is at {sim.url}, its last offset is {sim.history.last_offset}. Type:")
        print(f"  CTISYNC_CTI__URL={sim.url} CTISYNC_STORE__URL=sqlite:///play.db ctisync sync")
        print(f"  curl {sim.origin}{sim.consumer_path}", flush=True)
        try:
            sim.stopping.wait()
        except KeyboardInterrupt:
            print(f"{len(sim.requests)} requests were answered.")


if __name__ == "__main__":
    main()
