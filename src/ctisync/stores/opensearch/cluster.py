"""Whether all nodes that `store.url` lists are of one cluster.

Requests go to them in turn, so of two clusters one would get the state and the other one the content.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final
from urllib.parse import SplitResult

import msgspec

from ctisync.errors import ConfigurationError
from ctisync.stores.opensearch.client import NoReply, Transport
from ctisync.stores.opensearch.curl import Curl

_LONGEST: Final = 5.0
"""Seconds for a node's answer; one that does not give it is asked again by the next pass."""

_NOT_FORMED: Final = "_na_"
"""What a node says that has not found its cluster yet."""


class _Root(msgspec.Struct, frozen=True):
    cluster_uuid: str = _NOT_FORMED


_root_decoder: Final = msgspec.json.Decoder(_Root)


def check_one_cluster(
    urls: Sequence[SplitResult], connect: Callable[[SplitResult], Transport], curl: Curl
) -> int:
    """How many of the nodes have said of which cluster they are; raises ConfigurationError when that is not
    the same for all of them. A node that cannot be reached, or does not say it, is left out."""
    found: dict[str, str] = {}
    told = 0
    for url in urls:
        with closing(connect(url)) as transport:
            uuid = _cluster_uuid(transport)
        if uuid is not None:
            told += 1
            found.setdefault(uuid, url.geturl())
    if len(found) > 1:
        one, other, *_ = found.values()
        raise ConfigurationError(
            f"store.url lists nodes of different clusters: {one} and {other}; "
            "one of them would get the state, the other one the content",
            hint="list nodes of one cluster in store.url; each tells its own: "
            f"{curl._replace(url=one).looks()}; {curl._replace(url=other).looks()}",
        )
    return told


def _cluster_uuid(transport: Transport) -> str | None:
    try:
        reply = transport.send("GET", "/", None, min(_LONGEST, transport.timeout))
        uuid = _root_decoder.decode(reply.body).cluster_uuid if reply.status == 200 else _NOT_FORMED
    except (NoReply, msgspec.DecodeError):
        return None
    return None if uuid == _NOT_FORMED else uuid
