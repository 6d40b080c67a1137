"""The OpenSearch checks of `doctor`: server, rights, cluster, disk, blocks, templates, alias and lease.

They change nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ctisync.core.health import CheckResult, failed, guarded, ok, warning
from ctisync.core.model import Consumer
from ctisync.errors import AccessRefused, CtisyncError, ForeignIndex, replace_command
from ctisync.stores.opensearch import blocks
from ctisync.stores.opensearch.client import Client, path
from ctisync.stores.opensearch.generations import MAPPING, Generations
from ctisync.stores.opensearch.hidden import check_nothing_hidden
from ctisync.stores.opensearch.index_templates import mended
from ctisync.stores.opensearch.indices import PINNED
from ctisync.stores.opensearch.lease import is_missing, server_time
from ctisync.stores.opensearch.rights import refused
from ctisync.stores.opensearch.state_document import STATE_INDEX, SeenDocument, StateDocument
from ctisync.stores.opensearch.template_simulation import clashes
from ctisync.stores.opensearch.verify import holder_of

_LONGEST: Final = 20.0
"""Seconds for all requests of `doctor`."""

_LOOKED_AT: Final = (
    "index.translog.durability",
    "index.default_pipeline",
    "index.final_pipeline",
    "index.search.default_pipeline",
)

_KNOWN: Final = (2, 3)
_TAGLINE: Final = "The OpenSearch Project"
"""The only sign of OpenSearch if `compatibility.override_main_response_version` is set, as Wazuh 4.x does."""
_NEARLY_FULL: Final = 90
"""Percent of a disk: OpenSearch's default high watermark, above which it moves shards away."""


class Subject(msgspec.Struct, frozen=True):
    """The parts of the store that belong to one consumer."""

    consumer: Consumer
    document: StateDocument
    generations: Generations


class _Version(msgspec.Struct, frozen=True):
    number: str
    distribution: str = ""


class _Root(msgspec.Struct, frozen=True):
    version: _Version
    tagline: str = ""


class _WhoAmI(msgspec.Struct, frozen=True):
    user_name: str | None = None
    roles: list[str] = []


class _ClusterHealth(msgspec.Struct, frozen=True):
    status: str
    number_of_nodes: int


class _Settings(msgspec.Struct, frozen=True):
    settings: dict[str, Any] = {}


class _Allocation(msgspec.Struct, frozen=True):
    node: str
    percent: str | None = msgspec.field(name="disk.percent", default=None)


_root_decoder: Final = msgspec.json.Decoder(_Root)
_who_decoder: Final = msgspec.json.Decoder(_WhoAmI)
_health_decoder: Final = msgspec.json.Decoder(_ClusterHealth)
_disks_decoder: Final = msgspec.json.Decoder(list[_Allocation])
_settings_decoder: Final = msgspec.json.Decoder(dict[str, dict[str, Any]])
_index_settings_decoder: Final = msgspec.json.Decoder(dict[str, _Settings])


def diagnose(
    client: Client, subjects: Sequence[Subject], replicas: int, lease_ttl: float
) -> Iterator[CheckResult]:
    """The verdicts of `doctor` on OpenSearch, within 20 seconds. `lease_ttl` is in seconds."""
    with client.bounded(_LONGEST):
        found = list(_examine(client, subjects, replicas, lease_ttl))
    yield from found


def refusals(client: Client, subjects: Sequence[Subject]) -> Iterator[CheckResult]:
    """The blocks on the indices that passes write to. A user with read rights sees only those on contents."""
    with client.bounded(_LONGEST):
        found = list(guarded("store-blocks", lambda: _blocks(client, subjects), fault="warning"))
    yield from (each for each in found if each.health == "failed")


def _examine(
    client: Client, subjects: Sequence[Subject], replicas: int, lease_ttl: float
) -> Iterator[CheckResult]:
    """The server first: if it does not answer, or refuses access, the other checks are left out."""
    server = list(guarded("store", lambda: _server(client)))
    yield from server
    if any(each.health == "failed" for each in server):
        return
    yield from guarded("store-user", lambda: _user(client, subjects))
    yield from guarded("store-cluster", lambda: _cluster(client, replicas))
    yield from guarded("store-disk", lambda: _disk(client), fault="warning")
    yield from guarded("store-blocks", lambda: _blocks(client, subjects))
    yield from guarded("store-settings", lambda: _altering(client, subjects), fault="warning")
    yield from guarded("store-hidden", lambda: _hidden(client, subjects))
    for subject in subjects:
        yield from _consumer(client, subject, lease_ttl)


def _consumer(client: Client, subject: Subject, lease_ttl: float) -> Iterator[CheckResult]:
    about = subject.consumer
    yield from guarded("store-alias", lambda: _alias(subject), about=about)
    yield from guarded("store-templates", lambda: _templates(client, subject), about=about, fault="warning")
    yield from guarded("store-lease", lambda: _lease(client, subject, lease_ttl), about=about)


