"""Bytes on the disk for each byte of the snapshot's ZIP, right after a load and once all is merged."""

from bench.client import Client
from bench.report import Outcome, new_table
from bench.workshop import Workshop
from tests.support.opensearch_node import OpenSearchNode


def measure(workshop: Workshop) -> Outcome:
    found: dict[str, int] = {}
    with workshop.feed() as feed:
        packed, unpacked = feed.snapshot.zip_bytes, feed.snapshot.facts.unzipped_bytes
        for store in workshop.options.stores:
            with workshop.client(store, feed) as client:
                client.load()
                found |= _in_opensearch(workshop.node) if store == "opensearch" else _in_sqlite(client)
    table = new_table(f"disk: {workshop.options.records} records", "", "MB", "of the ZIP's bytes")
    for name, size in {"records": unpacked, "ZIP": packed, **found}.items():
        table.add_row(name, f"{size / 1e6:.1f}", f"{size / packed:.2f} x")
    figures = {f"{name} / ZIP": size / packed for name, size in found.items()}
    return Outcome(table, figures, {"bytes": {"records": unpacked, "ZIP": packed, **found}})


def _in_sqlite(client: Client) -> dict[str, int]:
    """The file and what may lie beside it."""
    parts = client.database.parent.glob(f"{client.database.name}*")
    return {"sqlite": sum(part.stat().st_size for part in parts)}


def _in_opensearch(node: OpenSearchNode) -> dict[str, int]:
    node.request("POST", "/_flush")
    loaded = _stored(node)
    node.request("POST", "/_forcemerge?max_num_segments=1")
    node.request("POST", "/_flush")
    return {"opensearch": loaded, "opensearch, merged": _stored(node)}


def _stored(node: OpenSearchNode) -> int:
    total = node.request("GET", "/_stats/store")["_all"]["total"]
    return int(total["store"]["size_in_bytes"])
