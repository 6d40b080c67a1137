"""JSON Patch within its limits: how many operations, how large the copies, how deep a document."""

import pytest
from msgspec import Raw

from ctisync.core import json_text, patch
from ctisync.core.json_text import opened
from ctisync.core.limits import Limits
from ctisync.core.model import Json
from tests.support.patches import patched


def test_the_number_of_operations_is_limited() -> None:
    operations = [{"op": "test", "path": "", "value": 1}] * 3
    assert patched(1, operations, Limits(patch_operations=3)) == 1
    with pytest.raises(patch.PatchError, match="3 operations, more than 2") as caught:
        patched(1, operations, Limits(patch_operations=2))
    assert caught.value.operation is None


def doubling(times: int) -> list[Json]:
    """Each operation puts a copy of the list into the list: 2, 4, 8 … values."""
    return [{"op": "copy", "from": "/list", "path": "/list/-"}] * times


def test_a_copy_bomb_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(patch.PatchError, match="the copies are larger than") as caught:
        patched({"list": ["x" * 1000]}, doubling(1000))
    assert caught.value.operation is not None
    assert 10 < caught.value.operation < 16


def test_the_copies_of_a_whole_series_are_counted_together() -> None:
    working = patch.Working({"list": [1]}, Limits(patch_copied_bytes=9))
    working.apply(doubling(1))  # [1]
    with pytest.raises(patch.PatchError, match="the copies are larger than"):
        working.apply(doubling(1))  # [1,[1]]


def test_copies_count_by_the_length_of_their_text() -> None:
    operations = [{"op": "copy", "from": "/a", "path": "/b"}]
    document = {"a": {"name": "text"}}
    result = patched(document, operations, Limits(patch_copied_bytes=15))
    assert result == {"a": {"name": "text"}, "b": {"name": "text"}}
    with pytest.raises(patch.PatchError, match="the copies are larger than"):
        patched(document, operations, Limits(patch_copied_bytes=14))


def test_a_long_copy_stays_text_until_a_pointer_leads_into_it() -> None:
    payload = opened(b'{"a":{"b":{"c":{"d":[1.50,{"e":1}]}},"pad":"%b"}}' % (b"x" * 1100))
    working = patch.Working(payload)
    working.apply([{"op": "copy", "from": "/a", "path": "/z"}])
    assert all(type(item) is Raw for item in working.document["z"]["b"]["c"]["d"])
    working.apply([{"op": "replace", "path": "/z/b/c/d/1/e", "value": 2}])
    before, after = b'{"d":[1.50,{"e":1}]}', b'{"d":[1.50,{"e":2}]}'
    text = json_text.encode(working.document)
    assert (text.count(before), text.count(after)) == (1, 1)


def nested(depth: int, innermost: Json = None) -> Json:
    """A value with `depth` containers inside one another, lists and objects by turns."""
    value = innermost
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


def test_a_document_five_hundred_deep_is_patched() -> None:
    document = {"deep": nested(499), "n": 1}
    operations = [
        {"op": "replace", "path": "/n", "value": 2},
        {"op": "test", "path": "/deep", "value": nested(499)},
        {"op": "copy", "from": "/deep", "path": "/again"},
        {"op": "move", "from": "/again", "path": "/moved"},
        {"op": "replace", "path": "/moved", "value": nested(499)},
    ]
    result = patched(document, operations)
    assert result["n"] == 2
    assert result["moved"] == document["deep"]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/x", "value": nested(500)},
        {"op": "add", "path": "/deep/k", "value": nested(499)},
        {"op": "replace", "path": "/deep", "value": nested(500)},
        {"op": "copy", "from": "/deep", "path": "/shallow/x"},
        {"op": "move", "from": "/deep", "path": "/shallow/x"},
        {"op": "add", "path": "/x", "value": nested(800)},
    ],
    ids=["add", "add-below", "replace", "copy", "move", "add-without-end"],
)
def test_no_operation_makes_a_document_too_deep(operation: Json) -> None:
    document = {"deep": nested(499), "shallow": {}}
    with pytest.raises(patch.PatchError, match=r"nested deeper than limits\.json_depth"):
        patched(document, [operation])


def test_a_test_value_without_end_is_only_another_value() -> None:
    with pytest.raises(patch.PatchError, match="the value differs"):
        patched({"deep": nested(499)}, [{"op": "test", "path": "/deep", "value": nested(100_000)}])


