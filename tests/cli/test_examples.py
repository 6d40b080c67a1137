"""The examples as `ctisync examples` hands them out: all of them, as they are, and over no other file."""

from pathlib import Path

import pytest

from tests.cli.conftest import Ctisync

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = {path.relative_to(EXAMPLES).as_posix(): path for path in EXAMPLES.rglob("*") if path.is_file()}


def texts_in(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def test_every_example_is_listed_with_what_it_is(ctisync: Ctisync) -> None:
    lines = ctisync.run("examples").stdout.splitlines()

    assert [line.split()[0] for line in lines] == sorted(FILES)
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_printed_as_it_is(ctisync: Ctisync, name: str) -> None:
    assert ctisync.run("examples", name).stdout == FILES[name].read_text()


def test_a_folder_is_printed_file_by_file(ctisync: Ctisync) -> None:
    printed = ctisync.run("examples", "systemd-timer").stdout
    for name, path in FILES.items():
        assert (f"# {name}\n{path.read_text()}" in printed) == name.startswith("systemd-timer/")


def test_all_of_them_are_written_as_they_lie_in_the_tree(ctisync: Ctisync, tmp_path: Path) -> None:
    ended = ctisync.run("examples", "--output", str(tmp_path / "new" / "folder"))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert texts_in(tmp_path / "new" / "folder") == {name: path.read_text() for name, path in FILES.items()}


def test_one_is_written_without_the_folder_that_it_lies_in(ctisync: Ctisync, tmp_path: Path) -> None:
    assert ctisync.run("examples", "crontab", "--output", str(tmp_path / "one")).returncode == 0
    assert ctisync.run("examples", "systemd-timer/", "--output", str(tmp_path / "several")).returncode == 0

    assert texts_in(tmp_path / "one").keys() == {"crontab"}
    units = {Path(name).name for name in FILES if name.startswith("systemd-timer/")}
    assert texts_in(tmp_path / "several").keys() == units


def test_nothing_is_written_when_one_of_the_files_is_there(ctisync: Ctisync, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    folder.mkdir()
    (folder / "ctisync.timer").write_text("mine")
    ended = ctisync.run("examples", "systemd-timer", "--output", str(folder))

    assert ended.returncode == 2
    assert f"{folder}/ctisync.timer already exists" in ended.stderr
    assert texts_in(folder) == {"ctisync.timer": "mine"}


def test_the_home_folder_is_the_place_that_a_tilde_means(ctisync: Ctisync) -> None:
    """The shell leaves it as it is in `--output=~/units`, as for each option that takes a path."""
    assert ctisync.run("examples", "crontab", "--output=~/units").returncode == 0
    assert texts_in(ctisync.home / "units").keys() == {"crontab"}


@pytest.mark.parametrize("folder", ["/dev/null/x", "x" * 300])
def test_a_folder_that_cannot_be_written_to_is_an_error(ctisync: Ctisync, folder: str) -> None:
    ended = ctisync.run("examples", "crontab", "--output", folder)
    assert ended.returncode == 2
    assert "ctisync: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["nothing", "../README.md", ".", "/etc/passwd", ""])
def test_what_is_no_example_is_an_error(ctisync: Ctisync, name: str) -> None:
    ended = ctisync.run("examples", name)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "try: ctisync examples" in ended.stderr
