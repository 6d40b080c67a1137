"""docs/install.md says of hosts what packages are made for; tests/packages types what it shows."""

import re
from pathlib import Path

from tests.docs import page
from tests.tooling.test_tree import ROOT
from tools.package_tree import PYTHONS

PAGE = (ROOT / "docs" / "install.md").read_text()


def test_each_block_of_the_page_is_typed_by_a_test() -> None:
    typed = "".join(path.read_text() for path in Path(ROOT, "tests", "packages").glob("*.py"))
    blocks = [block.names for block in page.blocks(PAGE, "sh")]
    assert len(blocks) > 5
    assert [names for names in blocks if f'lines_of("{names[0]}")' not in typed.replace("'", '"')] == []


def test_the_readme_shows_the_commands_of_the_page() -> None:
    section = (ROOT / "README.md").read_text().split("## Install it\n")[1]
    (block, *_) = page.blocks(section, "sh")
    shown = [re.split(r" +#", line)[0] for line in block.text.splitlines()]
    assert len(shown) == 3
    assert [line for line in shown if f"| `{line}` |" not in PAGE] == []


def test_the_table_of_hosts_names_only_pythons_that_packages_have_libraries_for() -> None:
    table = PAGE.split("| host | Python | tested |\n|---|---|---|\n")[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    named = {python for row in rows for python in re.findall(r"3\.\d+", row[1].partition(" beside")[0])}
    assert named == set(PYTHONS)
    suites = {"Debian 12": "bookworm", "Debian 13": "trixie"}
    tried = {row[0] for row in rows if row[2].startswith("yes")}
    assert tried == set(suites)
    test = (ROOT / "tests" / "packages" / "test_deb.py").read_text()
    assert [suite for suite in suites.values() if f'"{suite}": "3.' not in test] == []
