"""As much of curl as documents and hints use, for machines that have none: `-X METHOD -H HEADER -d DATA URL`.

`-d @FILE` sends a file. Over TLS the server must show a certificate of `--cacert`, and is shown `--cert` and
`--key`. The password of `--user`, for which curl asks, is that of the environment's CURL_PASSWORD; where that
has CURL_CERTIFICATE and CURL_KEY, this certificate is shown in its place. Unlike curl it ends with 1 when the
server refuses.
"""

import argparse
import os
import re
import ssl
import sys
from pathlib import Path
from typing import Final

import httpx

_DEADLINE: Final = 120


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", dest="method", default="GET")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("-u", "--user")
    parser.add_argument("--cacert")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("url")
    options = parser.parse_args()
    data = options.data
    if data is not None and data.startswith("@"):
        data = Path(data[1:]).read_text()
    headers = dict(header.split(": ", 1) for header in options.headers)
    cert, key, password = options.cert, options.key, os.environ.get("CURL_PASSWORD")
    if options.user is not None and "CURL_CERTIFICATE" in os.environ:
        cert, key = os.environ["CURL_CERTIFICATE"], os.environ["CURL_KEY"]
    context: ssl.SSLContext | bool = False
    if options.url.startswith("https:"):
        context = ssl.create_default_context(cafile=options.cacert)
        if cert is not None:
            context.load_cert_chain(re.sub(r"\\(.)", r"\1", cert), key)
    reply = httpx.request(
        options.method,
        options.url,
        headers=headers,
        content=data,
        auth=None if options.user is None or password is None else (options.user, password),
        verify=context,
        timeout=_DEADLINE,
        trust_env=False,
    )
    sys.stdout.write(reply.text)
    return int(reply.is_error)


if __name__ == "__main__":
    sys.exit(main())
