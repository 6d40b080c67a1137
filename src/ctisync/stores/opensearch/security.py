"""What the security plugin forbids to our user, and what it hides.

*Hidden* documents, fields or values are left out of each reply without notice. A record that is read so and
written back loses them. A writer detects such a rule by an update that has no effect. If a rule applies to
the index, the plugin refuses every update before OpenSearch evaluates it; if none does, `require_alias` makes
it fail for an index. A reader may not send updates, so it looks for traces of such rules in replies.

*Missing rights* are detected without a write: `doctor` sends each request of a pass with something impossible
in it, such as a setting that does not exist or a missing index, so that it has no effect. The plugin checks a
request before OpenSearch evaluates it: it answers 403 to a user who may not send it.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from ctisync.core.json_text import UNDECODABLE, decode
from ctisync.core.wire import name_of
from ctisync.errors import AccessRefused, CtisyncError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.stores.opensearch.client import Client, OpenSearchReply, describe_request, path
from ctisync.stores.opensearch.indices import STATE_INDEX, Index, read_indices
from ctisync.stores.opensearch.refusals import Problem
from ctisync.stores.opensearch.search import Hits

_FIELDS: Final = {"name", "offset", "version", "inserted_at", "payload"}
"""The fields of a record. Each is in the mapping of its index."""

_NO_EFFECT: Final = b'{"update":{"_id":"ctisync"}}\n{"doc":{}}\n'
_RULE_APPLIES: Final = "is not supported when"
"""In the plugin's refusal of an update if any rule applies, and of a profile if a rule hides documents."""

_MASKED: Final = re.compile("[0-9a-f]{64}")
"""A masked value: the plugin's hash. No record of a feed has such a name."""

_SAMPLE: Final = 5
"""Records that a reader checks for traces of rules."""

_NO_SETTING: Final = {"settings": {"index.ctisync_looks_at_its_rights": True}}
_NO_TYPE: Final = {"properties": {"ctisync_looks_at_its_rights": {"type": "none"}}}
_NO_VERSION: Final = "if_seq_no=9007199254740991&if_primary_term=9007199254740991"
_NO_ID: Final = "ctisync-looks-at-its-rights"
_NO_ITEMS: Final = (
    b'{"index":{"_id":"%b","if_seq_no":9007199254740991,"if_primary_term":9007199254740991}}\n{}\n'
    b'{"delete":{"_id":"%b","if_seq_no":9007199254740991,"if_primary_term":9007199254740991}}\n'
) % (_NO_ID.encode(), _NO_ID.encode())
_ANY_FAILURE: Final = tuple(status for status in range(400, 501) if status not in (401, 429))


class User(msgspec.Struct, frozen=True):
    """The user of the settings, as the plugin knows it."""

    user_name: str | None = None
    roles: list[str] = []


class _Sample(msgspec.Struct, frozen=True):
    """The reply to a search whose `filter_path` leaves out the hits if there are none."""

    hits: Hits = Hits([])


class _Item(msgspec.Struct, frozen=True):
    error: Problem | None = None


class _Items(msgspec.Struct, frozen=True):
    items: list[dict[str, _Item]] = []
    docs: list[_Item] = []


class _Probe(NamedTuple):
    """A request of a pass, without its effect. `on`: its indices, if the target names none."""

    method: str
    target: str
    body: object = None
    on: tuple[str, ...] = ()


_user_decoder: Final = msgspec.json.Decoder(User)
_sample_decoder: Final = msgspec.json.Decoder(_Sample)
_line_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items_decoder: Final = msgspec.json.Decoder(_Items)


def current_user(client: Client) -> User | None:
    """None if OpenSearch has no security plugin. Raises AccessRefused if the user is not accepted."""
    target = path("_plugins", "_security", "authinfo")
    reply = client.call("GET", target, allow={400, 403, 404, 405})
    return client.read(reply, _user_decoder) if reply.status == 200 else None


def check_nothing_hidden(client: Client, index: str) -> None:
    """Raises AccessRefused if a rule hides a part of this index, or if the user may not ask. A missing index
    has no rules."""
    reply = _update_nothing(client, index)
    if _is_rule(reply):
        raise _hides(client, index)
    if reply.status != 200:
        raise client.refusal(reply, "POST", path(index, "_bulk"))


def explain_damage(client: Client, index: str) -> None:
    """Raises AccessRefused if a rule is the reason why a document of ours cannot be read."""
    with suppress(StoreUnavailable):
        if _is_rule(_update_nothing(client, index)):
            raise _hides(client, index)


def hidden_from_reader(client: Client, index: str) -> str | None:
    """What rules hide of a content, as far as a reader can detect it; None if there is no sign of a rule."""
    return " and ".join(_signs(client, index)) or None


def _update_nothing(client: Client, index: str) -> OpenSearchReply:
    target = path(index, "_bulk", query="require_alias=true&filter_path=errors")
    return client.call("POST", target, _NO_EFFECT, allow={401, 403, 500})


def _is_rule(reply: OpenSearchReply) -> bool:
    return reply.problem.is_refusal and _RULE_APPLIES in (reply.problem.reason or "")


def _hides(client: Client, index: str) -> AccessRefused:
    parts = None
    with suppress(CtisyncError):  # the message names what the user may see of it
        parts = None if index == STATE_INDEX else hidden_from_reader(client, index)
    return AccessRefused(
        f"a role of {client.curl.user} hides {parts or 'documents, fields or values'} of index {index}: "
        "ctisync writes back what it reads, so the hidden part would be lost",
        hint=_role_hint(client, index),
    )


