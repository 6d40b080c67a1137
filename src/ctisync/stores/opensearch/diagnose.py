"""The OpenSearch checks of `doctor`: server, rights, cluster, disk, blocks, alias and lease.

They change nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec

from ctisync import hints
from ctisync.core.health import CheckResult, failed, guarded, ok, warning
from ctisync.core.words import counted
from ctisync.errors import AccessRefused, CtisyncError, ForeignIndex
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.generations import Generations
from ctisync.stores.opensearch.indices import PINNED, STATE_INDEX, Index, read_indices
from ctisync.stores.opensearch.lease import current_lease, describe, is_missing, server_time
from ctisync.stores.opensearch.refusals import blocks_in, remove_blocks
from ctisync.stores.opensearch.security import check_nothing_hidden, current_user, missing_rights
from ctisync.stores.opensearch.state_document import StoredDocument

_LONGEST: Final = 20.0
"""Seconds for all requests of `doctor`."""

_CHECKED_SETTINGS: Final = (
    "index.translog.durability",
    "index.default_pipeline",
    "index.final_pipeline",
    "index.search.default_pipeline",
)

_OLDEST, _NEWEST = 2, 3
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


class _Allocation(msgspec.Struct, frozen=True):
    node: str
    percent: str | None = msgspec.field(name="disk.percent", default=None)


_root_decoder: Final = msgspec.json.Decoder(_Root)
_health_decoder: Final = msgspec.json.Decoder(_ClusterHealth)
_disks_decoder: Final = msgspec.json.Decoder(list[_Allocation])
_cluster_settings_decoder: Final = msgspec.json.Decoder(dict[str, dict[str, Any]])


def diagnose(client: Client, consumers: Sequence[Generations], replicas: int) -> list[CheckResult]:
    """The results of `doctor`'s checks of OpenSearch, within 20 seconds."""
    with client.bounded(_LONGEST):
        return list(_checks(client, consumers, replicas))


def refusals(client: Client, consumers: Sequence[Generations]) -> list[CheckResult]:
    """The blocks on the indices that passes write to. A user with read rights sees only those on contents."""
    with client.bounded(_LONGEST):
        results = list(guarded("store-blocks", lambda: [_blocks(client, consumers)], fault="warning"))
    return [each for each in results if each.health == "failed"]


def _checks(client: Client, consumers: Sequence[Generations], replicas: int) -> Iterator[CheckResult]:
    """The server first: if it does not answer, or refuses access, the other checks are left out."""
    server = list(guarded("store", lambda: [_server(client)]))
    yield from server
    if any(each.health == "failed" for each in server):
        return
    yield from guarded("store-user", lambda: _user(client, consumers))
    yield from guarded("store-cluster", lambda: [_cluster(client, replicas)])
    yield from guarded("store-disk", lambda: [_disk(client)], fault="warning")
    yield from guarded("store-blocks", lambda: [_blocks(client, consumers)])
    yield from guarded("store-settings", lambda: [_settings(client, consumers)], fault="warning")
    yield from guarded("store-hidden", lambda: [_hidden(client, consumers)])
    for each in consumers:
        yield from guarded("store-alias", partial(_alias, each), about=each.consumer)
        yield from guarded("store-facts", partial(_facts, each), about=each.consumer)
        yield from guarded("store-lease", partial(_lease, client, each), about=each.consumer)


def _server(client: Client) -> CheckResult:
    reply = client.call("GET", "/", allow={403})
    if reply.status == 403:
        return warning("store", f"{client.url} answers but does not report its version: {reply.problem}")
    root = client.read(reply, _root_decoder)
    number, distribution = root.version.number, root.version.distribution
    if root.tagline.startswith(_TAGLINE) and not distribution:
        return ok("store", f"{client.url} is OpenSearch; for compatibility it reports version {number}")
    text = f"{client.url} is {distribution or 'a server without a name'} {number}"
    tested = f"{_OLDEST}.x and {_NEWEST}.x"
    major = number.partition(".")[0]
    if distribution != "opensearch" or not major.isdecimal() or int(major) < _OLDEST:
        return failed("store", f"{text}; ctisync needs OpenSearch {tested}", client.curl.get())
    if int(major) > _NEWEST:
        return warning("store", f"{text}; ctisync is tested with {tested}")
    return ok("store", text)