def test_the_depth_that_is_allowed_holds_for_what_an_operation_brings_too() -> None:
    operations = [{"op": "add", "path": "/a", "value": [[]]}]
    assert patched({}, operations, Limits(json_depth=3)) == {"a": [[]]}
    with pytest.raises(patch.PatchError, match=r"deeper than limits\.json_depth"):
        patched({}, operations, Limits(json_depth=2))


def test_a_move_neither_decodes_nor_copies_its_value_however_often_it_is_moved() -> None:
    payload = opened(b'{"a":{"large":{"pad":[1,"%b"]}},"b":{"c":{}}}' % (b"x" * 1100))
    large, pad = payload["a"]["large"], payload["a"]["large"]["pad"]
    to_and_fro = [
        {"op": "move", "from": "/a/large", "path": "/b/large"},
        {"op": "move", "from": "/b/large", "path": "/a/large"},
    ]
    working = patch.Working(payload, Limits(patch_copied_bytes=1))
    working.apply(to_and_fro * 100)
    assert working.document["a"]["large"] is large
    assert type(large["pad"][1]) is Raw
    assert large["pad"] is pad


def test_a_move_to_a_deeper_place_counts_as_a_copy() -> None:
    operations = [{"op": "move", "from": "/a", "path": "/b/c"}]
    document = {"a": {"name": "text"}, "b": {}}
    result = patched(document, operations, Limits(patch_copied_bytes=15))
    assert result == {"b": {"c": {"name": "text"}}}
    with pytest.raises(patch.PatchError, match="the copies are larger than"):
        patched(document, operations, Limits(patch_copied_bytes=14))


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/l/0", "value": 1},
        {"op": "remove", "path": "/l/0"},
        {"op": "move", "from": "/l/0", "path": "/x"},
        {"op": "move", "from": "/x", "path": "/l/0"},
    ],
    ids=["add", "remove", "move-from", "move-to"],
)
def test_what_an_array_shifts_counts(operation: Json) -> None:
    document = {"l": [0] * 32 * 16, "x": 1}
    patched(document, [operation], Limits(patch_copied_bytes=32))
    with pytest.raises(patch.PatchError, match="the copies are larger than"):
        patched(document, [operation], Limits(patch_copied_bytes=30))


def test_at_its_end_an_array_shifts_nothing_however_often_elements_come_and_go() -> None:
    operations = [
        {"op": "add", "path": "/a/1000", "value": 1},
        {"op": "remove", "path": "/a/1000"},
        {"op": "add", "path": "/a/-", "value": 1},
        {"op": "remove", "path": "/a/1000"},
    ]
    document = {"a": [0] * 1000}
    assert patched(document, operations * 3, Limits(patch_copied_bytes=1)) == document


def test_a_test_decodes_what_it_compares_once_and_the_rest_not_at_all() -> None:
    payload = opened(b'{"a":[1,{"n":-0.0},"%b"],"b":[[1],"%b"]}' % (b"x" * 1100, b"y" * 1100))
    working = patch.Working(payload)
    tested = {"op": "test", "path": "/a", "value": [1, {"n": 0}, "x" * 1100]}
    working.apply([tested, tested])
    assert not any(type(item) is Raw for item in working.document["a"])
    assert all(type(item) is Raw for item in working.document["b"])
    assert json_text.encode(working.document).startswith(b'{"a":[1,{"n":-0.0},')
    in_object = patch.Working(opened(b'{"a":{"n":-0.0,"pad":"%b"}}' % (b"x" * 1100)))
    in_object.apply([{"op": "test", "path": "/a", "value": {"n": 0, "pad": "x" * 1100}}])


def test_a_test_that_meets_a_number_out_of_range_is_a_patch_error() -> None:
    working = patch.Working(opened(b'{"a":[1E+9999999999999999999,"%b"]}' % (b"x" * 1100)))
    with pytest.raises(patch.PatchError, match="the document cannot be decoded"):
        working.apply([{"op": "test", "path": "/a", "value": [1, "x"]}])


class TimeIsOverError(Exception):
    pass


def test_a_long_patch_is_ended_between_two_of_its_operations() -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise TimeIsOverError

    working = patch.Working({"n": 0}, check=check)
    add = {"op": "add", "path": "/n", "value": 1}
    working.apply([add] * 60)
    assert calls == 0, "a short one asks nobody"
    with pytest.raises(TimeIsOverError):
        working.apply([add] * 10_000)
