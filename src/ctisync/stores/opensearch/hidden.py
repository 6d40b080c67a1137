"""Documents, fields and values of an index that the security plugin hides from our user.

It leaves them out of each reply without notice. A record that is read so and written back loses them.

A writer detects such a rule by an update that has no effect. If a rule applies to the index, the plugin
refuses every update before OpenSearch evaluates it; if none does, `require_alias` makes it fail for an index.
A reader may not send updates, so it looks for traces of such rules in replies.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ctisync.core.json_text import UNDECODABLE, decode
from ctisync.core.wire import name_of
from ctisync.errors import AccessRefused, CtisyncError, StoreUnavailable
from ctisync.escaping import quoted
from ctisync.stores.opensearch.client import Client, OpenSearchReply, path

_FIELDS: Final = {"name", "offset", "version", "inserted_at", "payload"}
"""The fields of a record. Each is in the mapping of its index."""

_NO_EFFECT: Final = b'{"update":{"_id":"ctisync"}}\n{"doc":{}}\n'
_RULED: Final = "is not supported when"
"""In the plugin's refusal of an update if any rule applies, and of a profile if a rule hides documents."""

_MASKED: Final = re.compile("[0-9a-f]{64}")
"""A masked value: the plugin's hash. No record of a feed has such a name."""

_LOOKED_AT: Final = 5
"""Records that a reader looks at."""


class _Hit(msgspec.Struct, frozen=True):
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b"{}"))


class _Hits(msgspec.Struct, frozen=True):
    hits: list[_Hit] = []


class _Found(msgspec.Struct, frozen=True):
    hits: _Hits = _Hits()


class _WhoAmI(msgspec.Struct, frozen=True):
    roles: list[str] = []


_found_decoder: Final = msgspec.json.Decoder(_Found)
_mapping_decoder: Final = msgspec.json.Decoder(dict[str, dict[str, Any]])
_line_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_who_decoder: Final = msgspec.json.Decoder(_WhoAmI)


def check_nothing_hidden(client: Client, index: str, *, of_records: bool = True) -> None:
    """Raises AccessRefused if a rule hides a part of this index, or if the user may not ask. `of_records`:
    whether the index holds records. A missing index has no rules."""
    reply = _asked(client, index)
    if _is_ruled(reply):
        raise _refused(client, index, of_records=of_records)
    if reply.status != 200:
        raise client.refusal(reply, "POST", path(index, "_bulk"))


def explain_damage(client: Client, index: str) -> None:
    """Raises AccessRefused if a rule is the reason why a document of ours cannot be read."""
    with suppress(StoreUnavailable):
        if _is_ruled(_asked(client, index)):
            raise _refused(client, index, of_records=False)


def hidden_from_reader(client: Client, index: str) -> str | None:
    """What rules hide of a content, as far as a reader can detect it; None if there is no sign of a rule."""
    found = list(_signs(client, index))
    return " and ".join(found) if found else None


def check_order(before: Sequence[Any] | None, first: Sequence[Any], alias: str) -> None:
    """Raises AccessRefused if a page, sorted by names, does not begin after the end of the page before.
    That happens if names are masked or left out, and such a search may never end."""
    if None in first or (before is not None and not list(before) < list(first)):
        raise AccessRefused(
            f"the records of {alias} cannot be read in order: a role hides the field name from your user",
            hint="ctisync doctor (as the user of the passes: it names the roles)",
        )


def how_to_lift(client: Client, index: str) -> str:
    """The hint for such rules."""
    roles: list[str] = []
    with suppress(CtisyncError):
        target = path("_plugins", "_security", "authinfo")
        reply = client.call("GET", target, allow={400, 401, 403, 404, 405, 500})
        if reply.status == 200:
            roles = client.read(reply, _who_decoder).roles
    role = path("_plugins", "_security", "api", "roles", *(roles if len(roles) == 1 else ()))
    named = f" ({', '.join(map(quoted, sorted(roles)))})" if roles else ""
    return (
        f"take dls, fls and masked_fields for {index} out of the roles of {client.user}{named}: "
        f"{client.curl.mends('GET', role)}; "
        "the roles of ctisync examples opensearch --output roles hide nothing"
    )


def _asked(client: Client, index: str) -> OpenSearchReply:
    target = path(index, "_bulk", query="require_alias=true&filter_path=errors")
    return client.call("POST", target, _NO_EFFECT, allow={401, 403, 500})


def _refused(client: Client, index: str, *, of_records: bool) -> AccessRefused:
    what = None
    if of_records:
        with suppress(CtisyncError):  # the message names what the user may see of it
            what = hidden_from_reader(client, index)
    return AccessRefused(
        f"a role of {client.user} hides {what or 'documents, fields or values'} of index {index}: "
        "ctisync writes back what it reads, so the hidden part would be lost",
        hint=how_to_lift(client, index),
    )


def _signs(client: Client, index: str) -> Iterator[str]:
    target = path(index, "_search", query="filter_path=hits.hits._id,hits.hits._source")
    wanted = {"size": _LOOKED_AT, "track_total_hits": False}
    reply = client.call("POST", target, {**wanted, "profile": True}, allow={403, 500})
    if _is_ruled(reply):
        yield "documents (dls)"
        reply = client.call("POST", target, wanted)
    elif reply.status != 200:
        raise client.refusal(reply, "POST", target)
    hits = client.read(reply, _found_decoder).hits.hits
    missing = _unmapped(client, index)
    if missing:
        yield f"{', '.join(missing)} or a part of it (fls)"
    altered = [each for each in hits if _is_altered(each)]
    if altered and not missing:
        yield "fields or values of records (fls or masked_fields)"


def _unmapped(client: Client, index: str) -> list[str]:
    """The fields of a record that are missing from the mapping: it leaves out hidden ones."""
    target = path(index, query="filter_path=*.mappings.properties")
    mapped = client.read(client.call("GET", target), _mapping_decoder)
    shown = mapped.get(index, {}).get("mappings", {}).get("properties", {})
    return sorted(_FIELDS - shown.keys())


def _is_altered(hit: _Hit) -> bool:
    """Whether the plugin has rewritten the record. The fields then have the order of its hash table, in which
    the payload comes before the name. No line of the feed, or of ours, has that order. Or the name is left
    out or masked. Any other name that is not the id is a finding of `verify`."""
    try:
        line = _line_decoder.decode(hit.source)
        named = name_of(*(decode(line[key]) if key in line else None for key in ("name", "resource")))
    except (ValueError, *UNDECODABLE):  # of another program
        return False
    fields = list(line)
    moved = "payload" in fields and "name" in fields and fields.index("payload") < fields.index("name")
    return moved or ("payload" in fields and (named is None or _MASKED.fullmatch(named) is not None))


def _is_ruled(reply: OpenSearchReply) -> bool:
    return reply.problem.is_refusal and _RULED in (reply.problem.reason or "")
