"""Tells the Command Manager of a Wazuh indexer that the content has changed.

    POST {url}/_plugins/_command_manager/commands

The body and the replies are those of the plugin: `offset` must be a JSON string (a number gets 400),
and only a 2xx with an answer in the plugin's own words is an acceptance.
"""

import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ctisync import __version__
from ctisync.errors import CommandNotAccepted, ConfigurationError
from ctisync.ports import Clock

if TYPE_CHECKING:
    import httpx

_PATH: Final = "/_plugins/_command_manager/commands"
_MOST_REPLY: Final = 65_536
_PAUSE: Final = 0.5
_TRIES: Final = 2


class CommandManagerClient:
    """The `CommandManager` of real runs. `urls` are tried in turn until one can be connected to.

    Credentials, CA and certificate are sent to these URLs alone: redirects are not followed, and no
    proxy of the environment is used. Raises ConfigurationError for a CA or certificate that is no good.
    """

    def __init__(
        self,
        urls: Sequence[str],
        clock: Clock,
        *,
        version: str,
        target_id: str,
        timeout: float,
        username: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
    ) -> None:
        self._urls = tuple(url.rstrip("/") + _PATH for url in urls)
        self._clock = clock
        self._version = version
        self._target_id = target_id
        self._timeout = timeout
        self._auth = (username, password or "") if username is not None else None
        self._tls = _tls_context(ca_file, client_cert, client_key) if "https:" in "".join(urls) else True

    def send_update(self, index: str, offset: int) -> None:
        """See the port. `timeout` bounds the whole of it, whatever the server does."""
        outcome: list[Exception] = []

        def attempt() -> None:
            try:
                self._send(self._body(index, offset), self._clock.monotonic() + self._timeout)
            except Exception as error:  # noqa: BLE001  # handed on to the caller's thread
                outcome.append(error)

        # A thread, since no HTTP client bounds a reply that comes byte by byte.
        sender = threading.Thread(target=attempt, daemon=True, name="command-manager")
        sender.start()
        sender.join(self._timeout)
        if sender.is_alive():
            raise CommandNotAccepted(
                f"{self._urls[0]}: no whole answer within {self._timeout:g} s", hint=_STILL_OWED
            )
        if outcome:
            raise outcome[0]

    def _body(self, index: str, offset: int) -> bytes:
        command = {
            "action": {
                "name": "update",
                "args": {"index": index, "offset": str(offset)},
                "version": self._version,
            },
            "source": "Content Manager",
            "timeout": 100,
            "target": {"id": self._target_id, "type": "server"},
        }
        return msgspec.json.encode({"commands": [command]})

    def _send(self, body: bytes, deadline: float) -> None:
        """POST to the first URL that can be connected to: only what was certainly not sent is tried again."""
        import httpx

        tries = self._urls if len(self._urls) >= _TRIES else self._urls * _TRIES
        with httpx.Client(
            auth=self._auth, verify=self._tls, trust_env=False, follow_redirects=False
        ) as client:
            for number, url in enumerate(tries, start=1):
                try:
                    _post(client, url, body, max(0.1, deadline - self._clock.monotonic()))
                    return
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    if number == len(tries):
                        raise CommandNotAccepted(
                            f"{url}: cannot connect: {_words(error)}", hint=_STILL_OWED
                        ) from error
                    self._clock.sleep(_PAUSE)
                except httpx.HTTPError as error:
                    raise CommandNotAccepted(f"{url}: {_words(error)}", hint=_STILL_OWED) from error


_STILL_OWED: Final = "ctisync sync (the content is kept, and the command is sent again)"


def _tls_context(ca_file: Path | None, client_cert: Path | None, client_key: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if client_cert is not None:
            context.load_cert_chain(client_cert, client_key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"the CA file or client certificate for the Command Manager cannot be used: {error}",
            hint="look at ca_file, client_cert and client_key of command_manager (or store)",
        ) from error
    return context


def _post(client: "httpx.Client", url: str, body: bytes, timeout: float) -> None:
    headers = {
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": f"ctisync/{__version__}",
    }
    with client.stream("POST", url, content=body, headers=headers, timeout=timeout) as reply:
        found = bytearray()
        # As it comes: httpx would unpack a few kB into any amount of memory, in one piece.
        for part in reply.iter_raw():
            found += part
            if len(found) > _MOST_REPLY:
                break
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise CommandNotAccepted(
            f"{url} answered {reply.status_code}, encoded, although that was not asked for", hint=_STILL_OWED
        )
    text = bytes(found)
    if not reply.is_success or not _accepts(text):
        raise CommandNotAccepted(
            f"{url} answered {reply.status_code}, {_excerpt(text)}",
            hint=_what_to_do(reply.status_code, text),
        )


def _accepts(text: bytes) -> bool:
    """Whether this is the plugin's acceptance; a page of a proxy, say, is none."""
    try:
        reply: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
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
        return "look at username and password_file of command_manager (or store)"
    if status == 404 or b"no handler found" in text:  # OpenSearch without the plugin answers 400
        return "look at command_manager.url; without the plugin: command_manager.enabled = false"
    return _STILL_OWED


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
