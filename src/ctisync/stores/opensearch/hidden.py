"""What the security plugin hides from our user in an index: documents, fields, values that it masks.

It leaves them out of each reply without a word. A record that was read so and is written back loses them.

A writer asks for it by an update that has no effect. Where a rule applies to the index, the plugin refuses
each update before anything else looks at it; where none does, `require_alias` keeps it from an index. A
reader may not send that, and looks for what such rules leave behind in replies.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ctisync.core.wire import UNDECODABLE
from ctisync.errors import AccessRefused, CtisyncError, StoreUnavailable
from ctisync.harmless import quoted
from ctisync.stores.opensearch.client import Client, OpenSearchReply, path

_FIELDS: Final = {"name", "offset", "version", "inserted_at", "payload"}
"""Of a record; each is in the mapping of its index."""

_NO_EFFECT: Final = b'{"update":{"_id":"ctisync"}}\n{"doc":{}}\n'
_RULED: Final = "is not supported when"
"""In what the plugin says to an update where any rule applies, and to a profile where one hides documents."""

_LOOKED_AT: Final = 5
"""Records."""


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
    """Raises AccessRefused when a rule hides something of this index, which may hold records, or when we may
    not ask; an index that is not there has no rules."""
    reply = _asked(client, index)
    if _is_ruled(reply):
        raise _refused(client, index, of_records=of_records)
    if reply.status != 200:
        raise client.refusal(reply, "POST", path(index, "_bulk"))


def explain_damage(client: Client, index: str) -> None:
    """Raises AccessRefused when a rule explains that a document of ours cannot be read."""
    with suppress(StoreUnavailable):
        if _is_ruled(_asked(client, index)):
            raise _refused(client, index, of_records=False)


def hidden_from_reader(client: Client, index: str) -> str | None:
    """What rules hide of a content, as far as a reader can see it; None: no sign of any."""
    found = list(_signs(client, index))
    return " and ".join(found) if found else None


def check_order(before: Sequence[Any] | None, first: Sequence[Any], alias: str) -> None:
    """Raises AccessRefused when a page, sorted by names, does not begin behind the end of the one before it.
    So it is where names are masked or left out, and such a search may never come to its end."""
    if None in first or (before is not None and not list(before) < list(first)):
        raise AccessRefused(
            f"the records of {alias} cannot be read in their order: the field name is hidden from your user",
            hint="ctisync doctor (as the user of the passes: it names the roles)",
        )


def how_to_lift(client: Client, index: str) -> str:
    """What a person does about such rules."""
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
        "the role in ctisync examples opensearch --output roles hides nothing"
    )


def _asked(client: Client, index: str) -> OpenSearchReply:
    target = path(index, "_bulk", query="require_alias=true&filter_path=errors")
    return client.call("POST", target, _NO_EFFECT, allow={401, 403, 500})


def _refused(client: Client, index: str, *, of_records: bool) -> AccessRefused:
    what = None
    if of_records:
        with suppress(CtisyncError):  # it is told as far as we may see it
            what = hidden_from_reader(client, index)
    return AccessRefused(
        f"a role of {client.user} hides {what or 'documents, fields or values'} of index {index}: "
        "ctisync writes back what it has read, and the rest would be lost",
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
    """The fields of a record that the mapping does not show: it leaves out what is hidden."""
    target = path(index, query="filter_path=*.mappings.properties")
    mapped = client.read(client.call("GET", target), _mapping_decoder)
    shown = mapped.get(index, {}).get("mappings", {}).get("properties", {})
    return sorted(_FIELDS - shown.keys())


def _is_altered(hit: _Hit) -> bool:
    """Whether the plugin has written the record anew. It gives the fields the order of its hash table, in
    which the payload comes before the name; in no line of a feed, or of ours, does it."""
    try:
        fields = list(_line_decoder.decode(hit.source))
    except UNDECODABLE:  # of another program
        return False
    return "payload" in fields and "name" in fields and fields.index("payload") < fields.index("name")


def _is_ruled(reply: OpenSearchReply) -> bool:
    return reply.problem.is_refusal and _RULED in (reply.problem.reason or "")
