"""Each kind of finding: its name, the check that makes it, how much it weighs, and what to type."""

import re
from pathlib import Path
from typing import get_args

from ctisync.core.findings import Check, Kind, Weight

PAGE = (Path(__file__).parents[2] / "docs" / "verify.md").read_text()

CHECKS = {
    "store": "STORE",
    "state": "STATE",
    "command": "COMMAND",
    "settings": "SETTINGS",
    "generations": "GENERATION",
    "writers": "WRITER",
    "count": "COUNT",
    "offsets": "OFFSET",
    "records": "RECORD",
    "deep": "PAYLOAD",
    "against": "AGAINST",
}


def test_each_kind_is_in_the_table_with_its_weight() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE.partition("| kind | finding |")[2], re.MULTILINE)
    listed = dict(re.findall(r"`([a-z-]+)`( \(note\))?", " ".join(rows)))
    assert {kind.label: " (note)" * (kind.weight == "note") for kind in Kind}.items() <= listed.items()


def test_a_kind_belongs_to_the_check_that_its_name_begins_with() -> None:
    assert {kind.check: kind.name.partition("_")[0] for kind in Kind} == CHECKS
    assert set(get_args(Check)) == set(CHECKS)
    assert {kind.weight for kind in Kind} == set(get_args(Weight))


def test_what_to_type_is_a_command_that_mends_it_or_looks_again() -> None:
    again = {kind.label for kind in Kind if "ctisync verify" in kind.hint}
    assert again == {"store-hidden", "writer-at-work", "writer-unknown"}
    anew = {kind.label for kind in Kind if "ctisync init-snapshot" in kind.hint}
    assert {kind.label for kind in Kind if kind.weight == "difference"} - anew == {
        "store-damaged",
        "store-schema",
        "store-orphans",
        "generation-stray",
        "writer-dead",
    }
    assert all("ctisync sync" in kind.hint for kind in Kind if kind.label not in anew | again)
