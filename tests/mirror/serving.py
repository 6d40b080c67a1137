"""A mirror that is served in this process, and clients of it, as those of Wazuh are."""

import asyncio
import io
import json
import zipfile
from threading import Thread
from types import TracebackType
from typing import Any, ClassVar, Final, Self

import httpx

from ctisync.core.trust import Trust
from ctisync.feed.mirror_files import LocalFiles
from ctisync.mirror.serve import ServedMirror
from ctisync.mirror.serve_http import ApiServer, listen, run
from tests.mirror.parts import ANYBODY, CONSUMER, Mirror
from tests.support.log import KeptLog

PATH: Final = "/api/v1/catalog/contexts/vd_1.0.0/consumers/vd_4.8.0"


class Served:
    """A server of `mirror`'s folder, whose clock stands still; `get` is a request to it."""

    def __init__(self, mirror: Mirror, trust: Trust = ANYBODY) -> None:
        self.log = KeptLog()
        self.memory = mirror.home / "announced.json"
        self.listening = listen("127.0.0.1", 0)
        self.address = self.listening.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.mirror = ServedMirror(
            LocalFiles(mirror.root), CONSUMER, self.url, self.memory, trust, mirror.clock, self.log
        )
        self._clock = mirror.clock
        self._loop = asyncio.new_event_loop()
        self._end: asyncio.Future[int] = self._loop.create_future()
        server = ApiServer([self.mirror], self.log)
        running = run(server, self.listening, None, self._end)
        self._thread = Thread(target=lambda: self._loop.run_until_complete(running))
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=10)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.begin_stop()
        self.join()

    def begin_stop(self) -> None:
        def end() -> None:
            if not self._end.done():
                self._end.set_result(15)

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(end)

    def wait(self) -> None:
        """Until the server has ended."""
        self._thread.join()

    def join(self) -> None:
        self.wait()
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._settled())
            self._loop.close()
        self.listening.close()

    async def _settled(self) -> None:
        """Connections that clients have closed meanwhile are closed here, too."""
        for _ in range(20):
            await asyncio.sleep(0)
        await self._loop.shutdown_default_executor()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def consumer(self) -> httpx.Response:
        """As it is now, and not what was read of the folder a moment ago."""
        self._clock.advance(seconds=2)
        return self.get(PATH)

    def data(self) -> dict[str, Any]:
        reply = self.consumer()
        assert reply.status_code == 200, reply.text
        data: dict[str, Any] = reply.json()["data"]
        return data

    def changes(self, after: int, to: int, **query: str) -> httpx.Response:
        return self.get(f"{PATH}/changes", params={"from_offset": after, "to_offset": to, **query})


class WazuhClient:
    """What both clients do. `content`: of each resource the offset of its last change. `offset`: what the
    client stores. `loads`: how often it loaded the snapshot."""

    step: ClassVar[int]

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.content: dict[str, int] = {}
        self.offset = 0
        self.loads = 0

    def run(self) -> bool:
        """One pass; whether it was not told to wait."""
        raise NotImplementedError

    def load_snapshot(self, data: dict[str, Any]) -> None:
        reply = self.client.get(data["last_snapshot_link"])
        assert reply.status_code == 200, reply.text
        with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
            (member,) = archive.namelist()
            lines = [json.loads(line) for line in archive.read(member).splitlines()]
        self.content = {line["name"]: line["offset"] for line in lines}
        self.offset = max(self.content.values())
        self.loads += 1

    def ask(self, after: int, last_offset: int) -> httpx.Response:
        to = min(after + self.step, last_offset)
        return self.client.get(f"{PATH}/changes", params={"from_offset": after, "to_offset": to})

    def apply(self, changes: list[dict[str, Any]]) -> None:
        for change in changes:
            name = change["resource"]
            if change["type"].lower() == "delete":
                self.content.pop(name, None)
            elif change["type"].lower() != "create" or change.get("payload") is not None:
                self.content[name] = change["offset"]


class Wazuh414(WazuhClient):
    """Steps of 1,000. It stores the last change of the last reply, 0 if that is empty. 410: the snapshot."""

    step = 1000

    def run(self) -> bool:
        reply = self.client.get(PATH)
        if reply.status_code == 503:
            return False
        data = reply.json()["data"]
        if self.offset == 0:
            self.load_snapshot(data)
        at = self.offset
        while at < data["last_offset"]:
            reply = self.ask(at, data["last_offset"])
            if reply.status_code == 410:
                self.load_snapshot(data)
                at = self.offset
                continue
            reply.raise_for_status()
            changes = reply.json()["data"]
            self.apply(changes)
            self.offset = changes[-1]["offset"] if changes else 0
            at += self.step
        return True


class Wazuh5(WazuhClient):
    """Steps of 999. It begins anew if the last offset is below its own, or if changes are not 200. A field of
    a change that it does not know is an error, and a missing one of the consumer a crash."""

    step = 999
    fields: ClassVar = {
        *("offset", "version", "type", "operations", "resource", "context", "payload"),
        "inserted_at",  # the feed of the tests sends it
    }

    def run(self) -> bool:
        reply = self.client.get(PATH)
        if reply.status_code == 503:
            return False
        data = reply.json()["data"]
        assert data["is_public"] is True
        assert all(data[key] for key in ("name", "context", "last_snapshot_at"))
        if data["last_offset"] < self.offset:
            self.content, self.offset = {}, 0
        while self.offset < data["last_offset"]:
            if self.offset == 0:
                self.load_snapshot(data)
                continue
            reply = self.ask(self.offset, data["last_offset"])
            if reply.status_code != 200:
                self.offset = 0
                continue
            changes = reply.json()["data"]
            assert all(change.keys() <= self.fields for change in changes)
            self.apply(changes)
            self.offset = min(self.offset + self.step, data["last_offset"])
        return True
