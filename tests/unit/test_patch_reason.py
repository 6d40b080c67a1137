"""What an operator reads of a patch that failed: what was to be done where, and why that could not be."""

import pytest

from ctisync.core import patch
from ctisync.core.model import Json
from tests.support.patches import patched


def reason(operation: Json) -> str:
    with pytest.raises(patch.PatchError) as caught:
        patched({}, [operation])
    return caught.value.reason


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (7, "it is not an object"),
        ({}, "Operation must have a 'path' member"),
        ({"op": 7, "path": ["k"]}, "Invalid 'path'"),
    ],
)
def test_of_an_operation_without_name_and_path_only_the_reason_is_shown(operation: Json, why: str) -> None:
    assert reason(operation) == why


def test_however_long_a_name_and_a_path_are_the_reason_is_shown_behind_them() -> None:
    assert reason({"op": "o" * 1000, "path": "/" + "p" * 1000}).endswith("p: the operation is unknown")
