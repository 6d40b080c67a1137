"""A server without a framework: what it sends is what a script writes, byte by byte."""

import functools
import socket
import ssl
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

_PIECE: Final = 65_536


class RawRequest(NamedTuple):
    """One request as it came; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes


class Line:
    """The way back to the client. Raises OSError when the client has gone, or the server is being closed."""

    def __init__(self, connection: socket.socket, stopping: threading.Event) -> None:
        self._connection = connection
        self._stopping = stopping

    def send(self, *pieces: bytes) -> None:
        self._connection.sendall(b"".join(pieces))

    def send_for_ever(self, piece: bytes, every: float = 0.0) -> None:
        """`every`: seconds before each."""
        while True:
            self.pause(every)
            self.send(piece)

    def pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise OSError("the server is being closed")

    def stay_silent(self) -> None:
        self._stopping.wait()


Script = Callable[[Line, RawRequest], None]
"""One is played on each connection, which then closes."""

FixedScript = Callable[[Line, object], None]
"""A script, or a lie of a feed, that does not depend on the request."""

CHUNKED: Final = "Transfer-Encoding: chunked"
LAST_CHUNK: Final = b"0\r\n\r\n"


class RawServer:
    """Listens on a free port of `host`. Counts each connection and byte, also of what is no request."""

    def __init__(
        self,
        script: Script,
        host: str = "127.0.0.1",
        *,
        tls: ssl.SSLContext | None = None,
        listens: bool = True,
    ) -> None:
        """Without `listens` the script begins before anything is read; it is told of an empty request."""
        self._script = script
        self._listens = listens
        self._tls = tls
        self._stopping = threading.Event()
        self._listener = socket.create_server((host, 0))
        self.requests: list[RawRequest] = []
        self.connections = 0
        self.received = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def place(self) -> str:
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def origin(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://{self.place}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            stream = connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)
            with stream:
                request = self._read_request(stream) if self._listens else RawRequest("", "", {}, b"")
                if request is not None:
                    self.requests.append(request)
                    self._script(Line(stream, self._stopping), request)

    def _read_request(self, stream: socket.socket) -> RawRequest | None:
        """The next request, its body included; None when the client goes before that."""
        raw = b""
        while (end := raw.find(b"\r\n\r\n")) < 0 or len(raw) < end + 4 + _length(raw[:end]):
            piece = stream.recv(_PIECE)
            if not piece:
                return None
            raw += piece
            self.received += piece
        first, *lines = raw[:end].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = (line.split(":", 1) for line in lines)
        return RawRequest(method, target, {name.lower(): value.strip() for name, value in pairs}, raw)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def head(status: int | str, *fields: str) -> bytes:
    """Status line and header fields, each `Name: value`.

    All but an interim answer announce that the connection closes, as a `RawServer` does after each: else the
    client may send its next request on a connection that is just being closed.
    """
    last = () if str(status).startswith("1") else ("Connection: close",)
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *fields, *last, "")).encode("latin-1")


def response(status: int | str, content: bytes, *fields: str) -> bytes:
    """A well-framed one."""
    return head(status, *fields, f"Content-Length: {len(content)}") + content


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def raw(*pieces: bytes) -> FixedScript:
    """These bytes; then the connection closes."""
    return lambda line, _: line.send(*pieces)


def then_for_ever(begun: bytes, piece: bytes, every: float = 0.0) -> FixedScript:
    """A piece again and again, each after so many seconds."""

    def lie(line: Line, _: object) -> None:
        line.send(begun)
        line.send_for_ever(piece, every)

    return lie


def silence(line: Line, _: object) -> None:
    line.stay_silent()


@functools.cache
def bomb(mebibytes: int) -> bytes:
    """Blanks, packed by gzip to a thousandth."""
    packing = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16, strategy=zlib.Z_RLE)
    packed = [packing.compress(b" " * (1 << 20)) for _ in range(mebibytes)]
    return b"".join((*packed, packing.flush()))
