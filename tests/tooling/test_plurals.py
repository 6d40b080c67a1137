"""One record is no "1 records": an amount that may be one is written by `core.words.counted`."""

import re
from pathlib import Path
from typing import Final

import ctisync

SOURCES: Final = Path(ctisync.__file__).parent

_NOUNS: Final = (
    "tries|items|lines|values|entries|elements|operations|passes|nodes|documents|shards|changes|offsets|records"
    "|members|files|attempts|times|differences|findings|notes|consumers|days|hours|minutes|seconds|generations"
)
_AMOUNT: Final = re.compile(rf"\{{([^{{}}]+)\}}('s)? (more )?(?:{_NOUNS})\b")

MORE_THAN_ONE: Final = {
    "limits.json_values": "a limit",
    "self.limits.json_values": "the same",
    "_REPLIES": "4",
    "members": "a limit",
    "len(operations)": "more than a limit",
    "MAX_RANGE": "1000",
    "RECORDS:,": "3000",
    "_CONFLICTS": "more than one",
    "len(targets)": "the same",
    "number": "of the nodes that are listed, some are not heard of",
    "times": "told when it is more than one",
    "length // timedelta(minutes=1):,": "more than one: a clock that is off by less is right",
    "state.owed.attempts": "less than 0",
    "state.behind": "as status --check has it",
}


def amounts() -> dict[str, list[str]]:
    lines: dict[str, list[str]] = {}
    for path in sorted(SOURCES.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for amount in _AMOUNT.finditer(line):
                lines.setdefault(amount[1], []).append(f"{path.name}:{number}: {line.strip()}")
    return lines


def test_no_amount_that_may_be_one_has_a_fixed_plural() -> None:
    assert {amount: where for amount, where in amounts().items() if amount not in MORE_THAN_ONE} == {}


def test_no_exception_is_left_over() -> None:
    assert MORE_THAN_ONE.keys() - amounts().keys() == set()
