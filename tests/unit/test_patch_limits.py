"""JSON Patch within its limits: how many operations, how large the copies, how deep a document."""

import pytest

from ctisync.core import patch
from ctisync.core.limits import Limits
from ctisync.core.model import Json


def test_the_number_of_operations_is_limited() -> None:
    operations = [{"op": "test", "path": "", "value": 1}] * 3
    assert patch.apply(1, operations, Limits(patch_operations=3)) == 1
    with pytest.raises(patch.PatchError, match="3 operations, more than 2") as caught:
        patch.apply(1, operations, Limits(patch_operations=2))
    assert caught.value.operation == -1


def doubling(times: int) -> list[Json]:
    """Each operation puts a copy of the list into the list: 2, 4, 8 … values."""
    return [{"op": "copy", "from": "/list", "path": "/list/-"}] * times


def test_a_copy_bomb_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(patch.PatchError, match="the copies are larger than") as caught:
        patch.apply({"list": ["x" * 1000]}, doubling(1000))
    assert 10 < caught.value.operation < 16


def test_the_copies_of_a_whole_series_are_counted_together() -> None:
    working = patch.Working({"list": [1]}, Limits(patch_copied_bytes=40))
    working.apply(doubling(1))  # [1]: 16 for two values
    with pytest.raises(patch.PatchError, match="the copies are larger than"):
        working.apply(doubling(1))  # [1, [1]]: 32


def test_copied_strings_and_names_count_by_their_length() -> None:
    operations = [{"op": "copy", "from": "/a", "path": "/b"}]
    document = {"a": {"name": "text"}}  # 8 + 4 + 8 + 4
    patched = patch.apply(document, operations, Limits(patch_copied_bytes=24))
    assert patched == {"a": {"name": "text"}, "b": {"name": "text"}}
    with pytest.raises(patch.PatchError, match="the copies are larger than"):
        patch.apply(document, operations, Limits(patch_copied_bytes=23))


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
    result = patch.apply(document, operations)
    assert result["n"] == 2
    assert result["moved"] == document["deep"]


def test_a_document_that_is_too_deep_is_refused_before_any_operation() -> None:
    with pytest.raises(
        patch.PatchError, match=r"document is nested deeper than limits\.json_depth"
    ) as caught:
        patch.apply(nested(501), [])
    assert caught.value.operation == -1


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/x", "value": nested(500)},
        {"op": "add", "path": "/deep/k", "value": nested(499)},
        {"op": "replace", "path": "/deep", "value": nested(500)},
        {"op": "copy", "from": "/deep", "path": "/shallow/x"},
        {"op": "move", "from": "/deep", "path": "/shallow/x"},
        {"op": "add", "path": "/x", "value": nested(100_000)},
    ],
    ids=["add", "add-below", "replace", "copy", "move", "add-without-end"],
)
def test_no_operation_makes_a_document_too_deep(operation: Json) -> None:
    document = {"deep": nested(499), "shallow": {}}
    with pytest.raises(patch.PatchError, match=r"nested deeper than limits\.json_depth"):
        patch.apply(document, [operation])


def test_a_test_value_without_end_is_only_another_value() -> None:
    with pytest.raises(patch.PatchError, match="the value differs"):
        patch.apply({"deep": nested(499)}, [{"op": "test", "path": "/deep", "value": nested(100_000)}])


def test_the_depth_that_is_allowed_holds_for_what_an_operation_brings_too() -> None:
    operations = [{"op": "add", "path": "/a", "value": [[]]}]
    assert patch.apply({}, operations, Limits(json_depth=3)) == {"a": [[]]}
    with pytest.raises(patch.PatchError, match=r"deeper than limits\.json_depth"):
        patch.apply({}, operations, Limits(json_depth=2))
