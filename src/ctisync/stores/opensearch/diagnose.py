"""The OpenSearch checks of `doctor`: server, rights, cluster, disk, blocks, alias and lease.

They change nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ctisync.core.health import CheckResult, failed, guarded, ok, warning
from ctisync.core.words import counted
from ctisync.errors import AccessRefused, CtisyncError, ForeignIndex, replace_command
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.generations import Generations
from ctisync.stores.opensearch.hints import blocks_in, remove_blocks
from ctisync.stores.opensearch.indices import PINNED, STATE_INDEX
from ctisync.stores.opensearch.lease import is_missing, server_time
from ctisync.stores.opensearch.security import check_nothing_hidden, current_user, missing_rights
from ctisync.stores.opensearch.state_document import StoredDocument
from ctisync.stores.opensearch.verify import holder_of

_LONGEST: Final = 20.0
"""Seconds for all requests of `doctor`."""

_CHECKED_SETTINGS: Final = (
    "index.translog.durability",
    "index.default_pipeline",
    "index.final_pipeline",
    "index.search.default_pipeline",
)

_TESTED: Final = (2, 3)
"""The major versions that ctisync is tested with."""
_TAGLINE: Final = "The OpenSearch Project"
"""The only sign of OpenSearch if `compatibility.override_main_response_version` is set, as Wazuh 4.x does."""
_NEARLY_FULL: Final = 90
"""Percent of a disk: OpenSearch's default high watermark, above which it moves shards away."""


class _Version(msgspec.Struct, frozen=True):
    number: str
    distribution: str = ""


class _Root(msgspec.Struct, frozen=True):
    version: _Version
    tagline: str = ""


class _ClusterHealth(msgspec.Struct, frozen=True):
    status: str
    number_of_nodes: int


class _Settings(msgspec.Struct, frozen=True):
    settings: dict[str, Any] = {}


class _Allocation(msgspec.Struct, frozen=True):
    node: str
    percent: str | None = msgspec.field(name="disk.percent", default=None)


_root_decoder: Final = msgspec.json.Decoder(_Root)
_health_decoder: Final = msgspec.json.Decoder(_ClusterHealth)
_disks_decoder: Final = msgspec.json.Decoder(list[_Allocation])
_cluster_settings_decoder: Final = msgspec.json.Decoder(dict[str, dict[str, Any]])
_index_settings_decoder: Final = msgspec.json.Decoder(dict[str, _Settings])


def diagnose(
    client: Client, consumers: Sequence[Generations], replicas: int, lease_ttl: float
) -> Iterator[CheckResult]:
    """The results of `doctor`'s checks of OpenSearch, within 20 seconds. `lease_ttl` is in seconds."""
    with client.bounded(_LONGEST):
        results = list(_checks(client, consumers, replicas, lease_ttl))
    yield from results


def refusals(client: Client, consumers: Sequence[Generations]) -> Iterator[CheckResult]:
    """The blocks on the indices that passes write to. A user with read rights sees only those on contents."""
    with client.bounded(_LONGEST):
        results = list(guarded("store-blocks", lambda: _blocks(client, consumers), fault="warning"))
    yield from (each for each in results if each.health == "failed")


def _checks(
    client: Client, consumers: Sequence[Generations], replicas: int, lease_ttl: float
) -> Iterator[CheckResult]:
    """The server first: if it does not answer, or refuses access, the other checks are left out."""
    server = list(guarded("store", lambda: _server(client)))
    yield from server
    if any(each.health == "failed" for each in server):
        return
    yield from guarded("store-user", lambda: _user(client, consumers))
    yield from guarded("store-cluster", lambda: _cluster(client, replicas))
    yield from guarded("store-disk", lambda: _disk(client), fault="warning")
    yield from guarded("store-blocks", lambda: _blocks(client, consumers))
    yield from guarded("store-settings", lambda: _settings(client, consumers), fault="warning")
    yield from guarded("store-hidden", lambda: _hidden(client, consumers))
    for generations in consumers:
        yield from _consumer(client, generations, lease_ttl)


def _consumer(client: Client, generations: Generations, lease_ttl: float) -> Iterator[CheckResult]:
    about = generations.consumer
    yield from guarded("store-alias", lambda: _alias(generations), about=about)
    yield from guarded("store-lease", lambda: _lease(client, generations, lease_ttl), about=about)


