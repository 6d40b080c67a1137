"""Several nodes of one cluster: each does its share of what is sent."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

from ctisync.stores.opensearch.transport import Credentials, HttpTransport


class CountedNode(ThreadingHTTPServer):
    """Says `{}` to whatever it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CountedRequest)
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class CountedRequest(BaseHTTPRequestHandler):
    server: CountedNode

    def do_POST(self) -> None:
        self.server.requests += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def counted_node() -> Iterator[CountedNode]:
    with CountedNode() as node:
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
        transport = parts.enter_context(closing(HttpTransport(urls, Credentials(), timeout=10)))
        for _ in range(12):
            bulk = Thread(target=transport.send, args=("POST", "/x/_bulk", b"{}", 10))
            bulk.start()
            bulk.join()
        assert [node.requests for node in nodes] == [4, 4, 4]
