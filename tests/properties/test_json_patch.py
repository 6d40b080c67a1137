"""JSON Patch against a second reading of RFC 6902: every generated patch ends alike in both."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from ctisync.core import json_text, patch
from ctisync.core.json_text import opened
from ctisync.core.model import Json
from tests.support import rfc6902
from tests.support.figures import figure
from tests.support.long import LONG, some
from tests.support.patches import patched, whole

BATCH: Final = len(some(range(2_000), 10))
"""Patches a round: what one round has met is forgotten in the next, and so is the memory for it."""

ROUNDS: Final = 50 if LONG else 1

PAD: Final = "x" * 1100

OPERATIONS: Final = ["add", "remove", "replace", "move", "copy", "test"]
NAMES = st.sampled_from(["", "a", "b", "/", "~", "~1", "0", "1", "-", "01", "ключ", "é", "a/b~c"])
NUMBERS = st.sampled_from([0, 1, -1, 2**53 + 1, 2**64 + 1, Decimal("1.0"), Decimal("9.30"), Decimal("0E+3")])
SCALARS = st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "0", "1", "~", "/", "ß", "\u2028"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4) | st.lists(VALUES, max_size=4)
STRAY_TOKENS = st.sampled_from(["", "0", "1", "2", "00", "-", "+0", "~0", "~1", "~2", "a", "x", "٣"])
SPOILED: st.SearchStrategy[Json] = st.sampled_from([None, 0, [], {}, "", "spam", "ADD", "a", "/~2"])


def pointers(value: Json, here: str = "") -> Iterator[str]:
    """The pointer of every value in the document, and of the place after every array."""
    yield here
    if isinstance(value, dict):
        for name, item in value.items():
            yield from pointers(item, here + "/" + name.replace("~", "~0").replace("/", "~1"))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from pointers(item, f"{here}/{position}")
        yield f"{here}/-"


@st.composite
def patches(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """A document and operations most of which fit it; half of the tests ask for what was there, and one
    operation in twenty lacks a member, or has nonsense in its place."""
    document = draw(DOCUMENTS)
    existing = st.sampled_from(list(pointers(document)))
    places = existing | existing | st.builds("{}/{}".format, existing, STRAY_TOKENS)
    operations = []
    for op in draw(st.lists(st.sampled_from(OPERATIONS), max_size=5)):
        operation: dict[str, Json] = {"op": op, "path": draw(places)}
        if op in ("move", "copy"):
            operation["from"] = draw(places)
        elif op != "remove":
            operation["value"] = draw(VALUES)
        if op == "test" and draw(st.booleans()):
            with suppress(rfc6902.ImpossibleError):
                operation["value"] = rfc6902.value_at(document, rfc6902.tokens(operation["path"]))
        if draw(st.integers(0, 19)) == 7:
            spoil(draw, operation)
        operations.append(operation)
    return document, operations


def spoil(draw: st.DrawFn, operation: dict[str, Json]) -> None:
    member = draw(st.sampled_from(sorted(operation)))
    if draw(st.booleans()):
        del operation[member]
    else:
        operation[member] = draw(SPOILED)


def padded(value: Json) -> Json:
    """The value with so long a string in each container that its members are not decoded at once."""
    if isinstance(value, dict):
        return {**{name: padded(item) for name, item in value.items()}, "pad": PAD}
    return [*map(padded, value), PAD] if isinstance(value, list) else value


def assert_lazy_one_agrees(document: Json, operations: list[Json]) -> None:
    """A document that is decoded where the patch leads ends like one that was decoded before."""
    document = padded(document)
    failed, expected = rfc6902.outcome(document, operations)
    working = patch.Working(opened(json_text.encode(document)))
    if failed is None:
        working.apply(operations)
        assert rfc6902.meaning(whole(working.document)) == rfc6902.meaning(expected)
    else:
        with pytest.raises(patch.PatchError) as caught:
            working.apply(operations)
        assert caught.value.operation == failed


def assert_both_agree(document: Json, operations: list[Json]) -> bool:
    """Whether the patch can be applied."""
    before = repr((document, operations))
    failed, expected = rfc6902.outcome(document, operations)
    if failed is None:
        result = patched(document, operations)
        assert rfc6902.meaning(result) == rfc6902.meaning(expected)
        ours = {*rfc6902.containers(result)}
        assert not ours & {*rfc6902.containers(document), *rfc6902.containers(operations)}
    else:
        with pytest.raises(patch.PatchError) as caught:
            patched(document, operations)
        assert caught.value.operation == failed
    assert repr((document, operations)) == before
    return failed is None


@pytest.mark.timeout(3600)
def test_two_readings_of_the_rfc_agree() -> None:
    met: Counter[bool] = Counter()
    operations = 0

    for number in range(ROUNDS):

        @seed(number)
        @settings(max_examples=BATCH)
        @given(patches())
        def agree(case: tuple[Json, list[Json]]) -> None:
            nonlocal operations
            met[assert_both_agree(*case)] += 1
            assert_lazy_one_agrees(*case)
            operations += len(case[1])

        agree()
    figure(
        f"T9 JSON Patch: {met.total():,} generated patches of {operations:,} operations: "
        f"{met[True]:,} applied, {met[False]:,} refused by both readings, 0 differences"
    )
    assert met.total() >= ROUNDS * BATCH


ANYTHING = st.recursive(
    SCALARS | st.sampled_from([*OPERATIONS, "", "/a", "/0", "/a/0", "/-"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["op", "path", "from", "value", "a"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=len(some(range(1000), 10)))
@given(DOCUMENTS | SCALARS, st.lists(ANYTHING, max_size=3))
def test_whatever_the_operations_are_only_a_patch_error_comes_out(
    document: Json, operations: list[Json]
) -> None:
    before = repr((document, operations))
    with suppress(patch.PatchError):
        patched(document, operations)
    assert repr((document, operations)) == before


def test_of_two_members_of_one_name_the_last_counts_as_in_every_reader_of_json() -> None:
    """RFC 6902, A.13, calls such a patch invalid; what reads the reply has then dropped the first already."""
    reply = b'{"data": [{"op": "add", "path": "/a", "value": 1, "op": "remove"}]}'
    [operation] = json_text.decode(reply)["data"]
    assert operation == {"op": "remove", "path": "/a", "value": 1}
    with pytest.raises(patch.PatchError):
        patched({"b": 1}, [operation])
