"""The code says which steps of the model of the write order it takes: a step of another name is no step."""

import re
from typing import Final

from tests.docs.shell import ROOT
from tests.support.write_order.steps import STEPS

_NAMED: Final = re.compile(r"In the model: ([^.]+)\.")
_NAME: Final = re.compile(r"[a-z]+_?[a-z]*(?:_[a-z]+)*")
_WORDS: Final = {"then", "or"}


def named() -> set[str]:
    """Every step that a docstring of the program names."""
    texts = (path.read_text() for path in (ROOT / "src").rglob("*.py"))
    names = " ".join(match for text in texts for match in _NAMED.findall(text))
    return set(_NAME.findall(names)) - _WORDS


def test_each_step_that_the_code_names_is_one_of_the_model() -> None:
    assert named() - STEPS.keys() == set()


def test_the_steps_that_write_to_opensearch_are_named_where_they_are_done() -> None:
    """Else the model checks an order that no reader of the code finds there."""
    of_the_pass = {"read", "refresh", "post", "accept", "record_request", "cancel_request", "check_count"}
    assert STEPS.keys() - of_the_pass - named() == set()
