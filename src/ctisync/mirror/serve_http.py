"""The CTI API over HTTP, read-only: the mirrors of some consumers.

A reply is made of one manifest. Threads read the disk.
"""

import asyncio
import signal
import socket
from asyncio import to_thread
from collections.abc import Iterable
from ssl import SSLContext
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from ctisync.core.api import (
    CHANGES,
    PATH,
    SNAPSHOT,
    BadRequest,
    ChangesRequest,
    changes_request,
    check_coverage,
)
from ctisync.errors import in_words
from ctisync.mirror.serve import UNUSABLE, OpenSnapshot, ServedMirror
from ctisync.ports import Log
from ctisync.system.process import StopRequested

_PIECE: Final = 64 << 10
"""Bytes that wait in memory for each slow client."""
_BACKLOG: Final = 1024
_IDLE: Final = 75.0
"""Seconds for a client to send its request, or the next one."""
_UNREAD: Final = 60_000
"""Milliseconds after which the system closes the connection of a client that reads nothing."""
_GRACE: Final = 14.0
"""Seconds for open requests after a signal. aiohttp takes them twice: it waits, then cancels and waits."""
_OPEN: Final = web.RequestKey("open", OpenSnapshot)
_WAIT: Final = "the mirror cannot be used now: the log of its server says why"


class ApiServer:
    """Answers requests for these mirrors; `app` is its application."""

    def __init__(self, mirrors: Iterable[ServedMirror], log: Log) -> None:
        self._mirrors = {(each.consumer.context, each.consumer.name): each for each in mirrors}
        self._log = log
        self.app = web.Application(middlewares=[self._with_errors])
        for path, handler in ((PATH, self._consumer), (CHANGES, self._changes), ("/healthz", self._health)):
            self.app.router.add_get(path, handler, allow_head=False)
        self.app.router.add_get(SNAPSHOT, self._snapshot)

    async def _consumer(self, request: web.Request) -> web.StreamResponse:
        mirror = self._mirror(request)
        await to_thread(mirror.refresh)
        if mirror.loaded is None or mirror.trouble is not None:
            raise BadRequest(503, _WAIT)
        return web.Response(body=mirror.loaded.reply, content_type="application/json")

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        mirror, parsed = self._mirror(request), changes_request(request.query)
        try:
            pieces = await to_thread(_changes, mirror, parsed)
        except UNUSABLE:  # a file is gone: there may be a newer manifest
            mirror.blame()
            await to_thread(mirror.refresh, waits=True)
            pieces = await to_thread(_changes, mirror, parsed)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = sum(map(len, pieces))
        await response.prepare(request)
        for piece in pieces:
            for at in range(0, len(piece), _PIECE):  # many slow clients share the memory of a segment
                await response.write(piece[at : at + _PIECE])
        return response

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        loaded = self._mirror(request).loaded
        snapshots = {} if loaded is None else loaded.snapshots
        if (snapshot := snapshots.get(request.match_info["digest"])) is None:
            raise BadRequest(404, "there is no such snapshot any more")
        request[_OPEN] = snapshot  # open until the reply is sent
        return web.FileResponse(snapshot.path, headers={"Content-Type": "application/zip"})

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        """For monitors: 503 if clients of any consumer are to wait."""
        for each in self._mirrors.values():
            await to_thread(each.refresh)
        well = {str(each.consumer): each.trouble is None for each in self._mirrors.values()}
        return _json(200 if all(well.values()) else 503, well)

    def _mirror(self, request: web.Request) -> ServedMirror:
        parts = request.match_info
        if (mirror := self._mirrors.get((parts["context"], parts["consumer"]))) is None:
            raise BadRequest(404, "this consumer is not served here")
        return mirror

    @web.middleware
    async def _with_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except BadRequest as error:
            return _json(error.status, {"error": str(error)})
        except UNUSABLE:
            return _json(500, {"error": _WAIT})
        except Exception as error:
            if not isinstance(error, (web.HTTPException, ConnectionError)):
                self._log.event("error", "serve-failed", path=request.path, why=in_words(error))
            raise


def _json(status: int, document: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(document), content_type="application/json")


def _changes(mirror: ServedMirror, parsed: ChangesRequest) -> list[memoryview]:
    """The parts of the reply. Raises BadRequest, `UNUSABLE`."""
    if (loaded := mirror.loaded) is None:
        raise BadRequest(500, _WAIT)
    check_coverage(loaded.manifest, parsed.offsets, mirror.announced.last_offset)
    parts = []
    for segment in loaded.manifest.segments_of(parsed.offsets):
        texts = mirror.texts(segment, parsed.with_empties)
        begin, end = texts.span(parsed.offsets)
        if begin < end:
            parts += [memoryview(b","), memoryview(texts.text)[begin:end]]
    return [memoryview(b'{"data":['), *parts[1:], memoryview(b"]}")]


def listen(host: str, port: int) -> socket.socket:
    """Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; each connection inherits it
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD)
    return listening


def serve_until_signal(server: ApiServer, listening: socket.socket, tls: SSLContext | None) -> None:
    """Raises StopRequested after SIGTERM or SIGINT, when open requests have ended."""
    loop = asyncio.new_event_loop()
    end: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not end.done():
            end.set_result(number)

    wakeup = signal.set_wakeup_fd(-1)  # of the watch that ends the process some seconds after a signal
    for each in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(each) is not signal.SIG_IGN:
            loop.add_signal_handler(each, stop, each)
    try:
        number = loop.run_until_complete(run(server, listening, tls, end))
    finally:
        loop.close()  # without waiting for threads: a disk may not answer
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    raise StopRequested(number, loop.time())


async def run(
    server: ApiServer, listening: socket.socket, tls: SSLContext | None, end: "asyncio.Future[int]"
) -> int:
    """Answer requests until `end` is there, and return it."""
    runner = web.AppRunner(server.app, access_log=None, keepalive_timeout=_IDLE, shutdown_timeout=_GRACE)
    await runner.setup()
    try:
        await web.SockSite(runner, listening, ssl_context=tls, backlog=_BACKLOG).start()
        return await end
    finally:
        await runner.cleanup()
