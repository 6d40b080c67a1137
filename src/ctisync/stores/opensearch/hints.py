"""The commands in hints: how you query or change OpenSearch with the access of the settings.

Also what removes a block, and what raises the limit on shards per node. A block is a setting of an index or
of the cluster that forbids writes. OpenSearch itself sets two of them when a disk is nearly full, and removes
them when there is free disk space; administrators can set all of them.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ctisync.escaping import quoted
from ctisync.tls import Files

SYNC: Final = "; then: ctisync sync"

_ADMINISTRATOR: Final = "admin"
"""The user that the security plugin creates, on a Wazuh indexer too. The settings' user may lack rights."""

_BLOCK: Final = re.compile(r"\[[A-Z_]+/(\d+)/")
_SETTINGS_OF_BLOCKS: Final = {
    "5": "index.blocks.read_only",
    "6": "cluster.blocks.read_only",
    "7": "index.blocks.read",
    "8": "index.blocks.write",
    "9": "index.blocks.metadata",
    "10": "cluster.blocks.create_index",
    "12": "index.blocks.read_only_allow_delete",
    "13": "cluster.blocks.read_only_allow_delete",
}
"""By the numbers of the blocks in the messages of OpenSearch."""
_SET_FOR_A_FULL_DISK: Final = {"cluster.blocks.create_index", "index.blocks.read_only_allow_delete"}

_SHARD_LIMIT: Final = "cluster.max_shards_per_node"
_LIMIT_REACHED: Final = re.compile(r"currently has \[(\d+)\]/\[(\d+)\] maximum (?:\w+ )?shards open")

_OUR_INDICES: Final = "wazuh-context,ctisync-*,of-ctisync-*"
_IF_ANY: Final = "ignore_unavailable=true&allow_no_indices=true"


class Curl(NamedTuple):
    """`url` is a node's. No command contains a password: curl asks for it."""

    url: str
    username: str | None = None
    files: Files = Files("store")

    def get(self, target: str = "") -> str:
        """A GET, as the settings' user."""
        words = ["curl", *self._ca_options(), *self._user_options(), quoted(self.url + target)]
        return " ".join(words)

    def change(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> str:
        """A request that changes something: as the administrator, if the settings have a user."""
        words = ["curl", *self._ca_options()]
        if self.username is not None or self.files.client_cert is not None:
            words += ["--user", _ADMINISTRATOR]
        words += ["-X", method, quoted(self.url + target)]
        if body is not None:
            json = msgspec.json.encode(body).decode()
            words += ["-H", quoted("Content-Type: application/json"), "-d", quoted(json)]
        return " ".join(words)

    def _ca_options(self) -> Iterator[str]:
        if self.files.ca_file is not None and self.url.startswith("https:"):
            yield from ("--cacert", _file(self.files.ca_file))

    def _user_options(self) -> Iterator[str]:
        _, _, certificate, key = self.files
        if certificate is not None:
            yield from ("--cert", _file(Path(str(certificate).replace("\\", "\\\\").replace(":", "\\:"))))
        if key is not None:
            yield from ("--key", _file(key))
        if self.username is not None:
            yield from ("--user", quoted(self.username))


def _file(path: Path) -> str:
    return quoted(path.absolute())


def block_settings(reason: str | None) -> set[str]:
    """The settings whose blocks are named in the reason for which OpenSearch refused a request."""
    numbers = _BLOCK.findall(reason or "")
    return {_SETTINGS_OF_BLOCKS[each] for each in numbers if each in _SETTINGS_OF_BLOCKS}


def blocks_in(settings: Mapping[str, object]) -> list[str]:
    """The names of the settings, given by their flat names, that block writes or reads."""
    prefixes = ("index.blocks.", "cluster.blocks.")
    return [
        name for name, value in settings.items() if name.startswith(prefixes) and str(value).lower() == "true"
    ]


def is_of_a_full_disk(settings: Collection[str]) -> bool:
    return not _SET_FOR_A_FULL_DISK.isdisjoint(settings)


def remove_blocks(curl: Curl, settings: Collection[str]) -> str:
    """What to type to remove these settings from the cluster and from the indices of ctisync. One request per
    setting: while one is read-only, OpenSearch refuses a request that also changes something else."""
    commands = []
    for name in sorted(set(settings)):
        if name.startswith("cluster."):
            commands += [
                curl.change("PUT", "/_cluster/settings", {scope: {name: None}})
                for scope in ("persistent", "transient")
            ]
        else:
            commands.append(curl.change("PUT", f"/{_OUR_INDICES}/_settings?{_IF_ANY}", {name: None}))
    first = "free disk space, then: " if is_of_a_full_disk(settings) else ""
    return first + "; ".join(commands) + SYNC


def is_shard_limit(reason: str | None) -> bool:
    """Whether OpenSearch refused a request because the cluster has reached its maximum of shards."""
    return _LIMIT_REACHED.search(reason or "") is not None


def raise_shard_limit(curl: Curl, reason: str | None, data_nodes: int) -> str:
    """What to type to allow a hundred more shards on each node. It also removes a transient value, which
    would override the persistent one."""
    numbers = _LIMIT_REACHED.search(reason or "")
    shards = max(map(int, numbers.groups())) if numbers else 1000 * data_nodes
    limit = -(-shards // data_nodes) + 100
    body = {"persistent": {_SHARD_LIMIT: limit}, "transient": {_SHARD_LIMIT: None}}
    command = curl.change("PUT", "/_cluster/settings", body)
    return f"delete indices that you no longer need, or raise {_SHARD_LIMIT}: {command}{SYNC}"
