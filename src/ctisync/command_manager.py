"""Sends update commands to the Command Manager of a Wazuh indexer.

    POST {url}/_plugins/_command_manager/commands

Requests and replies have the format of the plugin: `offset` is a JSON string (the plugin refuses a number
with 400), and a command is accepted only by a 2xx with a reply in that format.
"""

import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from ctisync import __version__, hints, tls
from ctisync.core.health import CheckResult, failed, ok, warning
from ctisync.core.json_text import decode
from ctisync.errors import CommandNotAccepted
from ctisync.ports import Clock
from ctisync.system.threads import run_within

if TYPE_CHECKING:
    import httpx

_T = TypeVar("_T")


_PATH: Final = "/_plugins/_command_manager/commands"
_MOST_REPLY: Final = 65_536
_WHAT: Final = "command-manager"
_PAUSE: Final = 0.5
_TRIES: Final = 2
_LEAST: Final = 0.1
"""Seconds. A time-out must be more than 0."""
_NO_FILES: Final = tls.Files("command_manager")


@dataclass
class CommandManagerClient:
    """The `CommandManager` over HTTP. It tries `urls` in turn until it can connect to one.

    `version`, `target_id`: as in the command. `timeout`: seconds for a whole `send_update` or `diagnose`.
    `login` (user and password) and `files` are used only for these URLs: it follows no redirects and uses no
    proxy of the environment. Raises ConfigurationError for an invalid CA or certificate.
    """

    urls: Sequence[str]
    clock: Clock
    version: str
    target_id: str
    timeout: float
    login: tuple[str, str] | None = field(default=None, repr=False)
    files: tls.Files = _NO_FILES

    def __post_init__(self) -> None:
        self._servers = [url.rstrip("/") for url in self.urls]
        if self.files != _NO_FILES:  # now: a file that cannot be used is reported
            _ = self._tls

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Reading the authorities of the system takes 0.02 s, and most passes send no command."""
        is_secured = "https:" in "".join(self._servers)
        return tls.context(self.files) if is_secured else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def send_update(self, index: str, offset: int) -> None:
        """See `ports.CommandManager`. Raises CommandNotAccepted."""
        command = {
            "action": {
                "name": "update",
                "args": {"index": index, "offset": str(offset)},
                "version": self.version,
            },
            "source": "Content Manager",
            "timeout": 100,
            "target": {"id": self.target_id, "type": "server"},
        }
        body = msgspec.json.encode({"commands": [command]})
        self._within_timeout(lambda client, server: _post(client, server + _PATH, body))

    def diagnose(self) -> Iterator[CheckResult]:
        """Whether a Command Manager would accept commands, judged by its replies to two GET requests; sends
        no command, and raises nothing."""
        try:
            yield self._within_timeout(_probe)
        except CommandNotAccepted as error:
            hint = _NOBODY_THERE if error.hint == _still_owed() else error.hint
            yield failed(_WHAT, error.message, hint)

    def certificates(self) -> Iterator[tuple[str, datetime]]:
        """See `ports.DiagnosedStore.certificates`."""
        return tls.expiry_dates(self._servers, self.files)

    def _within_timeout(self, ask: "Callable[[httpx.Client, str], _T]") -> _T:
        """The answer of the first server that ctisync can connect to."""
        try:
            return run_within(self.timeout, lambda: self._first(ask), "command-manager")
        except TimeoutError:
            raise self._late(self._servers[0]) from None

    def _late(self, server: str) -> CommandNotAccepted:
        message = f"{server}{_PATH}: no complete answer within {self.timeout:g} s"
        return CommandNotAccepted(message, hint=_still_owed())

    def _first(self, ask: "Callable[[httpx.Client, str], _T]") -> _T:
        """Tries again only if certainly nothing was sent."""
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx

        until = self.clock.monotonic() + self.timeout

        def left() -> float:
            return max(_LEAST, until - self.clock.monotonic())

        tries = self._servers if len(self._servers) >= _TRIES else self._servers * _TRIES
        with httpx.Client(
            auth=self.login,
            verify=self._tls,
            headers={"Accept-Encoding": "identity", "User-Agent": f"ctisync/{__version__}"},
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        ) as client:
            for number, server in enumerate(tries, start=1):
                client.timeout = httpx.Timeout(left())
                try:
                    return ask(client, server)
                except httpx.HTTPError as error:
                    is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                    if isinstance(error, httpx.TimeoutException) and not is_unsent:
                        raise self._late(server) from None
                    advice = tls.refusal(error, server, self.files)
                    if advice is None and isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
                        advice = tls.speaks_tls(server, self.files, within=left() / 4)
                    if advice is not None:
                        raise CommandNotAccepted(advice.text, hint=advice.hint) from error
                    if not is_unsent or number == len(tries):
                        what = "cannot connect: " if is_unsent else ""
                        message = f"{server}{_PATH}: {what}{str(error) or type(error).__name__}"
                        raise CommandNotAccepted(message, hint=_still_owed()) from error
                    self.clock.sleep(_PAUSE)
        raise AssertionError("the last try returns or raises")


_NOBODY_THERE: Final = "check command_manager.url, and that it runs"


def _still_owed() -> str:
    return f"{hints.command('sync')} (keeps the content, and sends the command again)"


def _post(client: "httpx.Client", url: str, body: bytes) -> None:
    status, text = _exchanged(client, "POST", url, body)
    if not 200 <= status < 300 or not _accepts(text):
        raise CommandNotAccepted(f"{url} answered {status}, {_excerpt(text)}", hint=_what_to_do(status, text))


def _exchanged(client: "httpx.Client", method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and beginning of the body of a reply."""
    headers = None if body is None else {"Content-Type": "application/json"}
    with client.stream(method, url, content=body, headers=headers) as reply:
        body_start = bytearray()
        # Raw: httpx would decompress a few kB into any amount of memory at once.
        for part in reply.iter_raw():
            body_start += part
            if len(body_start) > _MOST_REPLY:
                break
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise CommandNotAccepted(
            f"{url} answered {reply.status_code} with an unexpected encoding", hint=_still_owed()
        )
    return reply.status_code, bytes(body_start)


