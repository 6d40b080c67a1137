"""A TCP proxy that can be slow, or stop forwarding without closing the connection."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

_PIECE: Final = 16_384


class TcpProxy:
    """Forwards a port of 127.0.0.1 to `target_port`; replies at `rate` bytes a second at most."""

    def __init__(self, target_port: int, *, rate: float | None = None) -> None:
        self._target_port = target_port
        self.rate = rate
        self._flows = threading.Event()
        self._flows.set()
        self._closed = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._flows.set()
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """The number of connections so far."""
        return len(self._sockets) // 2

    def hang(self) -> None:
        """From now on accept connections, and forward nothing."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._closed:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target_port))
                except ConnectionRefusedError:
                    client.close()
                    continue
                self._sockets += [client, server]
                self._start(self._forward, client, server, None)
                self._start(self._forward, server, client, self.rate)

    def _forward(self, source: socket.socket, target: socket.socket, rate: float | None) -> None:
        with suppress(OSError):
            while data := source.recv(_PIECE):
                self._flows.wait()
                target.sendall(data)
                if rate is not None:
                    time.sleep(len(data) / rate)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()


def port_of(url: str) -> int:
    """The port in a URL."""
    port = urlsplit(url).port
    assert port is not None
    return port
