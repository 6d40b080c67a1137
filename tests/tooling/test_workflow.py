"""What others run, and what contributors are told to type, are targets that there are."""

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))


def test_the_workflow_and_the_pages_call_targets_of_the_makefile() -> None:
    named = {
        name: set(re.findall(r"\bmake ([a-z-]+)", (ROOT / name).read_text()))
        for name in (".github/workflows/ci.yml", ".pre-commit-config.yaml", "CONTRIBUTING.md")
    }
    assert all(named.values())
    assert {name: targets - TARGETS for name, targets in named.items() if targets - TARGETS} == {}


def test_the_workflow_begins_with_the_oldest_python_that_is_supported() -> None:
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    tried = re.search(r"python: \[(.*)\]", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert oldest is not None
    assert tried is not None
    assert tried[1].split(", ")[0] == f'"{oldest[1]}"'


def test_a_tree_with_changes_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    git, make = shutil.which("git"), shutil.which("make")
    assert git is not None
    assert make is not None
    subprocess.run([git, "init", "-q", str(tmp_path)], check=True)
    result = subprocess.run(
        [make, "-C", str(tmp_path), "release-check"], capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "changes that are not committed" in result.stdout


def test_where_nothing_can_be_fuzzed_the_error_comes_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    make = shutil.which("make")
    assert make is not None
    result = subprocess.run(
        [make, "-C", str(tmp_path), "fuzz", "PYTHON=false"], capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "Linux on x86-64 and Python 3.11 to 3.13; 'false' is:" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_the_files_of_the_worked_example_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    example = text.split("## A new command")[1].split("\n## ")[0]
    named = re.findall(r"`((?:core|commands|cli|tests)/[\w/]+\.py)`", example)
    assert len(named) >= 5
    places = [ROOT / name if name.startswith("tests/") else ROOT / "src" / "ctisync" / name for name in named]
    assert [str(place) for place in places if not place.exists()] == []


def test_no_action_changes_because_somebody_has_moved_a_tag() -> None:
    used = re.findall(r"(?m)^\s*(?:- )?uses: *(.*)$", WORKFLOW)
    assert used
    pinned = r"[\w-]+/[\w/-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+"
    assert [each for each in used if not re.fullmatch(pinned, each)] == []


def test_what_runs_there_can_alter_nothing_in_the_repository() -> None:
    granted = re.findall(r"(?m)^permissions:\n((?:  .*\n)+)", WORKFLOW)
    assert granted == ["  contents: read\n"]
    assert not re.search(r"(?m)^\s+permissions:", WORKFLOW), "a job of its own"
    assert WORKFLOW.count("persist-credentials: false") == WORKFLOW.count("actions/checkout@")
