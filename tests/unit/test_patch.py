"""JSON Patch where implementations go wrong: types, pointers, atomicity, aliasing."""

import copy
from decimal import Decimal

import pytest
from msgspec import Raw

from ctisync.core import patch
from ctisync.core.model import Json
from tests.support.patches import patched
from tests.support.rfc6902 import containers

OPERATIONS = ["add", "remove", "replace", "move", "copy", "test"]


def refusal(document: Json, *operations: Json) -> patch.PatchError:
    """The error of a patch that must fail, and must leave its arguments as they were."""
    before = copy.deepcopy((document, operations))
    with pytest.raises(patch.PatchError) as caught:
        patched(document, list(operations))
    assert repr((document, operations)) == repr(before)
    return caught.value


# --- test: equality of JSON values ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (1, True),
        (True, 1),
        (0, False),
        (False, 0),
        (Decimal("1.0"), True),
        (False, Decimal("0.0")),
        (1, "1"),
        (0, None),
        (None, False),
        ("", None),
        ([], {}),
        ({}, []),
        ({}, None),
        ([1], [True]),
        ({"a": [0]}, {"a": [False]}),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": None}, {"b": None}),
        (2**53, 2**53 + 1),
        (Decimal("9.30"), Decimal("9.31")),
    ],
)
def test_values_of_different_meaning_never_pass_a_test_operation(there: Json, expected: Json) -> None:
    error = refusal({"k": there}, {"op": "test", "path": "/k", "value": expected})
    assert (error.operation, error.reason) == (0, "test /k: the value differs")


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (1, Decimal("1.0")),
        (Decimal("9.30"), Decimal("9.3")),
        ([Decimal("1.0"), {"a": 0}], [1, {"a": Decimal("0.00")}]),
        (2**70, Decimal(2**70)),
        ({"a": 1, "b": [None, True]}, {"b": [None, True], "a": 1}),
        ("ключ", "ключ"),
    ],
)
def test_values_of_the_same_meaning_pass_a_test_operation(there: Json, expected: Json) -> None:
    assert patched({"k": there}, [{"op": "test", "path": "/k", "value": expected}]) == {"k": there}


def test_the_whole_document_can_be_tested() -> None:
    assert patched([1], [{"op": "test", "path": "", "value": [Decimal(1)]}]) == [1]


# --- pointers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaf", ["text", 7, Decimal("7.5"), True, None])
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/k/0", "value": "x"},
        {"op": "remove", "path": "/k/0"},
        {"op": "replace", "path": "/k/0", "value": "x"},
        {"op": "test", "path": "/k/0", "value": "t"},
        {"op": "copy", "from": "/k/0", "path": "/x"},
        {"op": "move", "from": "/k/0", "path": "/x"},
        {"op": "copy", "from": "/o", "path": "/k/0"},
        {"op": "move", "from": "/o", "path": "/k/-"},
    ],
    ids=lambda operation: f"{operation['op']}-{operation.get('from', operation['path'])}",
)
def test_no_operation_reaches_into_a_value_that_is_no_container(leaf: Json, operation: Json) -> None:
    assert refusal({"k": leaf, "o": 1}, operation).operation == 0


@pytest.mark.parametrize(
    "token", ["00", "01", "-1", "+1", "1_0", " 1", "1 ", "1e0", "1.0", "", "٣", "²", "3"]
)
@pytest.mark.parametrize("op", OPERATIONS)
def test_what_is_no_index_of_the_array_is_refused(op: str, token: str) -> None:
    array = {"k": [0, 1] if op == "add" else [0, 1, 2]}  # 3 is the first index that does not exist
    operation = {"op": op, "path": f"/k/{token}", "from": f"/k/{token}", "value": 0}
    if op in ("copy", "move"):
        operation["path"] = "/x"
    assert refusal(array, operation).operation == 0


def test_an_index_of_thousands_of_digits_is_refused() -> None:
    refusal([1], {"op": "test", "path": "/" + "9" * 10_000, "value": 1})


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/k/-"},
        {"op": "replace", "path": "/k/-", "value": 0},
        {"op": "test", "path": "/k/-", "value": 0},
        {"op": "copy", "from": "/k/-", "path": "/x"},
        {"op": "move", "from": "/k/-", "path": "/x"},
        {"op": "add", "path": "/k/-/0", "value": 0},
    ],
    ids=lambda operation: str(operation["op"]),
)
def test_the_place_after_an_array_is_for_adding_only(operation: Json) -> None:
    assert refusal({"k": [[1]]}, operation).operation == 0


