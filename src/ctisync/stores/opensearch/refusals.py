"""What a refusal of OpenSearch means, and the commands that show or resolve its cause.

A block is a setting of an index or of the cluster that forbids writes. OpenSearch itself sets two of them
when a disk is nearly full, and removes them when there is free disk space; administrators can set all.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ctisync import hints
from ctisync.errors import AccessRefused, ConfigurationError, CtisyncError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.tls import Files


def then_sync() -> str:
    return f"; then: {hints.command('sync')}"


_ADMINISTRATOR: Final = "admin"
"""The user that the security plugin creates, on a Wazuh indexer too. The settings' user may lack rights."""

_BLOCKS: Final = ("cluster_block_exception", "index_create_block_exception")
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

_MISSING_RIGHTS: Final = re.compile(r"no permissions for \[([\w:/*, \[\]]+?)\] and User", re.ASCII)
"""How the security plugin names the actions that no role of the user permits."""
_ON_A_SHARD: Final = re.compile(r"\[\w+\]$")
"""The end of an action on one shard: the action's name, then `[s]` or `[shard]`."""

_REASON_CHARACTERS: Final = 300

_OUR_INDICES: Final = "wazuh-context,ctisync-*,of-ctisync-*"
_IF_ANY: Final = "ignore_unavailable=true&allow_no_indices=true"


class Cause(msgspec.Struct, frozen=True):
    """The cause of a problem; for a refused record it names the field and the error."""

    reason: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """The `error` object of a reply or of one of its items."""

    type: str = ""
    reason: str | None = None
    caused_by: Cause | None = None

    @property
    def is_block(self) -> bool:
        """A block stops writes until a person lifts it or disk space is freed; waiting does not help."""
        return self.type in _BLOCKS and "SERVICE_UNAVAILABLE" not in (self.reason or "")

    @property
    def shard_limit(self) -> int | None:
        """The number of shards of a cluster that accepts no more; None for another problem."""
        match = _LIMIT_REACHED.search(self.reason or "")
        return None if match is None else max(map(int, match.groups()))

    @property
    def is_refusal(self) -> bool:
        """Whether the user's roles do not permit it. One item of a reply may say so while others succeed."""
        return self.type == "security_exception"

    @property
    def missing_rights(self) -> str:
        """The missing privileges, as a role grants them; empty if the problem names none."""
        match = _MISSING_RIGHTS.search(self.reason or "")
        return ", ".join(_ON_A_SHARD.sub("*", action) for action in match[1].split(", ")) if match else ""

    def __str__(self) -> str:
        cause = self.caused_by.reason if self.caused_by else None
        text = ": ".join(part for part in (self.type, self.reason, cause) if part) or "no reason given"
        return text if len(text) <= _REASON_CHARACTERS else text[:_REASON_CHARACTERS] + "…"


