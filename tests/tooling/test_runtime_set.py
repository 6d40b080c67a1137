"""What `make dist` makes, with the run-time set alone in a fresh environment, is enough to start and work."""

import os
import re
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

from tests.tooling.test_tree import texts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes: the source archive, and the wheel that is made from it."""
    folder = tmp_path_factory.mktemp("dist")
    # By the locked backend of the environment that the tests run in.
    _run(ROOT, sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """The `bin` folder of a fresh environment with requirements/runtime.txt and ctisync's wheel, no more."""
    folder = tmp_path_factory.mktemp("runtime")
    (wheel,) = built.glob("ctisync-*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    _pip(python, "install", "--require-hashes", "--requirement", str(ROOT / "requirements" / "runtime.txt"))
    _pip(python, "install", "--no-deps", "--no-index", str(wheel))
    return python.parent


def version(built: Path) -> str:
    (wheel,) = built.glob("ctisync-*.whl")
    return wheel.name.split("-")[1]


def test_the_source_archive_holds_all_that_is_needed_to_build_and_test(built: Path) -> None:
    (archive,) = built.glob("ctisync-*.tar.gz")
    with tarfile.open(archive) as opened:
        content = {name.partition("/")[2] for name in opened.getnames()}
    folders = {name for name in texts() if "/" in name and not name.startswith(".ci/")}
    files = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md"}
    files |= {"mkdocs.yml", "pyproject.toml"}
    assert (folders | files) - content == set()


def test_the_command_starts_with_nothing_but_the_run_time_set(
    built: Path, installed: Path, tmp_path: Path
) -> None:
    lines = _run(tmp_path, str(installed / "ctisync"), "--version").splitlines()
    assert lines[0] == f"ctisync {version(built)}"
    assert {line.split()[0] for line in lines} >= {"Python", "SQLite", "httpx", "msgspec", "opensearch-py"}
    assert all(re.fullmatch(r"[\w.-]+ [\w.+-]+", line) for line in lines)


def test_the_manual_lies_where_man_looks_for_it_and_where_help_says(installed: Path, tmp_path: Path) -> None:
    there = installed.parent / "share" / "man" / "man1" / "ctisync.1"
    assert _run(tmp_path, str(installed / "ctisync"), "help", "--man") == f"{there}\n"
    assert there.read_text() == (ROOT / "docs" / "man" / "ctisync.1").read_text()


def test_the_examples_come_along(installed: Path, tmp_path: Path) -> None:
    _run(tmp_path, str(installed / "ctisync"), "examples", "--output", "examples")
    content = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert content == {
        path.name: path.read_text() for path in (ROOT / "examples").rglob("*") if path.is_file()
    }
    assert content


def test_python_dash_m_is_the_same_command(built: Path, installed: Path, tmp_path: Path) -> None:
    assert version(built) in _run(tmp_path, str(installed / "python"), "-m", "ctisync", "--version")


def test_the_demo_passes_with_nothing_but_the_run_time_set(installed: Path, tmp_path: Path) -> None:
    _run(tmp_path, str(installed / "ctisync"), "demo")


def test_every_package_that_the_project_names_is_in_the_run_time_set(installed: Path) -> None:
    assert _pip(installed / "python", "check").strip() == "No broken requirements found."


def test_type_checkers_of_other_projects_see_the_types(installed: Path, tmp_path: Path) -> None:
    """The installed package carries the marker of PEP 561."""
    where = _run(tmp_path, str(installed / "python"), "-c", "import ctisync; print(ctisync.__file__)")
    assert Path(where.strip()).with_name("py.typed").is_file()


def _pip(python: Path, *arguments: str) -> str:
    return _run(ROOT, str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments)


def _run(folder: Path, *command: str) -> str:
    """Standard output of a command that must succeed, run away from the sources and with an empty HOME."""
    environment = {**os.environ, "HOME": str(folder)} if folder != ROOT else dict(os.environ)
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done.stdout
