"""Checks that all nodes in `store.url` belong to one cluster.

Requests go to them in turn. With two clusters, one could get the state and the other the content.
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
"""Seconds for a node's answer. The next pass asks a node again that did not answer."""

_NOT_FORMED: Final = "_na_"
"""The cluster_uuid of a node that has not joined its cluster yet."""


class _Root(msgspec.Struct, frozen=True):
    cluster_uuid: str = _NOT_FORMED


_root_decoder: Final = msgspec.json.Decoder(_Root)


def check_one_cluster(
    urls: Sequence[SplitResult], connect: Callable[[SplitResult], Transport], curl: Curl
) -> list[str]:
    """The URLs of the nodes that did not name their cluster, for example because they cannot be reached.
    Raises ConfigurationError if the others name different ones."""
    found: dict[str, str] = {}
    silent: list[str] = []
    for url in urls:
        with closing(connect(url)) as transport:
            uuid = _cluster_uuid(transport)
        if uuid is None:
            silent.append(url.geturl())
        else:
            found.setdefault(uuid, url.geturl())
    if len(found) > 1:
        one, other, *_ = found.values()
        raise ConfigurationError(
            f"store.url lists nodes of different clusters: {one} and {other}; "
            "one could get the state and the other the content",
            hint="list nodes of one cluster in store.url; each node shows its cluster_uuid: "
            f"{curl._replace(url=one).looks()}; {curl._replace(url=other).looks()}",
        )
    return silent


def _cluster_uuid(transport: Transport) -> str | None:
    try:
        reply = transport.send("GET", "/", None, min(_LONGEST, transport.timeout))
        uuid = _root_decoder.decode(reply.body).cluster_uuid if reply.status == 200 else _NOT_FORMED
    except (NoReply, msgspec.DecodeError):
        return None
    return None if uuid == _NOT_FORMED else uuid