def _user(client: Client, consumers: Sequence[Generations]) -> Iterator[CheckResult]:
    user = current_user(client)
    if user is None:
        yield ok("store-user", "OpenSearch has no security plugin, so it knows no users")
        return
    yield ok("store-user", f"{user.user_name}, roles: {', '.join(sorted(user.roles)) or 'none'}")
    yield from guarded("store-rights", lambda: [_rights(client, consumers)])


def _rights(client: Client, consumers: Sequence[Generations]) -> CheckResult:
    live, documents = _live(consumers), list[StoredDocument]()
    for generations in consumers:
        with suppress(CtisyncError):  # another check reports it
            documents.append(generations.document.read())
    new_names = [generations.new_name() for generations in consumers]
    state_exists = any(each.version is not None for each in documents)
    all_stored = all(each.has_entry for each in documents)
    facts = any(generations.wants_facts for generations in consumers)
    requests = missing_rights(
        client, new_names, live, state_exists=state_exists, all_stored=all_stored, facts=facts
    )
    if not requests:
        limits = ", as far as can be checked before a load" if len(live) < len(consumers) else ""
        return ok("store-rights", f"all requests of a pass are permitted{limits}")
    return failed(
        "store-rights",
        f"{client.curl.user} may not send these requests of a pass: {', '.join(requests)}",
        "ctisync examples opensearch --output roles (grants all that a pass needs)",
    )


def _cluster(client: Client, replicas: int) -> CheckResult:
    health = client.read(client.call("GET", path("_cluster", "health")), _health_decoder)
    status, nodes = health.status, counted(health.number_of_nodes, "node")
    text = f"the cluster is {status}, {nodes}"
    if status == "yellow" and replicas >= health.number_of_nodes:
        hint = f"set store.replicas to less than the {nodes}"
        return warning("store-cluster", f"{text}; store.replicas is {replicas}", hint)
    if status == "red" or (status == "yellow" and replicas):
        result = failed if status == "red" else warning
        return result("store-cluster", text, client.curl.get(f"/_cat/indices?health={status}"))
    return ok("store-cluster", text)


def _disk(client: Client) -> CheckResult:
    target = path("_cat", "allocation", query="format=json&h=node,disk.percent")
    disks = client.read(client.call("GET", target), _disks_decoder)
    used, node = max(((int(each.percent), each.node) for each in disks if each.percent), default=(0, None))
    if node is None:
        return ok("store-disk", "the nodes do not report their disk usage")
    text = f"the fullest node, {node}, uses {used} % of its disk"
    if used >= _NEARLY_FULL:
        hint = f"free disk space; {client.curl.get('/_cat/allocation?v')}"
        return warning("store-disk", f"{text}; at 95 % OpenSearch by default accepts no writes", hint)
    return ok("store-disk", text)


def _blocks(client: Client, consumers: Sequence[Generations]) -> CheckResult:
    """The blocks of the cluster and of the indices that passes write to. A new index has none."""
    blocks: dict[str, str] = {}
    reply = client.call("GET", path("_cluster", "settings", query="flat_settings=true"), allow={403})
    if reply.status == 200:
        for settings in client.read(reply, _cluster_settings_decoder).values():
            blocks |= {name: name for name in blocks_in(settings)}
    for name, index in _writable(client, consumers).items():
        blocks |= {f"{block} of {name}": block for block in blocks_in(index.settings)}
    if blocks:
        hint = remove_blocks(client.curl, blocks.values())
        return failed("store-blocks", f"these stop passes: {', '.join(sorted(blocks))}", hint)
    return ok("store-blocks", "no setting blocks writes")


