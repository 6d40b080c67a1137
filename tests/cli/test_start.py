"""What a call loads: commands that ask nobody load no client for it."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.conftest import Ctisync

HEAVY = {
    "http.client",  # of urllib.request, for one
    "httpx",
    "importlib.metadata",
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
        (["--version"], HEAVY - {"importlib.metadata"}),
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


@pytest.mark.parametrize(
    "words", [["--version"], ["status", "--help"], ["config", "init"], ["config", "show"]]
)
def test_a_python_without_docstrings_loses_texts_and_no_setting_option_or_command(
    ctisync: Ctisync, words: list[str]
) -> None:
    """The meanings of the settings and the first lines of the help are docstrings."""

    def lines(*optimised: str) -> list[str]:
        ended = subprocess.run(
            [sys.executable, *optimised, "-m", "ctisync", *words],
            env=ctisync.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stderr == ""
        return [line for line in ended.stdout.splitlines() if not re.match("#( |$)|  [A-Za-z]|$", line)]

    assert lines("-OO") == lines()
    assert len(lines()) > 5


def test_a_python_without_docstrings_prints_the_schema_with_all_settings(ctisync: Ctisync) -> None:
    command = [sys.executable, "-OO", "-m", "ctisync", "config", "schema"]
    ended = subprocess.run(command, env=ctisync.environ, capture_output=True, text=True, check=True)

    stripped, whole = json.loads(ended.stdout), json.loads(ctisync.run("config", "schema").stdout)
    assert names(stripped) == names(whole)


def names(schema: dict[str, Any]) -> dict[str, list[str]]:
    return {section: sorted(content["properties"]) for section, content in schema["$defs"].items()}
