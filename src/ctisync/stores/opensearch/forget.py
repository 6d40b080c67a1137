"""`forget`: what the store holds of a consumer, and the order in which it is removed.

1. Take the lease, with a state that has no content: the next pass then initialises.
2. Remove all fences, and put ours on one generation. Each request first checks that the lease is ours.
3. Remove the aliases and all generations except the fenced one; then that one, which readers no longer find.
4. Remove the history, then the state, and with it the lease.

Readers find the whole content until the aliases are removed, and none of it after that.
"""

from typing import Final

import msgspec

from ctisync.core.model import Consumer, Footprint
from ctisync.core.state import ConsumerState
from ctisync.errors import StoreUnavailable
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.generations import Generation, Generations, added, asserted, dropped, removed
from ctisync.stores.opensearch.history import HistoryIndex
from ctisync.stores.opensearch.lease import HeldLease
from ctisync.stores.opensearch.state_document import StateDocument, StateEntry
from ctisync.stores.opensearch.writer import shards_decoder

_RACES: Final = 10
"""How often a list that was out of date when it was acted on is made again."""

_SIZES: Final = "level=indices&filter_path=nodes.*.indices.indices.*ctisync-*.store.size_in_bytes"


class _Nodes(msgspec.Struct, frozen=True):
    """Below each node's id: `indices`, `indices` again, the index's name, `store`, `size_in_bytes`."""

    nodes: dict[str, dict[str, dict[str, dict[str, dict[str, dict[str, int]]]]]] = {}


_nodes_decoder: Final = msgspec.json.Decoder(_Nodes)


def footprint(
    client: Client,
    consumer: Consumer,
    document: StateDocument,
    generations: Generations,
    history: HistoryIndex,
) -> Footprint:
    """See `ports.Store.holding`."""
    seen, own = document.read(), generations.own()
    live = seen.entry.generation if seen.entry.generation in own else None
    live = live or next((name for name, each in own.items() if generations.is_read(each)), None)
    return Footprint(
        places=tuple(sorted(own)),
        records=None if live is None else _records(client, live),
        bytes=_bytes(client, own) if own else 0,
        passes=history.count(consumer),
        state=seen.known,
    )


def forget(lease: HeldLease, consumer: Consumer, generations: Generations, history: HistoryIndex) -> None:
    """See `ports.Store.forget`. The caller has seen that the store holds something of the consumer."""
    lease.acquire(_emptied)
    _drop(lease, generations)
    history.forget(consumer)
    lease.vanish()


def _drop(lease: HeldLease, generations: Generations) -> None:
    """Each round lists what is left and removes it: the reply to a retried request does not show its
    effect."""
    fence = generations.new_fence(lease.token, 0)
    for _ in range(_RACES):
        own = generations.own()
        # If another writer has taken over meanwhile, its fences and aliases must stay.
        lease.look()
        if not own:
            return
        kept = next((name for name, each in own.items() if fence in each.aliases), min(own))
        theirs = [
            removed(name, alias)
            for name, each in own.items()
            for alias in generations.fences(each)
            if (name, alias) != (kept, fence)
        ]
        readers = [removed(kept, alias) for alias in sorted(generations.read_as(own[kept]))]
        others = [dropped(name) for name in own if name != kept]
        if theirs or fence not in own[kept].aliases:
            generations.change_aliases([*theirs, added(kept, fence)])
        elif readers or others:
            generations.change_aliases([*asserted(kept, fence), *readers, *others])
        else:  # if this is interrupted, the next holder finds no content, and a generation that is not live
            generations.change_aliases([dropped(kept)])
    raise StoreUnavailable("the aliases of OpenSearch changed too often while being read; try again later")


def _emptied(entry: StateEntry) -> StateEntry:
    return msgspec.structs.replace(entry, state=ConsumerState(), generation=None, swap=None)


def _records(client: Client, generation: str) -> int | None:
    reply = client.call("GET", path(generation, "_count"), allow={404})
    return None if reply.status == 404 else client.read(reply, shards_decoder).count


def _bytes(client: Client, own: dict[str, Generation]) -> int | None:
    """Bytes on all nodes; None if the user may not read that."""
    reply = client.call("GET", path("_nodes", "stats", "indices", "store", query=_SIZES), allow={403})
    if reply.status == 403:
        return None
    nodes = client.read(reply, _nodes_decoder).nodes.values()
    sizes = [each["indices"]["indices"] for each in nodes]
    return sum(of[name]["store"]["size_in_bytes"] for of in sizes for name in own if name in of)
