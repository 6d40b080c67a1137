"""A snapshot loaded as opensearch-py's documentation shows it: `bulk_helpers.py HELPER URL INDEX ZIP`.

HELPER is `streaming` or `parallel`, both with the library's defaults. Run as a process of its own, with
nothing of the project in it; the index is there already.
"""

import json
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.helpers import parallel_bulk, streaming_bulk


def actions(archive: str, index: str) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(archive) as snapshot, snapshot.open(snapshot.namelist()[0]) as lines:
        for line in lines:
            record = json.loads(line)
            yield {"_index": index, "_id": record["name"], "_source": record}


def main(helper: str, url: str, index: str, archive: str) -> int:
    client = OpenSearch(url, timeout=60)
    bulk = parallel_bulk if helper == "parallel" else streaming_bulk
    for done, item in bulk(client, actions(archive, index)):
        if not done:
            sys.stderr.write(f"{item}\n")
            return 1
    client.indices.refresh(index=index)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
