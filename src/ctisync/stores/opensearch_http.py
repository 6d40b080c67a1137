"""opensearch-py, set up so that it only sends: no retries, no redirects, no logs, no parsing.

Its connection over urllib3 takes no proxy and no password from the environment, and follows no redirect:
the credentials go to the given origins alone. This module costs 0.2 s to import: import it where used.
"""

import base64
import ssl
from collections.abc import Sequence
from itertools import count
from typing import Any
from urllib.parse import SplitResult

import msgspec
import opensearchpy
from opensearchpy.serializer import Serializer

from ctisync.errors import AccessRefused, ConfigurationError, CtisyncError
from ctisync.stores.opensearch_client import NoReply, Problem, Reply

_HTTP_ERRORS_WITHOUT_STATUS = (opensearchpy.ConnectionError, opensearchpy.SerializationError)


class Access(msgspec.Struct, frozen=True):
    """How to get in; None means: not needed, or the system's own certificate authorities."""

    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    def __repr__(self) -> str:
        return f"Access(username={self.username!r})"


class _SilentConnection(opensearchpy.Urllib3HttpConnection):
    """The library logs whole URLs and bodies, and prints warnings; what is worth telling is in the errors."""

    def log_request_success(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def log_request_fail(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def _raise_warnings(self, *_args: Any, **_kwargs: Any) -> None:
        """Servers warn of what their administrators do; a good pass of ours writes nothing to stderr."""


class _InTurn(opensearchpy.ConnectionSelector):
    """Each request goes to the next node, whichever thread sends it.

    The library's own selector counts in each thread from the start, and every bulk of a load is sent by a
    thread of its own: all of them would go to the same node.
    """

    def __init__(self, opts: Sequence[tuple[opensearchpy.Connection, Any]]) -> None:
        super().__init__(opts)
        self._turn = count()

    def select(self, connections: Sequence[opensearchpy.Connection]) -> Any:
        return connections[next(self._turn) % len(connections)]


class _AsItIs(Serializer):
    """Bodies are encoded and decoded by who knows their types, so that no number is touched."""

    mimetype = "application/json"

    def loads(self, s: str) -> Any:
        return s

    def dumps(self, data: Any) -> Any:
        return data


class HttpTransport:
    """Sends to one of `urls` (nodes of one cluster), another one after a lost connection."""

    def __init__(self, urls: Sequence[SplitResult], access: Access, timeout: float) -> None:
        context = _tls(access) if any(url.scheme == "https" for url in urls) else None
        headers = {}
        if access.username is not None:
            pair = f"{access.username}:{access.password or ''}".encode()
            headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._transport = opensearchpy.Transport(
            [_host(url) for url in urls],
            connection_class=_SilentConnection,
            selector_class=_InTurn,
            serializer=_AsItIs(),
            max_retries=0,
            retry_on_timeout=True,  # never done, but only so is a node that hangs left alone for a while
            retry_on_status=(),
            headers=headers,
            ssl_context=context,
        )
        self.timeout = timeout

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> Reply:
        try:
            text = self._transport.perform_request(method, target, body=body, timeout=timeout)
        except opensearchpy.SSLError as error:
            raise _tls_refusal(error) from error
        except _HTTP_ERRORS_WITHOUT_STATUS as error:
            raise _no_reply(error) from error
        except opensearchpy.TransportError as error:
            return Reply(status=int(error.status_code), body="", problem=_problem(error))
        # The library tells a status only of a failure.
        return Reply(status=200, body=text or "")

    def close(self) -> None:
        self._transport.close()


def _host(url: SplitResult) -> dict[str, object]:
    secure = url.scheme == "https"
    return {
        "host": url.hostname,
        "port": url.port or (443 if secure else 80),
        "use_ssl": secure,
        "url_prefix": url.path.strip("/"),
    }


def _tls(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"store.ca_file {access.ca_file} cannot be used: {error}",
            hint="name a file with the certificate authority's certificate in PEM",
        ) from error
    if access.client_cert is not None:
        try:
            context.load_cert_chain(access.client_cert, access.client_key, password=_no_passphrase)
        except OSError as error:
            raise ConfigurationError(
                f"store.client_cert {access.client_cert} cannot be used: {error}",
                hint="name PEM files in store.client_cert and store.client_key that belong together",
            ) from error
    return context


def _no_passphrase() -> str:
    # Without this, OpenSSL would ask at the terminal, and a cron job would wait for ever.
    return ""


def _tls_refusal(error: opensearchpy.SSLError) -> AccessRefused:
    reason = str(error.error)
    if any(sign in reason for sign in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")):
        return AccessRefused(
            f"no TLS connection to OpenSearch: {reason}",
            hint="check store.url: an OpenSearch without TLS answers at http://",
        )
    if "certificate" in reason.lower() and "alert" not in reason:
        return AccessRefused(
            f"the certificate of OpenSearch is refused: {reason}",
            hint="check store.ca_file, and that store.url names the host as its certificate does",
        )
    # The other side has ended the handshake, or the connection right after it, with or without an alert.
    return AccessRefused(
        f"OpenSearch refuses our TLS connection: {reason}",
        hint="check store.client_cert and store.client_key",
    )


def _no_reply(error: opensearchpy.ConnectionError | opensearchpy.SerializationError) -> Exception:
    if isinstance(error, opensearchpy.SerializationError):
        return NoReply("what answers there does not speak JSON")
    # The library wraps whatever is raised while it waits, even the error that a signal's handler raised.
    if isinstance(error.info, CtisyncError):
        return error.info
    return NoReply(str(error.error))


def _first_failure(info: dict[str, Any]) -> object:
    """Of a request that the server does in many parts, such as a delete by query."""
    failures = info.get("failures")
    first = failures[0] if isinstance(failures, list) and failures else None
    return first.get("cause") if isinstance(first, dict) else None


def _problem(error: opensearchpy.TransportError) -> Problem:
    info = error.info if isinstance(error.info, dict) else {}
    described = info.get("error") or _first_failure(info)
    if isinstance(described, dict):
        return Problem(type=str(described.get("type") or ""), reason=str(described.get("reason") or ""))
    return Problem(reason=str(described) if described else None)
