"""The requests of a pass that the user may not send, found out without a write.

Each request contains something impossible: a setting that does not exist, a missing index or alias, a version
that no document has. So none has an effect. The security plugin checks a request before OpenSearch evaluates
it: it answers 403 to a user who may not send it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import msgspec

from ctisync.core.json_text import UNDECODABLE
from ctisync.stores.opensearch.client import Client, OpenSearchReply, Problem, path
from ctisync.stores.opensearch.state_document import STATE_INDEX as STATE

_NO_SETTING: Final = {"settings": {"index.ctisync_looks_at_its_rights": True}}
_NO_TYPE: Final = {"properties": {"ctisync_looks_at_its_rights": {"type": "none"}}}
_NO_VERSION: Final = "if_seq_no=9007199254740991&if_primary_term=9007199254740991"
_NO_ID: Final = "ctisync-looks-at-its-rights"
_NO_ITEMS: Final = (
    b'{"index":{"_id":"%b","if_seq_no":9007199254740991,"if_primary_term":9007199254740991}}\n{}\n'
    b'{"delete":{"_id":"%b","if_seq_no":9007199254740991,"if_primary_term":9007199254740991}}\n'
) % (_NO_ID.encode(), _NO_ID.encode())
_ANY_END: Final = tuple(each for each in range(400, 501) if each not in (401, 429))


class _Ask(NamedTuple):
    method: str
    target: str
    body: object = None
    on: str = ""


class _Item(msgspec.Struct, frozen=True):
    error: Problem | None = None


class _Items(msgspec.Struct, frozen=True):
    items: list[dict[str, _Item]] = []
    docs: list[_Item] = []


_items_decoder: Final = msgspec.json.Decoder(_Items)


def refused(
    client: Client, new_names: Iterable[str], live: Iterable[str], *, state: bool, known: bool
) -> list[str]:
    """Each request of a pass that the user may not send, with the missing privileges. `new_names`: names of
    possible new generations; `live`: the live generations. `state`: the context has a state document, and so
    its index exists; `known`: each consumer has a state."""
    found = dict[tuple[str, str], str]()
    for ask in (*_for_the_state(state=state, known=known), *_for_contents(new_names, live)):
        reply = client.call(ask.method, ask.target, ask.body, allow=_ANY_END)
        for problem in _problems(reply):
            index = ask.on or ask.target.split("/")[1]
            if problem.is_refusal and problem.lacked:
                asked = unquote(ask.target.partition("?")[0])
                named = f" on {ask.on}" if ask.on else ""
                said = f"{ask.method} {asked}{named} (lacks {problem.lacked})"
                found.setdefault((problem.lacked, index), said)
    return list(found.values())


def _for_the_state(*, state: bool, known: bool) -> Iterator[_Ask]:
    if not state:
        yield _Ask("PUT", path(STATE), _NO_SETTING)
    if not known:
        yield _Ask("GET", path(STATE, "_mapping"))
        yield _Ask("PUT", path(STATE, "_mapping"), _NO_TYPE)
    # If the index is missing, the document would create it; `require_alias` prevents that.
    query = _NO_VERSION if state else "require_alias=true"
    yield _Ask("PUT", path(STATE, "_doc", _NO_ID, query=query), {})


def _for_contents(new_names: Iterable[str], live: Iterable[str]) -> Iterator[_Ask]:
    for name in new_names:
        yield _Ask("GET", path(name))
        yield _Ask("PUT", path(name), {**_NO_SETTING, "aliases": {f"{name}-alias": {}}})
        actions: list[dict[str, Any]] = [
            {"remove": {"index": name, "alias": f"{name}-alias", "must_exist": True}},
            {"remove_index": {"index": name}},
        ]
        yield _Ask("POST", path("_aliases"), {"actions": actions}, name)
        yield _Ask("PUT", path(name, "_settings"), _NO_SETTING)
        yield _Ask("POST", path(name, "_refresh"))
        yield _Ask("GET", path(name, "_count"))
        yield _Ask("PUT", path(name, "_doc", _NO_ID, query="require_alias=true"), {})
        yield _Ask("DELETE", path(name, "_doc", _NO_ID))
        yield _Ask("POST", path(name, "_mget"), {"ids": [_NO_ID]})
    for name in live:
        yield _Ask("POST", path(name, "_bulk"), _NO_ITEMS)
        yield _Ask("POST", path(name, "_mget"), {"ids": [_NO_ID]})


def _problems(reply: OpenSearchReply) -> Iterator[Problem]:
    """The problem of the reply, and those of its items."""
    yield reply.problem
    try:
        found = _items_decoder.decode(reply.body or b"{}")
    except UNDECODABLE:
        return
    for each in [*(item for one in found.items for item in one.values()), *found.docs]:
        if each.error is not None:
            yield each.error
