"""As much of curl as the documents use, for machines that have none: `-X METHOD -H HEADER -d DATA URL`.

`-d @FILE` sends a file. Who asks, and whom he trusts (`-u`, `--cacert`), is taken and not used: what the
tests talk to asks for neither. Unlike curl it ends with 1 when the server refuses.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import httpx

_DEADLINE: Final = 60


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", dest="method", default="GET")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("-u", dest="user")
    parser.add_argument("--cacert")
    parser.add_argument("url")
    given = parser.parse_args()
    data = given.data
    if data is not None and data.startswith("@"):
        data = Path(data[1:]).read_text()
    headers = dict(header.split(": ", 1) for header in given.headers)
    reply = httpx.request(
        given.method, given.url, headers=headers, content=data, timeout=_DEADLINE, trust_env=False
    )
    sys.stdout.write(reply.text)
    return int(reply.is_error)


if __name__ == "__main__":
    sys.exit(main())