def _settings(client: Client, consumers: Sequence[Generations]) -> CheckResult:
    """The settings that ctisync sets on its own indices, but that an index of other software may lack."""
    texts, commands = list[str](), list[str]()
    for name, index in sorted(_indices(client, consumers).items()):
        stored = {each: str(index.settings[each]) for each in _CHECKED_SETTINGS if each in index.settings}
        wrong = [each for each in stored if stored[each].lower() != PINNED[each.removeprefix("index.")]]
        texts += [f"{each} = {stored[each]} of {name}" for each in wrong]
        if wrong:
            commands.append(client.curl.change("PUT", f"/{name}/_settings", dict.fromkeys(wrong)))
    if texts:
        text = f"confirmed writes may be lost or altered: {', '.join(texts)}"
        return warning("store-settings", text, "; ".join(commands))
    return ok("store-settings", "confirmed writes are on the disk, and no pipeline alters them")


def _indices(client: Client, consumers: Sequence[Generations]) -> dict[str, Index]:
    """The existing indices, with their settings."""
    names = [STATE_INDEX, *(generations.consumer.index for generations in consumers)]
    return read_indices(client, ",".join(names), "_settings")


def _writable(client: Client, consumers: Sequence[Generations]) -> dict[str, Index]:
    try:
        return _indices(client, consumers)
    except AccessRefused:
        indices: dict[str, Index] = {}
        for generations in consumers:
            with suppress(ForeignIndex):
                indices |= generations.inventory().generations
        return indices


def _hidden(client: Client, consumers: Sequence[Generations]) -> CheckResult:
    """Checks the state's index and each live generation."""
    for index in (STATE_INDEX, *_live(consumers)):
        check_nothing_hidden(client, index)
    return ok("store-hidden", "no role hides a part of state or content")


def _live(consumers: Sequence[Generations]) -> list[str]:
    """The live generations."""
    names: list[str] = []
    for generations in consumers:
        with suppress(CtisyncError):  # another check reports it
            live = generations.inventory().live
            names += [] if live is None else [live]
    return names


def _alias(generations: Generations) -> Iterator[CheckResult]:
    inventory, about = generations.inventory(), generations.consumer
    live, alias = inventory.live, about.index
    if inventory.occupant is not None:
        text = f"alias {alias} points at the content of {inventory.occupant}: a pass ends with exit code 3"
        yield failed("store-alias", text, hints.replace(about), about=about)
    else:
        text = f"{alias} is free" if live is None else f"alias {alias} points at {live}"
        yield ok("store-alias", text, about=about)


def _facts(generations: Generations) -> Iterator[CheckResult]:
    """Of a facts index that the settings want, or that is still there."""
    about = generations.consumer
    try:
        inventory, offset = generations.inventory(), generations.document.read().entry.state.offset
    except CtisyncError:  # another check reports it
        return
    if generations.wants_facts:
        generations.facts()  # raises an error if another index has the name of the alias
    if generations.facts_behind(inventory, offset):
        what = "is behind the content" if generations.wants_facts else "is no longer wanted"
        text = f"the facts index {generations.facts_alias} {what}"
        yield warning("store-facts", text, hints.command("sync"), about=about)
    elif generations.wants_facts:
        text = f"the facts index {generations.facts_alias} has the facts of the content"
        yield ok("store-facts", text, about=about)


def _lease(client: Client, generations: Generations) -> Iterator[CheckResult]:
    stored, about = generations.document.read().entry.lease, generations.consumer
    lease = current_lease(stored, server_time(client))  # also without one: each pass asks for the time
    if lease is None:
        yield ok("store-lease", "free", about=about)
    elif is_missing(lease):
        text = f"held by a pass that was probably killed: {describe(lease)}"
        hint = f"after {lease.end:%Y-%m-%dT%H:%M:%SZ}: {hints.command('sync')}"
        yield warning("store-lease", text, hint, about=about)
    else:
        yield ok("store-lease", f"held by a running pass: {describe(lease)}", about=about)
