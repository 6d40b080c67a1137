"""Several nodes of one cluster: each does its share of what is sent."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from threading import Barrier, Thread
from typing import Any
from urllib.parse import urlsplit

from ctisync.stores.opensearch.transport import HttpTransport
from ctisync.tls import Files


class CountedNode(ThreadingHTTPServer):
    """Says `{}` to whatever it is sent, as soon as so many requests are there."""

    daemon_threads = True

    def __init__(self, at_once: int) -> None:
        super().__init__(("127.0.0.1", 0), CountedRequest)
        self.requests = 0
        self.connections = 0
        self.together = Barrier(at_once)

    def get_request(self) -> tuple[socket, Any]:
        self.connections += 1
        return super().get_request()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class CountedRequest(BaseHTTPRequestHandler):
    server: CountedNode
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.requests += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.together.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def counted_node(at_once: int = 1) -> Iterator[CountedNode]:
    with CountedNode(at_once) as node:
        serving = Thread(target=node.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield node
        finally:
            node.shutdown()
            serving.join()


def test_bulks_from_threads_of_their_own_go_to_every_node_alike() -> None:
    """A thread a bulk, and each began with the same node: one of three did the work of all."""
    with ExitStack() as parts:
        nodes = [parts.enter_context(counted_node()) for _ in range(3)]
        urls = [urlsplit(node.url) for node in nodes]
        transport = parts.enter_context(closing(HttpTransport(urls, Files("store"), timeout=10)))
        for _ in range(12):
            bulk = Thread(target=transport.send, args=("POST", "/x/_bulk", b"{}", 10))
            bulk.start()
            bulk.join()
        assert [node.requests for node in nodes] == [4, 4, 4]


def test_bulks_that_are_sent_at_once_need_no_new_connections_the_next_time() -> None:
    """One connection was kept; each of the others cost its handshake again, with TLS some milliseconds."""
    with counted_node(at_once=4) as node:
        with closing(HttpTransport([urlsplit(node.url)], Files("store"), timeout=60)) as transport:
            for _ in range(3):
                bulks = [
                    Thread(target=transport.send, args=("POST", "/x/_bulk", b"{}", 60)) for _ in range(4)
                ]
                for bulk in bulks:
                    bulk.start()
                for bulk in bulks:
                    bulk.join()
        assert (node.requests, node.connections) == (12, 4)
