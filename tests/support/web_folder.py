"""A web server with the files of a folder: ETag, ranges, and lies about single files."""

import re
import ssl
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.authority import KeyPair
from tests.support.http_server import HttpHandler, HttpServer


class Request(NamedTuple):
    """`name`: the last part of the address. `status`: of the reply; 0 if a lie was sent."""

    name: str
    headers: dict[str, str]
    status: int


Lie = Callable[["_Handler", bytes], None]
"""Sends a reply instead of the file, whose content it gets."""


class WebFolder(HttpServer):
    """`lies`: by the beginning of a file's name; each is asked until it is removed. `requests`: so far."""

    def __init__(self, root: Path, certificate: KeyPair | None = None) -> None:
        """`certificate`: it speaks TLS."""
        super().__init__(_Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.root = root
        self.lies: dict[str, Lie] = {}
        self.requests: list[Request] = []

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.requests]


class _Handler(HttpHandler):
    server: WebFolder

    def do_GET(self) -> None:
        assert "?" not in self.path
        assert "%" not in self.path
        name = self.path.rpartition("/")[2]
        path = self.server.root.joinpath(*self.path.strip("/").split("/"))
        content = path.read_bytes() if path.is_file() else b""
        lie = next((self.server.lies[each] for each in self.server.lies if name.startswith(each)), None)
        status = 0 if lie is not None else 200 if path.is_file() else 404
        etag = f'"{sha256(content).hexdigest()[:16]}"'
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if status == 200 and self.headers.get("If-None-Match") == etag:
            status, content = 304, b""
        elif status == 200 and requested is not None and self.headers.get("If-Range") == etag:
            status = 206
        self.server.requests.append(Request(name, {**self.headers}, status))
        if lie is not None:
            lie(self, content)
        elif status == 206 and requested is not None:
            first, size = int(requested[1]), len(content)
            span = {"Content-Range": f"bytes {first}-{size - 1}/{size}"}
            self.send(206, content[first:], {"ETag": etag, **span})
        else:
            self.send(status, content, {"ETag": etag})

    def cut(self, content: bytes, at: int) -> None:
        """The first `at` bytes, then the end of the connection."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha256(content).hexdigest()[:16]}"')
        self.end_headers()
        self.wfile.write(content[:at])
        self.close_connection = True


def answer(status: int, body: bytes = b"", **headers: Any) -> Lie:
    """The same reply whatever the file is. `headers`: with `_` for `-`."""
    fields = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return lambda handler, _: handler.send(status, body, fields)


def instead(edit: Callable[[bytes], bytes], **headers: str) -> Lie:
    """The file with other bytes."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, content: handler.send(200, edit(content), fields)
