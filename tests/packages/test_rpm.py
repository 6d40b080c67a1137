"""The .rpm in root folders, by rpm itself. The tests have no archive of Red Hat: a host of Debian has the
programs that the scriptlets call, and its database of rpm is empty."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.conftest import Packages, lines_of
from tests.support.root_folder import Root, root

STATE = "/var/lib/ctisync"
CONFIG = "/etc/ctisync/config.toml"


def rpm(folder: Path, *arguments: str) -> str:
    command = ["rpm", "--root", str(folder), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    with root("bookworm", tmp_path_factory.mktemp("rpm")) as made:
        made.run("apt-get install python3.11 sudo")
        rpm(made.folder, "--initdb")
        yield made


def test_an_empty_root_gets_the_files_and_loses_them_again(tmp_path: Path, newer: Packages) -> None:
    rpm(tmp_path, "--initdb")
    rpm(tmp_path, "--install", "--nodeps", "--noscripts", str(newer.rpm))
    assert rpm(tmp_path, "--query", "ctisync").startswith("ctisync-0.")
    assert rpm(tmp_path, "--verify", "--nodeps", "--nouser", "--nogroup", "ctisync") == ""
    rpm(tmp_path, "--erase", "--noscripts", "ctisync")
    assert [path for path in tmp_path.rglob("*ctisync*") if "rpm" not in path.parts] == []


def test_it_asks_for_one_of_the_pythons_that_it_has_libraries_for(tmp_path: Path, newer: Packages) -> None:
    rpm(tmp_path, "--initdb")
    command = ["rpm", "--root", str(tmp_path), "--install", "--test", str(newer.rpm)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    pythons = " or ".join(f"python(abi) = 3.{minor}" for minor in (11, 12, 13, 14))
    assert f"({pythons}) is needed by ctisync" in done.stderr


def test_the_scriptlets_make_user_and_folder_and_print_how_to_start(host: Root, older: Packages) -> None:
    printed = rpm(host.folder, "--install", "--nodeps", str(older.rpm))
    assert "sudo systemctl enable --now ctisync.timer" in printed
    assert host.run(f"stat -c '%U %G %a' {STATE}") == "ctisync ctisync 2750\n"
    assert host.run("ctisync --version", user="nobody").startswith(f"ctisync {older.version}\n")
    assert list(host.path("/usr/lib/ctisync/ctisync/__pycache__").glob("*.cpython-311.pyc"))
    assert "up to date" in host.run("ctisync demo", user="nobody")


def test_an_upgrade_keeps_settings_and_content(host: Root, newer: Packages) -> None:
    host.path(CONFIG).write_text("history = 7\n")
    host.path(f"{STATE}/ctisync.db").write_bytes(b"")
    rpm(host.folder, "--upgrade", "--nodeps", str(newer.rpm))
    assert host.run("ctisync --version").startswith(f"ctisync {newer.version}\n")
    assert host.path(CONFIG).read_text() == "history = 7\n"
    code = "import sys; sys.path.insert(0, '/usr/lib/ctisync'); import ctisync; print(ctisync.__doc__)"
    assert host.run(f'python3.11 -I -S -c "{code}"') == "newer\n"
    assert list(host.path("/usr/lib/ctisync/ctisync/__pycache__").iterdir()), "the older package removed it"


def test_an_older_one_is_refused_unless_it_is_asked_for(host: Root, older: Packages) -> None:
    command = ["rpm", "--root", str(host.folder), "--upgrade", "--nodeps", str(older.rpm)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert re.search(r"newer than .*older|which is newer", done.stderr), done.stderr
    rpm(host.folder, "--upgrade", "--oldpackage", "--nodeps", str(older.rpm))
    assert host.run("ctisync --version").startswith(f"ctisync {older.version}\n")


def test_what_is_erased_keeps_content_and_changed_settings(host: Root) -> None:
    rpm(host.folder, "--erase", "ctisync")
    assert not host.path("/usr/lib/ctisync").exists()
    assert not host.path("/usr/bin/ctisync").exists()
    assert host.path(f"{STATE}/ctisync.db").exists()
    assert host.path(f"{CONFIG}.rpmsave").read_text() == "history = 7\n"

    host.run(lines_of("remove-rpm"))
    assert host.run("find /etc /var/lib /usr -name '*ctisync*'") == ""
    host.run("getent group ctisync", expected=2)