def _probe(client: "httpx.Client", server: str) -> CheckResult:
    """GET of a path that accepts only POST: OpenSearch answers 405 if the plugin is installed, else that it
    has no handler, and both before it checks the user. The request for the root checks the user."""
    url = server + _PATH
    root, _ = _exchanged(client, "GET", server + "/")
    status, text = _exchanged(client, "GET", url)
    hint = _what_to_do(status, text)
    if 401 in (root, status):
        return failed(_WHAT, f"{url} refuses the user (401)", _what_to_do(401, text))
    if status == 405:
        return ok(
            _WHAT, f"{url} accepts commands; only sending one shows whether it accepts those of this user"
        )
    if status == 403:
        return warning(_WHAT, f"{url} answers 403 to a check; it may refuse commands too", hint)
    if b"no handler found" in text or status == 404:
        return failed(_WHAT, f"{url}: there is no Command Manager", hint)
    if 200 <= status < 500:
        message = f"{url} answers {status} to a check, unlike a Command Manager, {_excerpt(text)}"
        return warning(_WHAT, message, "check command_manager.url")
    return failed(_WHAT, f"{url} answers {status}, {_excerpt(text)}", "check its log")


def _accepts(text: bytes) -> bool:
    """Whether the reply is that of the plugin and accepts the command, unlike a page of a proxy."""
    try:
        reply: Any = decode(text)
    except ValueError:
        return False
    if not isinstance(reply, dict) or reply.get("error"):
        return False
    if "result" in reply:
        return bool(reply["result"] == "OK")
    return isinstance(reply.get("orders"), list)


def _excerpt(text: bytes) -> str:
    words = " ".join(text.decode("utf-8", "replace").split())[:200]
    return f"with: {words}" if words else "with an empty body"


def _what_to_do(status: int, text: bytes) -> str:
    if status in (401, 403):
        return "check username and password_file of command_manager (or store)"
    if status == 404 or b"no handler found" in text:  # OpenSearch without the plugin answers 400
        return "check command_manager.url; without the plugin: command_manager.enabled = false"
    return _still_owed()
