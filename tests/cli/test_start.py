"""What a call loads: commands that ask nobody load no client for it."""

import subprocess
import sys

import pytest

from tests.cli.conftest import Ctisync

HEAVY = {
    "httpx",
    "opensearchpy",
    "ijson",
    "jsonpatch",
    "rich",
    "ctisync.cli.help",
    "ctisync.stores.opensearch",
}


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--version"], HEAVY),
        (["status", "--json"], HEAVY),
        (["status", "--check"], HEAVY),
        *(
            (["config", *words], HEAVY | {"sqlite3"})
            for words in (["show"], ["get", "cti.url"], ["check"], ["init"], ["schema"])
        ),
        (["examples"], HEAVY - {"ctisync.cli.help"} | {"sqlite3"}),
    ],
)
def test_a_command_loads_only_what_it_needs(
    ctisync: Ctisync, arguments: list[str], unwanted: set[str]
) -> None:
    program = "import sys; from ctisync.cli import main; main(); print('LOADED', *sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=ctisync.environ,
        capture_output=True,
        text=True,
        check=True,
    )

    assert not unwanted & set(ended.stdout.split("LOADED")[1].split())


def test_the_settings_load_without_any_client_or_command_line(ctisync: Ctisync) -> None:
    program = "import sys, ctisync.settings; print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=ctisync.environ, capture_output=True, text=True, check=True
    )

    assert not (HEAVY | {"typer", "platformdirs", "difflib"}) & set(ended.stdout.split())
