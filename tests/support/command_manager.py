"""A Command Manager on the loopback interface: as strict as the plugin, with a log, and able to fail."""

import base64
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from tests.support.http_server import HttpHandler, HttpServer

PATH = "/_plugins/_command_manager/commands"

Failure = Literal["reset", "stall", "drip", "html", "error-body", "redirect"] | int
"""How a request fails; a number is a status with a JSON body as the plugin sends it."""


@dataclass(frozen=True)
class Command:
    """One accepted command."""

    index: str
    offset: str


class CommandManagerStandIn:
    """`commands` holds what was accepted, `requests` every body and header set that arrived by POST, `looks`
    the path of every GET, `cookies` what each of those brought. They are answered as OpenSearch does, which
    looks who asks for its root alone. `cookie` is set by every answer."""

    def __init__(self, *, username: str | None = None, password: str = "") -> None:
        self.commands: list[Command] = []
        self.requests: list[tuple[dict[str, str], Any]] = []
        self.looks: list[str] = []
        self.cookie: str | None = None
        self.cookies: list[str | None] = []
        self.failures: list[Failure] = []
        self.credentials = None if username is None else (username, password)
        self._server = _Server(_Handler)
        self._server.stand_in = self
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        """The value for `command_manager.url`."""
        return self._server.url

    def fail(self, how: Failure, times: int = 1) -> None:
        self.failures.extend([how] * times)


def refusal(body: Any) -> str | None:
    """Why the plugin would refuse this body; None if it would accept it."""
    commands = body.get("commands") if isinstance(body, dict) else None
    if not isinstance(commands, list) or not commands:
        return "commands is missing"
    for command in commands:
        try:
            args = command["action"]["args"]
            texts = [command["action"]["name"], command["action"]["version"], args["index"], args["offset"]]
            texts += [command["source"], command["target"]["id"], command["target"]["type"]]
            timeout = command["timeout"]
        except (KeyError, TypeError) as error:
            return f"{error} is missing"
        if not all(isinstance(text, str) and text for text in texts):
            return "a value is not a string"
        if not isinstance(timeout, int) or timeout <= 0:
            return "timeout is not a positive number"
    return None


class _Server(HttpServer):
    stand_in: CommandManagerStandIn


class _Handler(HttpHandler):
    server: _Server

    def do_POST(self) -> None:
        stand_in = self.server.stand_in
        body = json.loads(self.read_body())
        stand_in.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
        if stand_in.failures:
            self._fail(stand_in.failures.pop(0))
        elif self.path != PATH:
            self._answer(404, {"error": f"no handler found for uri [{self.path}]"})
        elif not self._may_enter():
            self._answer(401, {"error": "Unauthorized"})
        elif (why := refusal(body)) is not None:
            self._answer(400, {"error": why})
        else:
            for command in body["commands"]:
                args = command["action"]["args"]
                stand_in.commands.append(Command(args["index"], args["offset"]))
            self._answer(200, {"_index": "wazuh-commands", "orders": [{"_id": "1"}], "result": "OK"})

    def do_GET(self) -> None:
        stand_in = self.server.stand_in
        stand_in.looks.append(self.path)
        stand_in.cookies.append(self.headers.get("Cookie"))
        if stand_in.failures:
            self._fail(stand_in.failures.pop(0))
        elif self.path == PATH:
            self._answer(405, {"error": f"Incorrect HTTP method for uri [{PATH}] and method [GET]"})
        elif self.path != "/":
            self._answer(400, {"error": f"no handler found for uri [{self.path}] and method [GET]"})
        elif not self._may_enter():
            self._answer(401, {"error": "Unauthorized"})
        else:
            self._answer(200, {"version": {"distribution": "opensearch", "number": "2.19.1"}})

    def _may_enter(self) -> bool:
        credentials = self.server.stand_in.credentials
        if credentials is None:
            return True
        expected = base64.b64encode(":".join(credentials).encode()).decode()
        return self.headers.get("Authorization") == f"Basic {expected}"

    def _fail(self, how: Failure) -> None:
        match how:
            case "reset":
                self.reset()
            case "stall":
                self.server.stopping.wait()
                self.close_connection = True
            case "drip":
                while not self.server.stopping.wait(0.05):
                    self.wfile.write(b"H")
                self.close_connection = True
            case "html":
                self._send(200, b"<html>Sign in</html>", {"Content-Type": "text/html"})
            case "error-body":
                self._answer(200, {"error": {"type": "illegal_argument_exception"}, "status": 400})
            case "redirect":
                self._send(307, b"", {"Location": self.server.stand_in.url + PATH})
            case int():
                self._answer(how, {"error": "told to fail"})

    def _answer(self, status: int, document: Any) -> None:
        self._send(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        cookie = self.server.stand_in.cookie
        self.send(status, body, headers if cookie is None else {"Set-Cookie": cookie, **headers})
