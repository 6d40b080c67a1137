"""The official JSON Patch suite: 99 cases as published, nine later ones retold, and 19 of a Rust package."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from ctisync.core import patch
from ctisync.core.model import Json
from tests.support.patches import patched
from tests.support.rfc6902 import meaning

SUITE_FOLDER = Path(__file__).parent.parent / "data" / "json-patch-tests"

SUITE_RECORDS = 86
"""So many records of tests.json are the suite's; the others were added by the package that carries it."""

LATER: list[Json] = [
    {"comment": "an operation without path", "doc": {}, "patch": [{"op": "add", "value": 7}], "error": ""},
    {"comment": "path null", "doc": {}, "patch": [{"op": "add", "path": None, "value": 7}], "error": ""},
    {"comment": "path without /", "doc": {}, "patch": [{"op": "add", "path": "k", "value": 7}], "error": ""},
    {
        "comment": "replace under a parent that is missing",
        "doc": {"k": "v"},
        "patch": [{"op": "replace", "path": "/none/k", "value": True}],
        "error": "",
    },
    {
        "comment": "copy from where nothing is",
        "doc": {"k": 7},
        "patch": [{"op": "copy", "from": "/none", "path": "/k"}],
        "error": "",
    },
    {
        "comment": "move from where nothing is",
        "doc": {"k": 7},
        "patch": [{"op": "move", "from": "/none", "path": "/k"}],
        "error": "",
    },
    {
        "comment": "remove two levels below what is there",
        "doc": {"k": "v"},
        "patch": [{"op": "remove", "path": "/none/never"}],
        "error": "",
    },
    {
        "comment": "a copy, then its own inside altered",
        "doc": {"k": {"list": [{"deep": "old"}]}},
        "patch": [
            {"op": "copy", "from": "/k", "path": "/copy"},
            {"op": "replace", "path": "/copy/list/0/deep", "value": "new"},
        ],
        "expected": {"k": {"list": [{"deep": "old"}]}, "copy": {"list": [{"deep": "new"}]}},
    },
    {
        "comment": "a copy, then its origin's inside altered",
        "doc": {"k": {"list": [{"deep": "old"}]}},
        "patch": [
            {"op": "copy", "from": "/k", "path": "/copy"},
            {"op": "replace", "path": "/k/list/0/deep", "value": "new"},
        ],
        "expected": {"k": {"list": [{"deep": "new"}]}, "copy": {"list": [{"deep": "old"}]}},
    },
]


def read(name: str) -> list[Json]:
    text = (SUITE_FOLDER / name).read_text(encoding="utf-8")
    cases = json.loads(text, parse_float=Decimal)
    assert isinstance(cases, list)
    return cases


def enabled(origin: str, cases: list[Json]) -> list[Json]:
    return [
        pytest.param(case, id=f"{origin}-{number}-{case.get('comment', 'uncommented')}")
        for number, case in enumerate(cases)
        if not case.get("disabled")
    ]


SUITE = [
    *enabled("suite", read("tests.json")[:SUITE_RECORDS]),
    *enabled("rfc", read("spec_tests.json")),
    *enabled("later", LATER),
]
MORE = enabled("rust", read("tests.json")[SUITE_RECORDS:])


@pytest.mark.parametrize("case", SUITE + MORE)
def test_a_case_of_the_suite_ends_as_the_suite_says(case: Json) -> None:
    if "error" in case:
        with pytest.raises(patch.PatchError):
            patched(case["doc"], case["patch"])
    else:  # without "expected" a case consists of tests, which alter nothing
        result = patched(case["doc"], case["patch"])
        assert meaning(result) == meaning(case.get("expected", case["doc"]))


def test_the_whole_suite_is_run() -> None:
    assert (len(SUITE), len(MORE)) == (108, 19)