def _server(client: Client) -> Iterator[CheckResult]:
    reply = client.call("GET", "/", allow={403})
    if reply.status == 403:
        yield warning("store", f"{client.url} answers but does not report its version: {reply.problem}")
        return
    root = client.read(reply, _root_decoder)
    version = root.version
    if root.tagline.startswith(_TAGLINE) and not version.distribution:
        text = f"{client.url} is OpenSearch; for compatibility it reports version {version.number}"
        yield ok("store", text)
        return
    major = version.number.partition(".")[0]
    text = f"{client.url} is {version.distribution or 'a server without a name'} {version.number}"
    tested = " and ".join(f"{each}.x" for each in _TESTED)
    if version.distribution != "opensearch" or not major.isdecimal() or int(major) < min(_TESTED):
        yield failed("store", f"{text}; ctisync needs OpenSearch {tested}", client.curl.get())
    elif int(major) > max(_TESTED):
        yield warning("store", f"{text}; ctisync is tested with {tested}")
    else:
        yield ok("store", text)


def _user(client: Client, consumers: Sequence[Generations]) -> Iterator[CheckResult]:
    user = current_user(client)
    if user is None:
        yield ok("store-user", "OpenSearch has no security plugin, so it knows no users")
        return
    yield ok("store-user", f"{user.user_name}, roles: {', '.join(sorted(user.roles)) or 'none'}")
    yield from guarded("store-rights", lambda: _rights(client, consumers))


def _rights(client: Client, consumers: Sequence[Generations]) -> Iterator[CheckResult]:
    live, documents = _live(consumers), list[StoredDocument]()
    for generations in consumers:
        with suppress(CtisyncError):  # another check reports it
            documents.append(generations.document.read())
    requests = missing_rights(
        client,
        [generations.new_name() for generations in consumers],
        live,
        state_exists=any(each.version is not None for each in documents),
        all_stored=all(each.has_entry for each in documents),
    )
    if requests:
        yield failed(
            "store-rights",
            f"{client.user} may not send these requests of a pass: {', '.join(requests)}",
            "ctisync examples opensearch --output roles (grants all that a pass needs)",
        )
    else:
        limits = ", as far as can be checked before a load" if len(live) < len(consumers) else ""
        yield ok("store-rights", f"all requests of a pass are permitted{limits}")


def _cluster(client: Client, replicas: int) -> Iterator[CheckResult]:
    reply = client.call("GET", path("_cluster", "health"))
    health = client.read(reply, _health_decoder)
    nodes = counted(health.number_of_nodes, "node")
    text = f"the cluster is {health.status}, {nodes}"
    if health.status == "red":
        yield failed("store-cluster", text, client.curl.get("/_cat/indices?health=red"))
    elif health.status == "yellow" and replicas >= health.number_of_nodes:
        hint = f"set store.replicas to less than the {nodes}"
        yield warning("store-cluster", f"{text}; store.replicas is {replicas}", hint)
    elif health.status == "yellow" and replicas:
        yield warning("store-cluster", text, client.curl.get("/_cat/indices?health=yellow"))
    else:
        yield ok("store-cluster", text)


def _disk(client: Client) -> Iterator[CheckResult]:
    target = path("_cat", "allocation", query="format=json&h=node,disk.percent")
    disks = client.read(client.call("GET", target), _disks_decoder)
    used = {each.node: int(each.percent) for each in disks if each.percent}
    fullest = max(used, key=used.__getitem__, default=None)
    if fullest is None:
        yield ok("store-disk", "the nodes do not report their disk usage")
        return
    text = f"the fullest node, {fullest}, uses {used[fullest]} % of its disk"
    if used[fullest] >= _NEARLY_FULL:
        hint = f"free disk space; {client.curl.get('/_cat/allocation?v')}"
        yield warning("store-disk", f"{text}; at 95 % OpenSearch by default accepts no writes", hint)
    else:
        yield ok("store-disk", text)