def test_a_member_named_dash_is_a_member_like_others() -> None:
    operations = [
        {"op": "add", "path": "/-", "value": 1},
        {"op": "replace", "path": "/-", "value": 2},
        {"op": "test", "path": "/-", "value": 2},
        {"op": "copy", "from": "/-", "path": "/01"},
        {"op": "move", "from": "/01", "path": "/-1"},
        {"op": "remove", "path": "/-"},
    ]
    assert patched({}, operations) == {"-1": 2}


def test_escapes_are_resolved_once_and_in_the_right_order() -> None:
    operations = [{"op": "replace", "path": f"/{token}", "value": token} for token in ("~01", "~0", "~1", "")]
    expected = {"~1": "~01", "~": "~0", "/": "~1", "": ""}
    assert patched(dict.fromkeys(expected), operations) == expected


@pytest.mark.parametrize("path", ["/~2", "/~", "/a~", "k", "#/k", "/k/~x"])
def test_a_malformed_pointer_is_refused(path: str) -> None:
    assert refusal({"k": {}}, {"op": "add", "path": path, "value": 0}).operation == 0


# --- the whole document --------------------------------------------------------------------------


@pytest.mark.parametrize("document", [{"k": 1}, [1], "text", 1, None])
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": ""},
        {"op": "copy", "from": "", "path": "/k"},
        {"op": "copy", "from": "", "path": ""},
        {"op": "move", "from": "", "path": "/k"},
        {"op": "move", "from": "", "path": ""},
    ],
    ids=lambda operation: f"{operation['op']}-to-{operation['path'] or 'root'}",
)
def test_the_whole_document_cannot_be_removed_copied_or_moved(document: Json, operation: Json) -> None:
    assert "whole document" in refusal(document, operation).reason


@pytest.mark.parametrize("document", [{"k": 1}, [1], "text", 1, None])
@pytest.mark.parametrize("value", [{}, [], "x", None])
@pytest.mark.parametrize("op", ["add", "replace"])
def test_the_whole_document_can_be_replaced_whatever_it_is(op: str, document: Json, value: Json) -> None:
    assert patched(document, [{"op": op, "path": "", "value": value}]) == value


def test_a_part_can_become_the_whole_document() -> None:
    assert patched({"k": [1, {"x": 2}]}, [{"op": "move", "from": "/k/1", "path": ""}]) == {"x": 2}
    assert patched({"k": [1, {"x": 2}]}, [{"op": "copy", "from": "/k", "path": ""}]) == [1, {"x": 2}]


# --- move ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "path"), [("/a", "/a/b"), ("/a", "/a/b/c"), ("/list/0", "/list/0/x"), ("/list/0", "/list/0/-")]
)
def test_a_value_cannot_be_moved_into_itself(source: str, path: str) -> None:
    document = {"a": {"b": {}}, "list": [{}, {}]}
    assert "into itself" in refusal(document, {"op": "move", "from": source, "path": path}).reason


def test_a_name_that_begins_like_another_is_not_its_child() -> None:
    assert patched({"a": 1}, [{"op": "move", "from": "/a", "path": "/ab"}]) == {"ab": 1}


def test_a_move_removes_before_it_adds() -> None:
    assert patched([1, 2, 3], [{"op": "move", "from": "/0", "path": "/2"}]) == [2, 3, 1]
    assert refusal([1, 2, 3], {"op": "move", "from": "/0", "path": "/3"}).operation == 0


def test_a_move_to_its_own_place_still_needs_a_value_there() -> None:
    assert patched({"k": 1}, [{"op": "move", "from": "/k", "path": "/k"}]) == {"k": 1}
    assert refusal({"k": 1}, {"op": "move", "from": "/x", "path": "/x"}).operation == 0


