"""What the tree never holds: places of one machine or registry, and files too long for one sitting."""

import ast
import re
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LINES = 400
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

# Put together here, so that this file does not match itself.
REGISTRIES = ["py" + "pi.org", "python" + "hosted.org", "repo1." + "maven", "repo." + "maven", "maven2" + "/"]
MACHINE_PATHS = ["/" + "work/", "/" + "root/", "/opt/" + "wheels", "." + "pyenv"]


def texts() -> dict[str, str]:
    """Path and text of every file of the project; what builds and tests leave behind is none."""
    paths = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".coverage")]
    for folder in ("src", "tests", "bench", "tools", "docs", "examples", "packages", "requirements", ".ci"):
        paths += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(ROOT)): path.read_text(errors="replace")
        for path in paths
        if "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }


def holders(words: list[str]) -> list[str]:
    return [f"{name}: {word}" for name, text in texts().items() for word in words if word in text.lower()]


def test_no_file_names_a_package_registry() -> None:
    assert holders(REGISTRIES) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert holders(MACHINE_PATHS) == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_file_installs_from_whatever_registry_the_machine_is_set_up_with(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"(?m)^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)\b", text)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_of_a_lock_file_carries_hashes(lock: Path) -> None:
    pins = [pin for pin in lock.read_text().replace("\\\n", " ").splitlines() if re.match(r"\w", pin)]
    assert pins
    assert [pin for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_what_is_tested_is_what_is_installed() -> None:
    """Every run-time pin stands in the development lock with the same version."""
    pinned = {lock.stem: dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", lock.read_text())) for lock in LOCKS}
    assert pinned["runtime"]
    assert pinned["runtime"].items() <= pinned["dev"].items()


def test_every_source_file_can_be_read_in_one_sitting() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "src").rglob("*.py")}
    assert lengths
    assert {str(path.relative_to(ROOT)): count for path, count in lengths.items() if count > LINES} == {}


def in_functions(tree: ast.AST) -> Iterator[ast.expr]:
    """What the functions of a module call."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda))
    return (node.func for each in functions for node in ast.walk(each) if isinstance(node, ast.Call))


def test_no_decoder_is_built_by_a_function_where_two_threads_could_build_it_at_once_and_die() -> None:
    """msgspec keeps what it knows of a type beside the type, and builds that with the first decoder. ruff
    forbids the calls that build one in passing (`msgspec.json.decode`, `msgspec.convert`)."""
    trees = {path: ast.parse(path.read_text()) for path in (ROOT / "src").rglob("*.py")}
    built = [
        ast.unparse(call.func)
        for tree in trees.values()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
    ]
    assert built.count("msgspec.json.Decoder") > 10, "nothing is looked at"

    late = {
        path.name
        for path, tree in trees.items()
        for call in in_functions(tree)
        if "Decoder" in ast.unparse(call)
    }

    assert late == set()


def test_what_a_package_asks_for_with_extras_is_locked_with_them() -> None:
    """Else pip looks for the newest version of those, and fails as soon as one has no hash here."""
    locked = {
        requirement.name: requirement.extras
        for line in re.findall(
            r"^([^\s#]\S*)==", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE
        )
        for requirement in [Requirement(line)]
    }
    requested = {
        (requirement.name, extra)
        for installed in distributions()
        for requirement in map(Requirement, installed.requires or [])
        if requirement.name in locked
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
        for extra in requirement.extras
    }
    assert {(name, extra) for name, extra in requested if extra not in locked[name]} == set()
    assert ("coverage", "toml") in requested, "nothing is looked at"
