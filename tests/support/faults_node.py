"""What stands between an OpenSearch store and its node: it may kill the process, or lose a reply."""

from ctisync.stores.opensearch.client import NoReply, OpenSearchReply
from ctisync.stores.opensearch.store import OpenSearchStore
from tests.support.faults import Killed


class TransportInFront:
    """Takes the place of a store's transport, and passes on to it whatever a subclass does not change."""

    def __init__(self, store: OpenSearchStore) -> None:
        self._inner = store._client._transport
        self.timeout = self._inner.timeout
        store._client._transport = self

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        return self._inner.send(method, target, body, timeout)

    def close(self) -> None:
        self._inner.close()


class MortalTransport(TransportInFront):
    """Dies right after its `writes`-th request that alters something; from then on nothing is sent."""

    def __init__(self, store: OpenSearchStore, writes: int) -> None:
        super().__init__(store)
        self._left = writes
        self._dead = False

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        if self._dead:
            raise Killed
        reply = super().send(method, target, body, timeout)
        self._left -= alters(method, target)
        if self._left == 0:
            self._dead = True
            raise Killed
        return reply


class ForgetfulTransport(TransportInFront):
    """Loses the reply to everything that alters something, once: each such request is done twice."""

    _done_once = False

    def send(self, method: str, target: str, body: bytes | None, timeout: float) -> OpenSearchReply:
        reply = super().send(method, target, body, timeout)
        self._done_once = alters(method, target) and not self._done_once
        if self._done_once:
            raise NoReply("timed out")
        return reply


def alters(method: str, target: str) -> bool:
    """The last of these is how a writer asks whether something is hidden from it."""
    reads = ("_mget", "_search", "_count", "_refresh", "_bulk?require_alias=true&filter_path=errors")
    return method != "GET" and not any(read in target for read in reads)
