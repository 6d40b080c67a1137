"""A real OpenSearch to try things with, until Ctrl-C: `python -m tests.support.play_node [--version 3.3.2]`,
or `--secured` for one with TLS, users and roles."""

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.opensearch_download import DISTRIBUTIONS, OpenSearchUnavailableError
from tests.support.opensearch_node import OpenSearchNode, start_node
from tests.support.secured_node import VERSION, start_secured_node


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make node", description="A real OpenSearch to play with, until Ctrl-C."
    )
    parser.add_argument("--version", choices=DISTRIBUTIONS, default=VERSION)
    parser.add_argument("--nodes", type=int, default=1, help="nodes in the cluster (default: 1)")
    parser.add_argument(
        "--secured",
        action="store_true",
        help=f"with the security plugin: one node of {VERSION}, with the users of the example roles",
    )
    options = parser.parse_args()
    if options.secured and (options.version, options.nodes) != (VERSION, 1):
        parser.error(f"--secured is one node of version {VERSION}")
    # TERM and a closed terminal end it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    print(
        f"Starting OpenSearch {options.version}; the first time it is fetched, about a minute.",
        file=sys.stderr,
    )
    try:
        with _secured() if options.secured else _open(options.version, options.nodes) as node:
            print(node.url, flush=True)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return 0
    except OpenSearchUnavailableError as error:
        print(error, file=sys.stderr)
        return 1


@contextmanager
def _open(version: str, nodes: int) -> Iterator[OpenSearchNode]:
    with start_node(version, nodes) as node:
        _tell(f"Try: {_shell({'CTISYNC_STORE__URL': node.url})} ctisync sync")
        yield node


@contextmanager
def _secured() -> Iterator[OpenSearchNode]:
    with start_secured_node() as node:
        for name in ("ctisync", "ctisync_reader"):
            node.put_role(name)
        shown = ("--cacert", node.authority.file, "--cert", node.admin.certificate, "--key", node.admin.key)
        _tell(
            f"For the passes: export {_shell(node.user('ctisync', 'ctisync'))}",
            f"To read:        export {_shell(node.user('ctisync_reader', 'ctisync_reader'))}",
            f"Administrator:  curl {shlex.join(map(str, shown))} {node.url}",
        )
        yield node


def _tell(*lines: str) -> None:
    print("Ctrl-C stops it and removes its data.", *lines, sep="\n", file=sys.stderr)


def _shell(environ: Mapping[str, str]) -> str:
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in environ.items())


if __name__ == "__main__":
    sys.exit(main())