def _role_hint(client: Client, index: str) -> str:
    roles: list[str] = []
    with suppress(CtisyncError):
        roles = sorted((current_user(client) or User()).roles)
    role = path("_plugins", "_security", "api", "roles", *(roles if len(roles) == 1 else ()))
    names = f" ({', '.join(map(quoted, roles))})" if roles else ""
    return (
        f"take dls, fls and masked_fields for {index} out of the roles of {client.curl.user}{names}: "
        f"{client.curl.change('GET', role)}; "
        "the roles of ctisync examples opensearch --output roles hide nothing"
    )


def _signs(client: Client, index: str) -> Iterator[str]:
    target = path(index, "_search", query="filter_path=hits.hits._id,hits.hits._source")
    body = {"size": _SAMPLE, "track_total_hits": False}
    reply = client.call("POST", target, {**body, "profile": True}, allow={403, 500})
    if _is_rule(reply):
        yield "documents (dls)"
        reply = client.call("POST", target, body)
    elif reply.status != 200:
        raise client.refusal(reply, "POST", target)
    hits = client.read(reply, _sample_decoder).hits.hits
    # The mapping leaves out hidden fields.
    mapping = read_indices(client, index).get(index, Index()).mappings
    missing = sorted(_FIELDS - mapping.get("properties", {}).keys())
    if missing:
        yield f"{', '.join(missing)} or a part of it (fls)"
    elif any(_is_altered(hit.source) for hit in hits):
        yield "fields or values of records (fls or masked_fields)"


def _is_altered(line: msgspec.Raw) -> bool:
    """Whether the plugin has rewritten the record. The fields then have the order of its hash table, in which
    the payload comes before the name. No line of the feed, or of ours, has that order. Or the name is left
    out or masked. Any other name that is not the id is a finding of `verify`."""
    try:
        record = _line_decoder.decode(line)
        name = name_of(*(decode(record[key]) if key in record else None for key in ("name", "resource")))
    except (ValueError, *UNDECODABLE):  # of another program
        return False
    if "payload" not in record:
        return False
    fields = list(record)
    is_moved = "name" in record and fields.index("payload") < fields.index("name")
    return is_moved or name is None or _MASKED.fullmatch(name) is not None


def missing_rights(
    client: Client,
    new_names: Iterable[str],
    live: Iterable[str],
    *,
    state_exists: bool,
    all_stored: bool,
    facts: bool,
) -> list[str]:
    """Each request of a pass that the user may not send, with the missing privileges. `new_names`: names of
    possible new generations; `live`: the live generations. `state_exists`: the context has a state document,
    and so its index exists; `all_stored`: each consumer has a state; `facts`: passes fill a facts index."""
    state_probes = _state_probes(state_exists=state_exists, all_stored=all_stored)
    requests = dict[tuple[str, ...], str]()
    names = list(new_names)
    facts_probes = _facts_probes(names) if facts else ()
    for probe in (*state_probes, *_content_probes(names, live), *facts_probes):
        reply = client.call(probe.method, probe.target, probe.body, allow=_ANY_FAILURE)
        for problem in _problems(reply):
            if problem.is_refusal and (rights := problem.missing_rights):
                request = describe_request(probe.method, probe.target, probe.on)
                index = probe.on or probe.target.split("/")[1:2]
                requests.setdefault((rights, *index), f"{request} (lacks {rights})")
    return list(requests.values())


def _state_probes(*, state_exists: bool, all_stored: bool) -> Iterator[_Probe]:
    if not state_exists:
        yield _Probe("PUT", path(STATE_INDEX), _NO_SETTING)
    if not all_stored:
        yield _Probe("GET", path(STATE_INDEX, "_mapping"))
        yield _Probe("PUT", path(STATE_INDEX, "_mapping"), _NO_TYPE)
    # If the index is missing, the document would create it; `require_alias` prevents that.
    query = _NO_VERSION if state_exists else "require_alias=true"
    yield _Probe("PUT", path(STATE_INDEX, "_doc", _NO_ID, query=query), {})


def _content_probes(new_names: Iterable[str], live: Iterable[str]) -> Iterator[_Probe]:
    for name in new_names:
        yield _Probe("GET", path(name))
        yield _Probe("PUT", path(name), {**_NO_SETTING, "aliases": {f"{name}-alias": {}}})
        actions: list[dict[str, Any]] = [
            {"remove": {"index": name, "alias": f"{name}-alias", "must_exist": True}},
            {"remove_index": {"index": name}},
        ]
        yield _Probe("POST", path("_aliases"), {"actions": actions}, (name,))
        yield _Probe("PUT", path(name, "_settings"), _NO_SETTING)
        yield _Probe("POST", path(name, "_refresh"))
        yield _Probe("GET", path(name, "_count"))
        yield _Probe("PUT", path(name, "_doc", _NO_ID, query="require_alias=true"), {})
        yield _Probe("DELETE", path(name, "_doc", _NO_ID))
        yield _Probe("POST", path(name, "_mget"), {"ids": [_NO_ID]})
    for name in live:
        yield _Probe("POST", path(name, "_bulk"), _NO_ITEMS)
        yield _Probe("POST", path(name, "_mget"), {"ids": [_NO_ID]})


def _facts_probes(new_names: Iterable[str]) -> Iterator[_Probe]:
    for name in new_names:
        yield _Probe("PUT", path(name, "_mapping"), _NO_TYPE)
        yield _Probe("POST", path(name, "_search", "point_in_time", query="keep_alive=1m"))


def _problems(reply: OpenSearchReply) -> Iterator[Problem]:
    """The problem of the reply, and those of its items."""
    yield reply.problem
    try:
        answer = _items_decoder.decode(reply.body or b"{}")
    except UNDECODABLE:
        return
    for item in [*(each for items in answer.items for each in items.values()), *answer.docs]:
        if item.error is not None:
            yield item.error
