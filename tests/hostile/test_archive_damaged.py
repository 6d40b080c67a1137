"""T7: every file cut at each percent, and bytes flipped: refused without a trace, or loaded exactly.

A ZIP has a directory at its end and a CRC: a damaged one is refused, or the damage lies where nothing depends
on it. NDJSON and a JSON array have neither. What can be noticed there is noticed: a line or element that is
no record, a bracket that is missing. What cannot: a cut between two lines (a download is held against the
length that the server tells), and another letter within a text. Then what is stored is what the file says.
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from ctisync.feed.snapshot import records as archive
from ctisync.stores.sqlite import writer as sqlite_writer
from tests.feed.crafted_zip import MEMBER
from tests.hostile import lines
from tests.hostile.assertions import in_order
from tests.hostile.loading import OFFSET, Loading
from tests.support.feed_simulator import zipped
from tests.support.figures import figure
from tests.support.records import comparable, made_up

LIVE: Final = tuple(each.line for each in made_up(12, first_offset=300))
"""What stands there before."""

LINES: Final = lines.GOOD
FLIPS: Final = {"ZIP": 400, "NDJSON": 100, "array": 100}

FORMS: Final[dict[str, Callable[[list[bytes]], bytes]]] = {
    "ZIP": lambda texts: zipped({MEMBER: lines.ndjson(texts)}),
    "NDJSON": lines.ndjson,
    "array": lines.array,
}


@pytest.fixture
def loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loading:
    monkeypatch.setattr(archive, "_BATCH_BYTES", 4096)  # so that much is written before the damage is met
    monkeypatch.setattr(sqlite_writer, "PACKED_AT_ONCE", 4096)
    monkeypatch.setattr(sqlite_writer, "WRITTEN_AT_ONCE", 1)
    return Loading(tmp_path, FORMS["NDJSON"]([*LIVE]))


def judge(loading: Loading, form: str, damaged: bytes, ends: Counter[str]) -> None:
    before = loading.stored()
    refused = loading.load(damaged)
    after = loading.stored()
    if refused is not None:
        assert "\n" not in refused.message
        assert after == before
        ends["refused"] += 1
        return
    stored, offset = after
    assert (offset, stored.generations, stored.rows) == (OFFSET, 1, len(stored.exported))
    assert tuple(line for _, _, line in stored.view) == stored.exported
    if stored.exported == in_order(LINES):
        ends["loaded whole"] += 1
    else:
        assert form != "ZIP", "its CRC is right, so its lines must be, too"
        expected = in_order(read_otherwise(form, damaged))
        assert [*map(comparable, stored.exported)] == [*map(comparable, expected)]
        assert form == "array" or stored.exported == expected
        ends["loaded as the file says"] += 1
    assert loading.load(FORMS["NDJSON"]([*LIVE])) is None


def read_otherwise(form: str, content: bytes) -> list[bytes]:
    """The records of a file without a CRC, by another reading: every line that is not blank, every element.

    Of several with one name the one with the highest offset counts.
    """
    if form == "array":
        texts = [json.dumps(each, ensure_ascii=False).encode() for each in json.loads(content.decode())]
    else:
        texts = [line.strip(b" \t\r") for line in content.split(b"\n") if line.strip(b" \t\r")]
    records: dict[str, bytes] = {}
    for line in texts:
        head = json.loads(line.decode())
        assert isinstance(head["payload"], dict)
        assert 0 <= head["offset"] <= OFFSET
        if head["name"] not in records or json.loads(records[head["name"]])["offset"] < head["offset"]:
            records[head["name"]] = line
    return list(records.values())


@pytest.mark.parametrize("form", FORMS)
def test_cut_at_each_percent_it_is_refused(loading: Loading, form: str) -> None:
    whole = FORMS[form]([*LINES])
    ends = Counter[str]()
    for percent in range(100):
        judge(loading, form, whole[: len(whole) * percent // 100], ends)
    assert ends == {"refused": 100}
    figure(f"T7 cut at each percent, {form}: {summary(ends)}, 0 loaded")


@pytest.mark.parametrize("place", ["before a newline", "behind a newline"])
def test_a_cut_between_two_lines_cannot_be_noticed_and_gives_those_before_it(
    loading: Loading, place: str
) -> None:
    """In a given file. The feed's snapshots are ZIPs, and a download is as long as the server says."""
    cut = sum(len(line) + 1 for line in LINES[:23]) - (place == "before a newline")
    ends = Counter[str]()
    judge(loading, "NDJSON", FORMS["NDJSON"]([*LINES])[:cut], ends)
    assert ends == {"loaded as the file says": 1}


@pytest.mark.parametrize("form", FORMS)
def test_with_a_byte_flipped_it_is_refused_or_loaded_exactly(loading: Loading, form: str) -> None:
    whole = FORMS[form]([*LINES])
    chance = random.Random(31)
    ends = Counter[str]()
    for _ in range(FLIPS[form]):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= chance.randrange(1, 256)
        judge(loading, form, bytes(damaged), ends)
    assert ends["refused"] > 0
    figure(f"T7 a byte flipped, {form}: {summary(ends)}, 0 wrongly")


def summary(ends: Counter[str]) -> str:
    return ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
