"""Forgetting a consumer: what there is of it, and in which order it goes.

1. Take the lease, with a state that knows of no content: from now on a pass initialises.
2. Remove all fences, and put ours on one generation; the lease is seen to be ours before each request.
3. Remove the aliases, and all generations but the fenced one; then that one, which no reader finds any more.
4. Remove the history, then the state, and with it the lease.

A content is read whole until the aliases go, and not at all from then on.
"""

from typing import Final

import msgspec

from ctisync.core.model import Consumer, Holding
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
    """`indices`, twice, then the index's name, `store` and `size_in_bytes`, below the id of each node."""

    nodes: dict[str, dict[str, dict[str, dict[str, dict[str, dict[str, int]]]]]] = {}


_nodes_decoder: Final = msgspec.json.Decoder(_Nodes)


def holding(
    client: Client,
    consumer: Consumer,
    document: StateDocument,
    generations: Generations,
    history: HistoryIndex,
) -> Holding:
    seen, own = document.read(), generations.own()
    live = seen.entry.generation if seen.entry.generation in own else None
    live = live or next((name for name, each in own.items() if generations.is_read(each)), None)
    return Holding(
        places=tuple(sorted(own)),
        records=None if live is None else _records(client, live),
        bytes=_bytes(client, own) if own else 0,
        passes=history.count(consumer),
        state=seen.known,
    )


def forget(lease: HeldLease, consumer: Consumer, generations: Generations, history: HistoryIndex) -> None:
    """See `ports.Store.forget`. Something is held, or was a moment ago."""
    lease.acquire(_emptied)
    _drop(lease, generations)
    history.forget(consumer)
    lease.vanish()


def _drop(lease: HeldLease, generations: Generations) -> None:
    """Round after round does what the list says is left: a reply does not tell what was done (twice)."""
    fence = generations.new_fence(lease.token, 0)
    for _ in range(_RACES):
        own = generations.own()
        # Fences and aliases that were put up by somebody who has taken over meanwhile are not to be touched.
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
        else:  # the next holder finds no content, and a generation that no pass makes live
            generations.change_aliases([dropped(kept)])
    raise StoreUnavailable("the aliases of OpenSearch changed too often while being read; try again later")


def _emptied(entry: StateEntry) -> StateEntry:
    return msgspec.structs.replace(entry, state=ConsumerState(), generation=None, swap=None)


def _records(client: Client, generation: str) -> int | None:
    reply = client.call("GET", path(generation, "_count"), allow={404})
    return None if reply.status == 404 else client.read(reply, shards_decoder).count


def _bytes(client: Client, own: dict[str, Generation]) -> int | None:
    """On all nodes; None where the user may not know."""
    reply = client.call("GET", path("_nodes", "stats", "indices", "store", query=_SIZES), allow={403})
    if reply.status == 403:
        return None
    nodes = client.read(reply, _nodes_decoder).nodes.values()
    sizes = [each["indices"]["indices"] for each in nodes]
    return sum(of[name]["store"]["size_in_bytes"] for of in sizes for name in own if name in of)
