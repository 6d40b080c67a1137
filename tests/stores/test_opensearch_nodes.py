"""Several nodes of one cluster: each does its share of what is sent."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from threading import Barrier, Thread

from ctisync.backends import StoreSettings
from ctisync.stores.opensearch.transport import HttpTransport
from ctisync.tls import Files
from tests.support.http_proxy import Answer, HttpProxy, Received, http_proxy


@contextmanager
def counted_node(at_once: int = 1) -> Iterator[HttpProxy]:
    """Says `{}` to whatever it is sent, as soon as so many requests are there."""
    together = Barrier(at_once)

    def answer(_: Received) -> Answer:
        together.wait(60)
        return Answer(200, b"{}")

    with http_proxy(None) as node:
        node.intercept = answer
        yield node


def transport_to(*urls: str) -> HttpTransport:
    return HttpTransport(urls, Files("store"), StoreSettings(), 60)


def test_bulks_from_threads_of_their_own_go_to_every_node_alike() -> None:
    """A thread a bulk, and each began with the same node: one of three did the work of all."""
    with ExitStack() as parts:
        nodes = [parts.enter_context(counted_node()) for _ in range(3)]
        urls = [node.url for node in nodes]
        transport = parts.enter_context(closing(transport_to(*urls)))
        for _ in range(12):
            bulk = Thread(target=transport.send, args=("POST", "/x/_bulk", b"{}", 10))
            bulk.start()
            bulk.join()
        assert [len(node.received) for node in nodes] == [4, 4, 4]


def test_bulks_that_are_sent_at_once_need_no_new_connections_the_next_time() -> None:
    """One connection was kept; each of the others cost its handshake again, with TLS some milliseconds."""
    with counted_node(at_once=4) as node:
        with closing(HttpTransport([node.url], Files("store"), StoreSettings(), 60)) as transport:
            for _ in range(3):
                bulks = [
                    Thread(target=transport.send, args=("POST", "/x/_bulk", b"{}", 60)) for _ in range(4)
                ]
                for bulk in bulks:
                    bulk.start()
                for bulk in bulks:
                    bulk.join()
        assert (len(node.received), node.connections) == (12, 4)
