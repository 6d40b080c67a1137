"""As much of curl as the documents use, for machines that have none: `-X METHOD -H HEADER -d DATA URL`.

`-d @FILE` sends a file. Whom it trusts (`--cacert`) is used for https. A user (`-u`) has no password here:
where the environment has CURL_CERTIFICATE and CURL_KEY, that certificate is shown in its place. Unlike curl
it ends with 1 when the server refuses.
"""

import argparse
import os
import ssl
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
    tls: ssl.SSLContext | bool = True
    if given.url.startswith("https:"):
        tls = context = ssl.create_default_context(cafile=given.cacert)
        if given.user is not None and "CURL_CERTIFICATE" in os.environ:
            context.load_cert_chain(os.environ["CURL_CERTIFICATE"], os.environ["CURL_KEY"])
    with httpx.Client(verify=tls, timeout=_DEADLINE, trust_env=False) as client:
        reply = client.request(given.method, given.url, headers=headers, content=data)
    sys.stdout.write(reply.text)
    return int(reply.is_error)


if __name__ == "__main__":
    sys.exit(main())