def _blocks(client: Client, consumers: Sequence[Generations]) -> Iterator[CheckResult]:
    """The blocks of the cluster and of the indices that passes write to. A new index has none."""
    blocks: dict[str, str] = {}
    reply = client.call("GET", path("_cluster", "settings", query="flat_settings=true"), allow={403})
    if reply.status == 200:
        for settings in client.read(reply, _cluster_settings_decoder).values():
            blocks |= {name: name for name in blocks_in(settings)}
    for index, settings in _writable(client, consumers).items():
        blocks |= {f"{name} of {index}": name for name in blocks_in(settings)}
    if blocks:
        hint = remove_blocks(client.curl, blocks.values())
        yield failed("store-blocks", f"these stop passes: {', '.join(sorted(blocks))}", hint)
    else:
        yield ok("store-blocks", "no setting blocks writes")


def _settings(client: Client, consumers: Sequence[Generations]) -> Iterator[CheckResult]:
    """The settings that ctisync sets on its own indices, but that an index of other software may lack."""
    texts, commands = list[str](), list[str]()
    for index, settings in sorted(_indices(client, consumers).items()):
        wrong = [name for name in _CHECKED_SETTINGS if not _is_pinned(settings.get(name), name)]
        texts += [f"{name} = {settings[name]} of {index}" for name in wrong]
        if wrong:
            commands.append(client.curl.change("PUT", f"/{index}/_settings", dict.fromkeys(wrong)))
    if texts:
        text = f"confirmed writes may be lost or altered: {', '.join(texts)}"
        yield warning("store-settings", text, "; ".join(commands))
    else:
        yield ok("store-settings", "confirmed writes are on the disk, and no pipeline alters them")


def _is_pinned(value: object, name: str) -> bool:
    return value is None or str(value).lower() == PINNED[name.removeprefix("index.")]


def _indices(client: Client, consumers: Sequence[Generations]) -> dict[str, dict[str, Any]]:
    """The settings of the existing indices, by their flat names."""
    names = ",".join([STATE_INDEX, *(generations.consumer.index for generations in consumers)])
    query = "flat_settings=true&ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all"
    reply = client.read(client.call("GET", path(names, "_settings", query=query)), _index_settings_decoder)
    return {name: index.settings for name, index in reply.items()}


def _writable(client: Client, consumers: Sequence[Generations]) -> dict[str, dict[str, Any]]:
    try:
        return _indices(client, consumers)
    except AccessRefused:
        settings: dict[str, dict[str, Any]] = {}
        for generations in consumers:
            with suppress(ForeignIndex):
                inventory = generations.inventory()
                settings |= {name: each.settings for name, each in inventory.generations.items()}
        return settings


def _hidden(client: Client, consumers: Sequence[Generations]) -> Iterator[CheckResult]:
    """Checks the state's index and each live generation."""
    for index in (STATE_INDEX, *_live(consumers)):
        check_nothing_hidden(client, index)
    yield ok("store-hidden", "no role hides a part of state or content")


def _live(consumers: Sequence[Generations]) -> list[str]:
    """The live generations."""
    names: list[str] = []
    for generations in consumers:
        with suppress(CtisyncError):  # another check reports it
            live = generations.inventory().live
            names += [] if live is None else [live]
    return names


def _alias(generations: Generations) -> Iterator[CheckResult]:
    inventory, consumer = generations.inventory(), generations.consumer
    live, alias, occupant = inventory.live, consumer.index, inventory.occupant
    if occupant is not None:
        text = f"alias {alias} points at the content of {occupant.consumer}: a pass ends with exit code 3"
        yield failed("store-alias", text, replace_command(consumer), about=consumer)
        return
    text = f"{alias} is free" if live is None else f"alias {alias} points at {live}"
    yield ok("store-alias", text, about=consumer)


def _lease(client: Client, generations: Generations, ttl: float) -> Iterator[CheckResult]:
    entry, about = generations.document.read().entry, generations.consumer
    holder = holder_of(entry, server_time(client), ttl)
    if holder is not None and entry.lease is not None and is_missing(entry.lease):
        text = f"held by a pass that was probably killed: {holder}"
        hint = f"after {entry.lease.end:%Y-%m-%dT%H:%M:%SZ}: ctisync sync"
        yield warning("store-lease", text, hint, about=about)
    else:
        text = "free" if holder is None else f"held by a running pass: {holder}"
        yield ok("store-lease", text, about=about)
