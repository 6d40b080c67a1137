"""A real OpenSearch to play with: `python -m tests.support.play_node [--version 3.3.2]`, until Ctrl-C."""

import argparse
import signal
import sys
import time

from tests.support.opensearch_download import DISTRIBUTIONS, OpenSearchUnavailableError
from tests.support.opensearch_node import start_node


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make node", description="A real OpenSearch to play with, until Ctrl-C."
    )
    parser.add_argument("--version", choices=DISTRIBUTIONS, default="2.19.1")
    parser.add_argument("--nodes", type=int, default=1, help="nodes in the cluster (default: 1)")
    options = parser.parse_args()
    # TERM and a closed terminal end it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    print(
        f"Starting OpenSearch {options.version}; the first time it is fetched, about a minute.",
        file=sys.stderr,
    )
    try:
        with start_node(options.version, options.nodes) as node:
            print(
                f"Ctrl-C stops it and removes its data. Try: CTISYNC_STORE__URL={node.url} ctisync sync",
                file=sys.stderr,
            )
            print(node.url, flush=True)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return 0
    except OpenSearchUnavailableError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
