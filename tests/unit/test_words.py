"""Amounts as people write them."""

import pytest

from ctisync.core.words import counted, lasting, noun_for


def test_one_is_one() -> None:
    assert [counted(number, "record") for number in (0, 1, 2, 1234)] == [
        "0 records",
        "1 record",
        "2 records",
        "1,234 records",
    ]
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(2, "entry", "entries") == "2 entries"
    assert (noun_for(1, "pass", "passes"), noun_for(3, "pass", "passes")) == ("pass", "passes")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.1 s"),
        (0.42, "0.4 s"),
        (0.94, "0.9 s"),
        (0.95, "1 s"),
        (3.4, "3 s"),
        (119.4, "119 s"),
        (119.5, "2 min"),
        (7169, "119 min"),
        (7170, "2.0 h"),
        (5_400_000, "1,500.0 h"),
    ],
)
def test_how_long_is_as_exact_as_a_person_wants_it(seconds: float, text: str) -> None:
    assert lasting(seconds) == text