def _server(client: Client) -> Iterator[CheckResult]:
    reply = client.call("GET", "/", allow={403})
    if reply.status == 403:
        yield warning("store", f"{client.url} answers but does not report its version: {reply.problem}")
        return
    root = client.read(reply, _root_decoder)
    version = root.version
    if root.tagline.startswith(_TAGLINE) and not version.distribution:
        told = f"for compatibility it reports version {version.number}"
        yield ok("store", f"{client.url} is OpenSearch; {told}")
        return
    major = version.number.partition(".")[0]
    told = f"{client.url} is {version.distribution or 'a server without a name'} {version.number}"
    known = " and ".join(f"{each}.x" for each in _KNOWN)
    if version.distribution != "opensearch" or not major.isdecimal() or int(major) < min(_KNOWN):
        yield failed("store", f"{told}; ctisync needs OpenSearch {known}", client.curl.looks())
    elif int(major) > max(_KNOWN):
        yield warning("store", f"{told}; ctisync is tested with {known}")
    else:
        yield ok("store", told)


def _rights(client: Client, subjects: Sequence[Subject]) -> Iterator[CheckResult]:
    live, seen = _live(subjects), list[SeenDocument]()
    for subject in subjects:
        with suppress(CtisyncError):  # another check reports it
            seen.append(subject.document.read())
    found = refused(
        client,
        [subject.generations.new_name() for subject in subjects],
        live,
        state=any(each.version is not None for each in seen),
        known=all(each.known for each in seen),
    )
    if found:
        told = f"{client.user} may not send these requests of a pass: {', '.join(found)}"
        yield failed(
            "store-rights", told, "ctisync examples opensearch --output roles (grants all that a pass needs)"
        )
    elif len(live) < len(subjects):
        yield ok(
            "store-rights", "all requests of a pass are permitted, as far as can be checked before a load"
        )
    else:
        yield ok("store-rights", "all requests of a pass are permitted")


def _user(client: Client, subjects: Sequence[Subject]) -> Iterator[CheckResult]:
    reply = client.call("GET", path("_plugins", "_security", "authinfo"), allow={400, 403, 404, 405})
    if reply.status != 200:
        yield ok("store-user", "OpenSearch has no security plugin, so it knows no users")
        return
    user = client.read(reply, _who_decoder)
    roles = ", ".join(sorted(user.roles)) or "none"
    yield ok("store-user", f"{user.user_name}, roles: {roles}")
    yield from guarded("store-rights", lambda: _rights(client, subjects))


def _cluster(client: Client, replicas: int) -> Iterator[CheckResult]:
    reply = client.call("GET", path("_cluster", "health"))
    health = client.read(reply, _health_decoder)
    nodes = f"{health.number_of_nodes} node{'s' if health.number_of_nodes != 1 else ''}"
    told = f"the cluster is {health.status}, {nodes}"
    if health.status == "red":
        yield failed("store-cluster", told, client.curl.looks("/_cat/indices?health=red"))
    elif health.status == "yellow" and replicas >= health.number_of_nodes:
        hint = f"set store.replicas to less than the {nodes}"
        yield warning("store-cluster", f"{told}; store.replicas is {replicas}", hint)
    elif health.status == "yellow" and replicas:
        yield warning("store-cluster", told, client.curl.looks("/_cat/indices?health=yellow"))
    else:
        yield ok("store-cluster", told)


def _disk(client: Client) -> Iterator[CheckResult]:
    target = path("_cat", "allocation", query="format=json&h=node,disk.percent")
    reply = client.call("GET", target)
    disks = client.read(reply, _disks_decoder)
    used = {each.node: int(each.percent) for each in disks if each.percent}
    fullest = max(used, key=used.__getitem__, default=None)
    if fullest is None:
        yield ok("store-disk", "the nodes do not report their disk usage")
        return
    told = f"the fullest node, {fullest}, uses {used[fullest]} % of its disk"
    if used[fullest] >= _NEARLY_FULL:
        hint = f"free disk space; {client.curl.looks('/_cat/allocation?v')}"
        yield warning("store-disk", f"{told}; at 95 % OpenSearch by default accepts no writes", hint)
    else:
        yield ok("store-disk", told)


def _blocks(client: Client, subjects: Sequence[Subject]) -> Iterator[CheckResult]:
    """The blocks of the cluster and of the indices that passes write to. A new index has none."""
    found: dict[str, str] = {}
    reply = client.call("GET", path("_cluster", "settings", query="flat_settings=true"), allow={403})
    if reply.status == 200:
        for values in client.read(reply, _settings_decoder).values():
            found |= {name: name for name, value in values.items() if blocks.is_block(name, value)}
    for index, settings in _writable(client, subjects).items():
        set_here = [name for name, value in settings.items() if blocks.is_block(name, value)]
        found |= {f"{name} of {index}": name for name in set_here}
    if found:
        hint = blocks.lifted(client.curl, found.values())
        yield failed("store-blocks", f"these stop passes: {', '.join(sorted(found))}", hint)
    else:
        yield ok("store-blocks", "no setting blocks writes")


