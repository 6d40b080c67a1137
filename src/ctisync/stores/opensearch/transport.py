"""opensearch-py, configured to send only: no retries, no redirects, no logs, no parsing.

Its connection over urllib3 takes no proxy and no password from the environment, and follows no redirect: the
credentials are sent to the given origins only.
"""

from base64 import b64encode
from codecs import getincrementaldecoder
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import opensearchpy
from opensearchpy.serializer import Serializer
from urllib3.exceptions import ProtocolError, SSLError

from ctisync import tls
from ctisync.backends import StoreSettings
from ctisync.core.health import Advice
from ctisync.core.json_text import UNDECODABLE
from ctisync.errors import AccessRefused
from ctisync.stores.opensearch.client import NoReply, OpenSearchReply
from ctisync.stores.opensearch.refusals import Cause, Problem

_CONNECTIONS: Final = 16
"""To each node, which are kept open: bulks are sent in parallel. More are opened if needed."""
_PIECE: Final = 1 << 16
"""Bytes that are checked at once."""

_failure_decoder: Final = msgspec.json.Decoder(dict[str, Any])


class _PlainConnection(opensearchpy.Urllib3HttpConnection):
    """One request, one answer, of whatever status.

    The library makes a string of each answer, in which records need up to four times their bytes, and from
    which a JSON decoder makes bytes again. It would also log whole URLs and bodies, and print warnings that
    servers give about their own configuration.
    """

    def perform_request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
        ignore: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], OpenSearchReply]:
        """Raises the library's errors; those of the network have the first one as their cause."""
        sent = {**self.headers, **(headers or {})}
        try:
            reply = self.pool.urlopen(
                method, url, body, retries=False, redirect=False, timeout=timeout, headers=sent
            )
        except Exception as error:  # of http.client, too: a length can be negative, or beyond all memory
            raise opensearchpy.ConnectionError("N/A", str(error), error) from error
        _check_text(reply.data)
        if not 200 <= reply.status < 300:
            return reply.status, {}, OpenSearchReply(reply.status, problem=_problem(reply.data))
        return reply.status, reply.headers, OpenSearchReply(reply.status, reply.data)


class _InTurn(opensearchpy.ConnectionSelector):
    """Sends each request to the next node, from any thread.

    The library's selector counts per thread, and each bulk of a load has its own thread: all of them would go
    to the same node.
    """

    def __init__(self, opts: Sequence[tuple[opensearchpy.Connection, Any]]) -> None:
        super().__init__(opts)
        self._turn = count()

    def select(self, connections: Sequence[opensearchpy.Connection]) -> Any:
        return connections[next(self._turn) % len(connections)]


class _PassThrough(Serializer):
    """Bodies and replies pass unchanged: the caller encodes and decodes them with their types, so that no
    number changes."""

    mimetype = "application/json"

    def loads(self, s: Any) -> Any:
        return s

    def dumps(self, data: Any) -> Any:
        return data


class HttpTransport:
    """`client.Transport` to `urls`, the nodes of one cluster, in turn. `timeout` is in seconds."""

    def __init__(
        self, urls: Sequence[str], files: tls.Files, settings: StoreSettings, timeout: float
    ) -> None:
        self._files = files
        self._url = urls[0]
        self._plain = [url for url in urls if url.startswith("http:")]
        self.timeout = timeout
        headers = {}
        if settings.username is not None:
            password = "" if settings.password is None else settings.password.reveal()
            pair = f"{settings.username}:{password}".encode()
            headers["authorization"] = f"Basic {b64encode(pair).decode()}"
        self._transport = opensearchpy.Transport(
            [_host(url) for url in urls],
            connection_class=_PlainConnection,
            pool_maxsize=_CONNECTIONS,
            selector_class=_InTurn,
            serializer=_PassThrough(),
            max_retries=0,
            retry_on_timeout=True,  # there are no retries, but only so the library skips a hanging node
            retry_on_status=(),
            headers=headers,
            ssl_context=None if self._plain else tls.context(files),
        )

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        try:
            reply: OpenSearchReply = self._transport.perform_request(
                method, target, body=body, timeout=timeout
            )
        except (opensearchpy.ConnectionError, opensearchpy.SerializationError) as error:
            cause = error.__cause__ if isinstance(error, opensearchpy.ConnectionError) else None
            if (advice := self._tls_advice(cause)) is not None:
                raise AccessRefused(advice.text, hint=advice.hint) from error
            raise NoReply("the answer is not JSON" if cause is None else str(cause) or repr(cause)) from error
        # A server that expects TLS may answer 400 without TLS.
        if reply.status == 400 and reply.problem == Problem() and (advice := self._tls_instead_of_http()):
            raise AccessRefused(advice.text, hint=advice.hint)
        return reply

    def close(self) -> None:
        self._transport.close()

    def _tls_advice(self, error: BaseException | None) -> Advice | None:
        """The library does not report which of several nodes failed, so the first one is named. `error`: None
        for an answer that is not JSON."""
        if self._url.startswith("http:"):
            # Otherwise there was no connection.
            return self._tls_instead_of_http() if error is None or isinstance(error, ProtocolError) else None
        advice = None if error is None else tls.refusal(error, self._url, self._files)
        if advice is None and isinstance(error, SSLError):
            return tls.broken_off(self._url, self._files)
        return advice

    def _tls_instead_of_http(self) -> Advice | None:
        """The advice if a node with an http URL expects TLS. Each is checked once."""
        urls, self._plain[:] = self._plain[:], []
        advice = (tls.speaks_tls(url, self._files) for url in urls)
        return next((each for each in advice if each is not None), None)


def _host(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    return {"host": parts.hostname, "port": parts.port, "use_ssl": parts.scheme == "https"}


def _check_text(answer: bytes) -> None:
    """Raises SerializationError if it is not UTF-8: JSON decoders do not look at the text that they skip."""
    if answer.isascii():
        return
    decoder, view = getincrementaldecoder("utf-8")(), memoryview(answer)
    try:
        for start in range(0, len(answer), _PIECE):
            decoder.decode(view[start : start + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise opensearchpy.SerializationError(str(error)) from error


def _problem(answer: bytes) -> Problem:
    """What the answer says of its failure, of whatever types; nothing if it is not OpenSearch's."""
    try:
        failure = _failure_decoder.decode(answer)
    except UNDECODABLE:
        return Problem()
    match failure:
        # A request that the server executes in parts, such as a delete by query, has failures.
        case {"error": dict(error)} | {"failures": [{"cause": dict(error)}, *_]}:
            cause = error.get("caused_by")
            inner = Cause(_text(cause.get("reason"))) if isinstance(cause, dict) else None
            return Problem(_text(error.get("type")) or "", _text(error.get("reason")), inner)
        case {"error": error} | {"failures": [{"cause": error}, *_]}:
            return Problem(reason=_text(error))
    return Problem()


def _text(part: object) -> str | None:
    return str(part) if part else None