class Curl(NamedTuple):
    """Commands to a node at `url`, with the access of the settings. None contains a password: curl asks for
    it."""

    url: str
    username: str | None = None
    files: Files = Files("store")

    def get(self, target: str = "") -> str:
        """A GET, as the settings' user."""
        words = self._words()
        if (certificate := self.files.client_cert) is not None:
            words += ["--cert", _file(Path(str(certificate).replace("\\", "\\\\").replace(":", "\\:")))]
        if (key := self.files.client_key) is not None:
            words += ["--key", _file(key)]
        if self.username is not None:
            words += ["--user", quoted(self.username)]
        return " ".join([*words, quoted(self.url + target)])

    def change(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> str:
        """A request that changes something: as the administrator, if the settings have a user."""
        words = self._words()
        if self.username is not None or self.files.client_cert is not None:
            words += ["--user", _ADMINISTRATOR]
        words += ["-X", method, quoted(self.url + target)]
        if body is not None:
            json = msgspec.json.encode(body).decode()
            words += ["-H", quoted("Content-Type: application/json"), "-d", quoted(json)]
        return " ".join(words)

    @property
    def user(self) -> str:
        """The user of the settings, for a sentence."""
        return f"user {quoted(self.username)}" if self.username else "your user"

    def _words(self) -> list[str]:
        ca_file = self.files.ca_file
        if ca_file is None or not self.url.startswith("https:"):
            return ["curl"]
        return ["curl", "--cacert", _file(ca_file)]


def refusal(status: int, problem: Problem, request: str, curl: Curl) -> CtisyncError:
    """The error of a reply, or of one item of a reply, whose status is no success. `request`: method, path
    and indices, for people."""
    server = f"OpenSearch at {curl.url}"
    if problem.is_block:
        return _blocked(server, problem, curl)
    if problem.shard_limit is not None:
        return StoreUnavailable(
            f"{server} has reached its limit of shards: {problem}",
            hint=raise_shard_limit(curl, problem.shard_limit),
        )
    if status == 401:
        return _not_authenticated(server, curl)
    if status == 403:
        rights = problem.missing_rights or "the privilege named above"
        return AccessRefused(
            f"{server} does not permit {request} (403): {problem}",
            hint="ctisync examples opensearch --output roles "
            f"(grants all privileges that a pass needs; {curl.user} lacks {rights})",
        )
    if status in (404, 405):
        return AccessRefused(
            f"{curl.url} does not answer like OpenSearch ({status}): {problem}",
            hint=f"check store.url: {curl.get()}",
        )
    if 300 <= status < 400:
        return ConfigurationError(
            f"{curl.url} answers with a redirect ({status}); ctisync does not follow it",
            hint="set store.url to the address of OpenSearch itself",
        )
    return StoreUnavailable(
        f"{server} refuses a request ({status}): {problem}",
        hint=f"look at its log, and at: {curl.get('/_cluster/health')}{then_sync()}",
    )


def _blocked(server: str, problem: Problem, curl: Curl) -> StoreUnavailable:
    numbers = _BLOCK.findall(problem.reason or "")
    settings = {_SETTINGS_OF_BLOCKS[each] for each in numbers if each in _SETTINGS_OF_BLOCKS}
    if settings:
        hint = remove_blocks(curl, settings)
    else:
        hint = f"look at: {curl.get('/_all/_settings?filter_path=*.*.*.blocks')}"
    if not settings or settings & _SET_FOR_A_FULL_DISK:
        state = "accepts no writes, its disk is probably full"
    else:
        state = "is blocked by a setting"
    return StoreUnavailable(f"{server} {state}: {problem}", hint=hint)


def _not_authenticated(server: str, curl: Curl) -> AccessRefused:
    certificate = curl.files.client_cert
    if certificate is not None and curl.username is None:
        return AccessRefused(
            f"{server} does not accept client certificate {certificate} (401)",
            hint="enable client certificate authentication in its security plugin, or set store.username "
            "and store.password_file",
        )
    who = f"user {curl.username}" if curl.username else "a request without user and password"
    return AccessRefused(f"{server} refuses {who} (401)", hint="check store.username and store.password_file")


def blocks_in(settings: Mapping[str, object]) -> list[str]:
    """The names of the settings, given by their flat names, that block writes or reads."""
    prefixes = ("index.blocks.", "cluster.blocks.")
    return [
        name for name, value in settings.items() if name.startswith(prefixes) and str(value).lower() == "true"
    ]


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
    first = "" if _SET_FOR_A_FULL_DISK.isdisjoint(settings) else "free disk space, then: "
    return first + "; ".join(commands) + then_sync()


def raise_shard_limit(curl: Curl, shards: int) -> str:
    """What to type to allow a hundred more than `shards` on each node. It also removes a transient value,
    which would override the persistent one."""
    body = {"persistent": {_SHARD_LIMIT: shards + 100}, "transient": {_SHARD_LIMIT: None}}
    command = curl.change("PUT", "/_cluster/settings", body)
    return f"delete indices that you no longer need, or raise {_SHARD_LIMIT}: {command}{then_sync()}"


def _file(path: Path) -> str:
    return quoted(path.absolute())