def _altering(client: Client, subjects: Sequence[Subject]) -> Iterator[CheckResult]:
    """The settings that ctisync sets on its own indices, but that an index of other software may lack."""
    found = {
        index: {name: settings[name] for name in _LOOKED_AT if not _is_ours(settings.get(name), name)}
        for index, settings in sorted(_indices(client, subjects).items())
    }
    told = [f"{name} = {value} of {index}" for index in found for name, value in found[index].items()]
    if told:
        yield warning(
            "store-settings",
            f"confirmed writes may be lost or altered: {', '.join(told)}",
            "; ".join(_taken_back(client, index, names) for index, names in found.items() if names),
        )
    else:
        yield ok("store-settings", "confirmed writes are on the disk, and no pipeline alters them")


def _is_ours(value: object, name: str) -> bool:
    return value is None or str(value).lower() == PINNED[name.removeprefix("index.")]


def _taken_back(client: Client, index: str, names: Iterable[str]) -> str:
    return client.curl.mends("PUT", f"/{index}/_settings", dict.fromkeys(names))


def _indices(client: Client, subjects: Sequence[Subject]) -> dict[str, dict[str, Any]]:
    """The settings of the existing indices, by their flat names."""
    names = ",".join([STATE_INDEX, *(subject.consumer.index for subject in subjects)])
    query = "flat_settings=true&ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all"
    reply = client.read(client.call("GET", path(names, "_settings", query=query)), _index_settings_decoder)
    return {index: held.settings for index, held in reply.items()}


def _writable(client: Client, subjects: Sequence[Subject]) -> dict[str, dict[str, Any]]:
    try:
        return _indices(client, subjects)
    except AccessRefused:
        found: dict[str, dict[str, Any]] = {}
        for subject in subjects:
            with suppress(ForeignIndex):
                inventory = subject.generations.inventory()
                found |= {name: each.settings for name, each in inventory.generations.items()}
        return found


def _hidden(client: Client, subjects: Sequence[Subject]) -> Iterator[CheckResult]:
    """Checks the state's index and each live generation."""
    check_nothing_hidden(client, STATE_INDEX, of_records=False)
    for live in _live(subjects):
        check_nothing_hidden(client, live)
    yield ok("store-hidden", "no role hides a part of state or content")


def _live(subjects: Sequence[Subject]) -> list[str]:
    """The live generations."""
    found: list[str] = []
    for subject in subjects:
        with suppress(CtisyncError):  # another check reports it
            live = subject.generations.inventory().live
            found += [] if live is None else [live]
    return found


def _alias(subject: Subject) -> Iterator[CheckResult]:
    inventory = subject.generations.inventory()
    live, alias = inventory.live, subject.consumer.index
    if (occupant := inventory.occupant) is not None:
        told = f"alias {alias} points at the content of {occupant.consumer}: a pass ends with exit code 3"
        yield failed("store-alias", told, replace_command(subject.consumer), about=subject.consumer)
        return
    told = f"{alias} is free" if live is None else f"alias {alias} points at {live}"
    yield ok("store-alias", told, about=subject.consumer)


def _templates(client: Client, subject: Subject) -> Iterator[CheckResult]:
    name = subject.generations.new_name()
    wrong, doubtful = clashes(client, name, MAPPING)
    hint = mended(client, name) if wrong or doubtful else None
    if wrong:
        told = f"an index template gives new indices like {name} {', '.join(wrong)}: a load fails"
        yield failed("store-templates", told, hint, about=subject.consumer)
    elif doubtful:
        told = f"an index template sets {', '.join(doubtful)} for new indices like {name}: a load may fail"
        yield warning("store-templates", told, hint, about=subject.consumer)
    else:
        told = "no index template alters a new index of ctisync"
        yield ok("store-templates", told, about=subject.consumer)


def _lease(client: Client, subject: Subject, ttl: float) -> Iterator[CheckResult]:
    entry = subject.document.read().entry
    holder = holder_of(entry, server_time(client), ttl)
    if holder is not None and entry.lease is not None and is_missing(entry.lease):
        told = f"held by a pass that was probably killed: {holder}"
        hint = f"after {entry.lease.end:%Y-%m-%dT%H:%M:%SZ}: ctisync sync"
        yield warning("store-lease", told, hint, about=subject.consumer)
    else:
        told = "free" if holder is None else f"held by a running pass: {holder}"
        yield ok("store-lease", told, about=subject.consumer)
