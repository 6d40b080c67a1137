"""JSON Patch: the outcome of another reading of RFC 6902, and nothing of the arguments is altered."""

import copy
from typing import Final

from ctisync.core import json_text, patch
from ctisync.core.limits import Limits
from ctisync.core.model import Json
from tests.fuzz.printed import harmless
from tests.fuzz.target import target
from tests.support.patches import patched
from tests.support.rfc6902 import containers, meaning, outcome

LIMITS: Final = Limits(json_depth=20, patch_operations=20, patch_copied_bytes=2000)

SEEDS: Final = (
    b'[1,true]\n[{"op":"test","path":"/0","value":true}]',
    b'{"a":{"b":[1,2,{"c":null}]}}\n[{"op":"add","path":"/a/b/-","value":{"x":[]}},{"op":"test","path":"/a/b/0","value":1.0}]',
    b'[1,[2,3]]\n[{"op":"move","from":"/1/0","path":"/0"},{"op":"remove","path":"/1"},{"op":"replace","path":"/0","value":true}]',
    b'{"a~1b":1,"-":[]}\n[{"op":"copy","from":"/a~01b","path":"/-/0"},{"op":"copy","from":"/-","path":"/x"}]',
    b'{"a":[]}\n[{"op":"copy","from":"/a","path":"/a/-"},{"op":"copy","from":"/a","path":"/a/-"},{"op":"copy","from":"/a","path":"/a/0"}]',
)

TOKENS: Final = (
    *b'{"op":"add","path":" {"op":"remove","path":" {"op":"replace","path":" "value": "from":"'.split(),
    *b'{"op":"move","from":" {"op":"copy","from":" {"op":"test","path":"'.split(),
    *b"/- /0 /a ~0 ~1 ~2".split(),
    *b'"}, ""'.split(),
    *b"}, /00 /1e0 /\xd9\xa1 /-1 1.0 true null [[]] \\u0000".split(),
    b"\n[",
)

_OWN_REFUSALS: Final = ("limits.json_depth", "copies are larger", "operations, more than")


@target(seeds=SEEDS, tokens=TOKENS, most_bytes=1000)
def patches(data: bytes) -> None:
    """A document and a patch, a line each."""
    first, _, second = data.partition(b"\n")
    try:
        document, operations = json_text.decode(first), json_text.decode(second)
    except ValueError:
        return
    if not isinstance(operations, list):
        return
    before = copy.deepcopy((document, operations))
    made: Json = None
    failed: int | None = None
    reason = ""
    try:
        made = patched(document, operations, LIMITS)
    except patch.PatchError as error:
        failed, reason = error.operation, error.reason
        assert harmless(reason), reason
        assert len(reason) <= 220
    assert (document, operations) == before, "the arguments were altered"
    if any(words in reason for words in _OWN_REFUSALS):
        return
    expected, result = outcome(document, operations)
    assert failed == expected, f"operation {failed} fails ({reason}), {expected} by the RFC"
    if failed is None:
        assert meaning(made) == meaning(result), f"{made}, {result} by the RFC"
        shared = set(containers(made)) & {*containers(document), *containers(operations)}
        assert not shared, "the result shares something with the arguments"
