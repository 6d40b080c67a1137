"""As much of curl as the documents use, for machines that have none: `-X METHOD -H HEADER -d DATA URL`.

Unlike curl it ends with 1 when the server refuses.
"""

import argparse
import sys
from typing import Final

import httpx

_DEADLINE: Final = 60


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", dest="method", default="GET")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("url")
    given = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in given.headers)
    reply = httpx.request(
        given.method, given.url, headers=headers, content=given.data, timeout=_DEADLINE, trust_env=False
    )
    sys.stdout.write(reply.text)
    return int(reply.is_error)


if __name__ == "__main__":
    sys.exit(main())
