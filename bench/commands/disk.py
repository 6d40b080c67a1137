"""Bytes on the disk for each byte of the snapshot's ZIP, right after a load and once all is merged."""

from bench.report import Outcome, new_table
from bench.stored import bytes_in_indices, bytes_on_disk
from bench.workshop import Workshop
from tests.support.opensearch_node import OpenSearchNode


def measure(workshop: Workshop) -> Outcome:
    stored: dict[str, int] = {}
    with workshop.feed() as feed:
        packed, unpacked = feed.snapshot.zip_bytes, feed.snapshot.facts.unzipped_bytes
        for store in workshop.options.stores:
            with workshop.client(store, feed) as client:
                client.load()
                stored[store] = bytes_on_disk(workshop, store, client)
                if store != "sqlite":
                    stored[f"{store}, merged"] = _merged(workshop.node_of(store))
    table = new_table(f"disk: {workshop.options.records} records", "", "MB", "of the ZIP's bytes")
    for name, size in {"records": unpacked, "ZIP": packed, **stored}.items():
        table.add_row(name, f"{size / 1e6:.1f}", f"{size / packed:.2f} x")
    figures = {f"{name} / ZIP": size / packed for name, size in stored.items()}
    return Outcome(table, figures, {"bytes": {"records": unpacked, "ZIP": packed, **stored}})


def _merged(node: OpenSearchNode) -> int:
    node.request("POST", "/_forcemerge?max_num_segments=1")
    return bytes_in_indices(node)
