"""opensearch-py, configured to send only: no retries, no redirects, no logs, no parsing.

Its connection over urllib3 takes no proxy and no password from the environment, and follows no redirect: the
credentials are sent to the given origins only. The import takes 0.2 s: import this module where it is used.
"""

import base64
from codecs import getincrementaldecoder
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any, Final
from urllib.parse import SplitResult

import opensearchpy
from opensearchpy.serializer import Serializer
from urllib3.exceptions import ProtocolError, ReadTimeoutError, SSLError

from ctisync import tls
from ctisync.core.health import Advice
from ctisync.errors import AccessRefused, CtisyncError
from ctisync.stores.opensearch.client import NoReply, OpenSearchReply, Problem
from ctisync.tls import Files

_HTTP_ERRORS_WITHOUT_STATUS: Final = (opensearchpy.ConnectionError, opensearchpy.SerializationError)
_CONNECTIONS: Final = 16
"""To each node, which are kept open: bulks are sent in parallel. More are opened if needed."""
_PIECE: Final = 1 << 16
"""Bytes that are checked at once."""


class _PlainConnection(opensearchpy.Urllib3HttpConnection):
    """One request, one answer, as bytes.

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
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Raises the library's errors; those of the network bear the one of urllib3 as `info`."""
        try:
            reply = self.pool.urlopen(
                method,
                self.url_prefix + url,
                body,
                retries=False,
                redirect=False,
                timeout=timeout,
                headers={**self.headers, **(headers or {})},
            )
            answer: bytes = reply.data
        except SSLError as error:
            raise opensearchpy.SSLError("N/A", str(error), error) from error
        except ReadTimeoutError as error:
            raise opensearchpy.ConnectionTimeout("TIMEOUT", str(error), error) from error
        except Exception as error:
            raise opensearchpy.ConnectionError("N/A", str(error), error) from error
        _check_text(answer)
        if not 200 <= reply.status < 300:
            self._raise_error(reply.status, answer.decode(), reply.headers.get("content-type"))
        return reply.status, reply.headers, answer


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
    """Bodies pass unchanged: the caller encodes and decodes them with their types, so that no number
    changes."""

    mimetype = "application/json"

    def loads(self, s: Any) -> Any:
        return s

    def dumps(self, data: Any) -> Any:
        return data


class HttpTransport:
    """`client.Transport` to `urls`, the nodes of one cluster, in turn. `timeout` is in seconds."""

    def __init__(
        self,
        urls: Sequence[SplitResult],
        files: Files,
        timeout: float,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self._files = files
        self._urls = [url.geturl() for url in urls]
        self._plain = [url for url in self._urls if url.startswith("http:")]
        context = tls.context(files) if any(url.scheme == "https" for url in urls) else None
        headers = {}
        if username is not None:
            pair = f"{username}:{password or ''}".encode()
            headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
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
            ssl_context=context,
        )
        self.timeout = timeout

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        try:
            answer = self._transport.perform_request(method, target, body=body, timeout=timeout)
        except _HTTP_ERRORS_WITHOUT_STATUS as error:
            raise self._no_reply(error) from error
        except opensearchpy.TransportError as error:
            # A server that expects TLS may answer 400 without TLS.
            advice = None
            if error.status_code == 400 and not isinstance(error.info, dict):
                advice = self._tls_instead_of_http()
            if advice is not None:
                raise AccessRefused(advice.text, hint=advice.hint) from error
            return OpenSearchReply(status=int(error.status_code), problem=_problem(error))
        # The library reports the status only of a failure.
        return OpenSearchReply(status=200, body=answer or b"")

    def close(self) -> None:
        self._transport.close()

    def _no_reply(self, error: opensearchpy.ConnectionError | opensearchpy.SerializationError) -> Exception:
        # The library wraps every exception while it waits, even the one that a signal's handler raised.
        if isinstance(error, opensearchpy.ConnectionError) and isinstance(error.info, CtisyncError):
            return error.info
        if (advice := self._tls_advice(error)) is not None:
            return AccessRefused(advice.text, hint=advice.hint)
        if isinstance(error, opensearchpy.SerializationError):
            return NoReply("the answer is not JSON")
        return NoReply(str(error.error))

    def _tls_advice(self, error: Exception) -> Advice | None:
        """The library does not report which of several nodes failed, so the first one is named."""
        secured = [url for url in self._urls if url.startswith("https:")]
        if secured and (advice := tls.refusal(error, secured[0], self._files)) is not None:
            return advice
        if secured and isinstance(error, opensearchpy.SSLError):
            return tls.broken_off(secured[0], self._files)
        if isinstance(error, opensearchpy.ConnectionError) and not isinstance(error.info, ProtocolError):
            return None  # there was no connection
        return self._tls_instead_of_http()

    def _tls_instead_of_http(self) -> Advice | None:
        """The advice if a node with an http URL expects TLS. Each is checked once."""
        urls, self._plain = self._plain, []
        advice = (tls.speaks_tls(url, self._files) for url in urls)
        return next((each for each in advice if each is not None), None)


def _host(url: SplitResult) -> dict[str, object]:
    secure = url.scheme == "https"
    return {
        "host": url.hostname,
        "port": url.port or (443 if secure else 80),
        "use_ssl": secure,
        "url_prefix": url.path.strip("/"),
    }


def _first_failure(info: dict[str, Any]) -> object:
    """The first failure of a request that the server executes in parts, such as a delete by query."""
    failures = info.get("failures")
    first = failures[0] if isinstance(failures, list) and failures else None
    return first.get("cause") if isinstance(first, dict) else None


def _problem(error: opensearchpy.TransportError) -> Problem:
    info = error.info if isinstance(error.info, dict) else {}
    described = info.get("error") or _first_failure(info)
    if isinstance(described, dict):
        return Problem(type=str(described.get("type") or ""), reason=str(described.get("reason") or ""))
    return Problem(reason=str(described) if described else None)