# --- operations that are none --------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        None,
        1,
        "add",
        [],
        ["op", "path"],
        {},
        {"op": "add", "value": 1},
        {"path": "/k", "value": 1},
        {"op": None, "path": "/k"},
        {"op": ["add"], "path": "/k", "value": 1},
        {"op": {}, "path": "/k", "value": 1},
        {"op": "spam", "path": "/k"},
        {"op": "ADD", "path": "/k", "value": 1},
        {"op": "append", "path": "/k", "value": "x"},
        {"op": "add", "path": None, "value": 1},
        {"op": "add", "path": 1, "value": 1},
        {"op": "add", "path": ["k"], "value": 1},
        {"op": "add", "path": "/k"},
        {"op": "replace", "path": "/k"},
        {"op": "test", "path": "/k"},
        {"op": "copy", "path": "/x"},
        {"op": "move", "path": "/x"},
        {"op": "copy", "from": None, "path": "/x"},
        {"op": "copy", "from": 1, "path": "/x"},
        {"op": "move", "from": 1, "path": "/x"},
        {"op": "move", "from": ["k"], "path": "/x"},
    ],
    ids=str,
)
def test_a_malformed_operation_is_a_patch_error_with_its_index(operation: Json) -> None:
    assert refusal({"k": None}, {"op": "test", "path": "/k", "value": None}, operation).operation == 1


def test_members_that_the_rfc_does_not_know_are_ignored() -> None:
    assert patched({"k": 1}, [{"op": "remove", "path": "/k", "value": 2, "note": []}]) == {}


# --- what an operator reads ----------------------------------------------------------------------


def test_the_error_says_which_operation_failed_and_why() -> None:
    error = refusal({"k": 1}, {"op": "remove", "path": "/k"}, {"op": "replace", "path": "/k/x", "value": 1})
    assert (error.operation, error.reason) == (1, "replace /k/x: 'k' does not exist")


def test_the_reason_is_one_short_line_without_the_document() -> None:
    document = {"secret": "s" * 10_000, "list": ["s" * 10_000]}
    for path in ("/" + "p" * 10_000 + "/x", "/none\n\x1b[31m/x", "/secret/0", "/list/5"):
        for op in ("add", "remove", "replace", "test"):
            reason = refusal(document, {"op": op, "path": path, "value": {"s" * 10_000: 1}}).reason
            assert len(reason) <= 200
            assert reason.isprintable()
            assert "sss" not in reason


# --- all or nothing, and nothing shared ----------------------------------------------------------


def test_a_failing_patch_leaves_nothing_of_itself_behind() -> None:
    refusal(
        {"a": 1, "list": [1, 2]},
        {"op": "add", "path": "/b", "value": 2},
        {"op": "remove", "path": "/list/0"},
        {"op": "remove", "path": "/none"},
    )


def test_later_operations_do_not_alter_the_values_of_earlier_ones() -> None:
    operations = [
        {"op": "add", "path": "/x", "value": {"list": [1]}},
        {"op": "add", "path": "/x/list/-", "value": 2},
        {"op": "replace", "path": "/y", "value": {"list": [1]}},
        {"op": "add", "path": "/y/list/-", "value": 2},
        {"op": "test", "path": "/x", "value": {"list": [1, 2]}},
    ]
    before = copy.deepcopy(operations)
    for _ in range(2):  # the same operations mean the same the second time
        assert patched({"y": 0}, operations) == {"x": {"list": [1, 2]}, "y": {"list": [1, 2]}}
    assert operations == before


def test_the_result_shares_no_container_with_document_or_operations() -> None:
    document = {"a": {"b": [{}]}, "untouched": {"deep": [[]]}}
    operations = [
        {"op": "add", "path": "/new", "value": {"x": [[]]}},
        {"op": "copy", "from": "/a", "path": "/copied"},
        {"op": "move", "from": "/a", "path": "/moved"},
    ]
    result = patched(document, operations)
    ids = list(containers(result))
    assert len(ids) == len(set(ids))
    assert not set(ids) & {*containers(document), *containers(operations)}


def test_an_empty_patch_changes_nothing() -> None:
    document = {"a": [1]}
    assert patched(document, []) == document


def test_a_value_that_cannot_be_decoded_when_it_is_reached_is_no_fault_of_the_operation() -> None:
    working = patch.Working({"a": Raw(b"1E+9999999999999999999")})
    with pytest.raises(patch.PatchError) as caught:
        working.apply([{"op": "test", "path": "/a", "value": 1}])
    assert caught.value.operation is None
    assert caught.value.reason == "the document cannot be decoded: a number's exponent is out of range"
