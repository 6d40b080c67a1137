"""docs/performance.md shows what docs/performance.json holds, in its tables and in its picture."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from xml.sax.saxutils import unescape

import pytest

from bench.__main__ import COMMANDS, LONG
from bench.page.making import COMMANDS as PAGE_COMMANDS
from bench.page.results import PAGE, SETS, Page, read
from bench.page.text import filled, places
from tests.docs import page
from tests.docs.shell import ROOT

RESULTS = read(PAGE)
TEXT = PAGE.text.read_text()


def picture(results: dict[str, Any]) -> str:
    from bench.page.picture import picture  # each worker would import its large library, for these tests

    return picture(results)


def test_every_table_of_the_page_is_what_the_figures_say() -> None:
    assert filled(TEXT, RESULTS) == TEXT, "python -m bench picture"
    assert set(places(TEXT)) >= set(SETS)


def test_the_picture_is_what_the_figures_say() -> None:
    assert picture(RESULTS) == PAGE.picture.read_text(), "python -m bench picture"


def test_the_picture_follows_the_figures() -> None:
    assert picture(slower(RESULTS)) != PAGE.picture.read_text()


def slower(results: dict[str, Any]) -> dict[str, Any]:
    """With another time for the largest load into SQLite."""
    stores = results["scale"]["stores"]
    sizes = stores["sqlite"]["sizes"]
    last = list(sizes)[-1]
    load = sizes[last]["load"]
    other = sizes | {last: sizes[last] | {"load": load | {"seconds": load["seconds"] * 2}}}
    sqlite = stores["sqlite"] | {"sizes": other}
    return results | {"scale": results["scale"] | {"stores": stores | {"sqlite": sqlite}}}


def test_the_picture_needs_nothing_beside_it_and_runs_nothing() -> None:
    svg = PAGE.picture.read_text()
    elements = list(ET.fromstring(svg).iter())  # noqa: S314  # our own file
    assert {element.tag.rpartition("}")[2] for element in elements} <= {
        *("svg", "defs", "style", "g", "path", "use", "text", "tspan", "clipPath", "rect"),
    }
    references = [
        value
        for element in elements
        for name, value in element.attrib.items()
        if name.rpartition("}")[2] in {"href", "src"}
    ]
    assert references
    assert [each for each in references + re.findall(r"url\((.*?)\)", svg) if not each.startswith("#")] == []
    assert re.search(r"<!DOCTYPE|<!ENTITY|@import| on\w+=", svg) is None


def test_the_picture_names_its_axes_and_every_store() -> None:
    words = unescape(" ".join(re.findall(r"<text[^>]*>(.*?)</text>", PAGE.picture.read_text())))
    for word in ("records, thousands", "seconds", "peak memory", "SQLite", "one node", "three nodes"):
        assert word in words


@pytest.mark.parametrize("name", SETS)
def test_each_set_of_figures_says_when_and_on_what_it_was_measured(name: str) -> None:
    result = RESULTS[name]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", result["date"])
    assert result["cores"] > 0
    assert result["records"] > 0
    assert isinstance(result["idle"], bool)


def test_figures_of_a_busy_machine_are_marked() -> None:
    busy, idle = (filled(TEXT, with_idle(idle=idle)) for idle in (False, True))
    assert busy.count("a placeholder, not a result") == len(places(TEXT))
    assert "placeholder" not in idle


def with_idle(*, idle: bool) -> dict[str, Any]:
    return {name: result | {"idle": idle} for name, result in RESULTS.items()}


def test_a_set_that_is_measured_anew_is_what_the_page_then_shows_and_the_others_stay(tmp_path: Path) -> None:
    for file in (PAGE.results, PAGE.text, PAGE.picture):
        shutil.copy(file, tmp_path)
    size = ["--sizes", "20,60", "--stores", "sqlite", "--pairs", "1", "--folder", str(tmp_path / "data")]
    subprocess.run(
        [sys.executable, "-m", "bench", "performance", "--sets", "scale", "--page", str(tmp_path), *size],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    anew = Page(tmp_path)
    results = read(anew)
    assert results["scale"]["sizes"] == [20, 60]
    assert results | {"scale": RESULTS["scale"]} == RESULTS
    assert anew.text.read_text() == filled(TEXT, results)
    assert anew.picture.read_text() == picture(results)


def test_the_pages_commands_exist() -> None:
    targets = {*COMMANDS, *LONG, *PAGE_COMMANDS}
    lines = "".join(block.text for block in page.blocks(TEXT, "sh")).splitlines()
    shown = [re.findall(r"BENCH=([\w-]+)", line) for line in lines]
    assert shown
    assert [names for names in shown if len(names) != 1 or names[0] not in targets] == []
    assert all(name in (ROOT / "Makefile").read_text() for name in ("performance", "picture", "scale"))
