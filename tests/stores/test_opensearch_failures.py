"""What a node or a proxy says of a failure, read part by part: one odd part does not hide the others."""

from contextlib import closing
from typing import Any

import msgspec
import pytest

from ctisync.backends import StoreSettings
from ctisync.stores.opensearch.refusals import Problem
from ctisync.stores.opensearch.transport import HttpTransport
from ctisync.tls import Files
from tests.support.http_proxy import Answer, http_proxy

FULL = "cluster_block_exception"
WHY = "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood"


def problem_in(answer: Any) -> Problem:
    with http_proxy(None) as node:
        node.intercept = lambda _: Answer(429, msgspec.json.encode(answer))
        with closing(HttpTransport([node.url], Files("store"), StoreSettings(), 60)) as transport:
            return transport.send("PUT", "/x", None, 60).problem


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"type": FULL, "reason": WHY}},
        {"error": {"type": FULL, "reason": WHY, "caused_by": None}},
        {"error": {"type": FULL, "reason": WHY, "caused_by": "the disk"}},
        {"error": {"type": FULL, "reason": WHY, "caused_by": {"type": "x"}}},
        {"error": {"type": FULL, "reason": WHY}, "failures": "several"},
        {"error": {"type": FULL, "reason": WHY}, "failures": [7, {"cause": 7}]},
        {"failures": [{"cause": {"type": FULL, "reason": WHY}}, 7]},
        {"error": None, "failures": [{"cause": {"type": FULL, "reason": WHY}}]},
    ],
)
def test_a_block_is_one_whatever_else_the_answer_says(answer: dict[str, Any]) -> None:
    """A pass would wait for what does not pass by itself, and not say what lifts it."""
    problem = problem_in(answer)
    assert problem.is_block
    assert str(problem) == f"{FULL}: {WHY}"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"error": "too busy"}, "too busy"),
        ({"error": 7}, "7"),
        ({"error": ["too", "busy"]}, "['too', 'busy']"),
        ({"error": {"type": "x", "reason": 7}}, "x: 7"),
        ({"error": {"type": "x", "reason": None}}, "x"),
        ({"error": {"type": None, "reason": "too busy"}}, "too busy"),
        ({"error": {"type": "x", "reason": "y", "caused_by": {"reason": "z"}}}, "x: y: z"),
        ({"failures": [{"cause": "too busy"}]}, "too busy"),
        ({"failures": []}, "no reason given"),
        ({"error": {}}, "no reason given"),
        ({}, "no reason given"),
        ([], "no reason given"),
    ],
)
def test_what_is_said_of_a_failure_is_shown(answer: Any, text: str) -> None:
    assert str(problem_in(answer)) == text
