"""The search around Atheris: what it tells of a target, also of one that dies, and which inputs it keeps."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ctisync.core.links import place_of
from tests.fuzz import __main__ as fuzz
from tests.fuzz import keeping
from tests.fuzz.target import Target

ENDED = """finding: AssertionError at on_links.py:7: 'x' (0123456789ab)
#9 DONE   cov: 12 ft: 34 corp: 5/60b lim: 100 exec/s: 3 rss: 80Mb
stat::number_of_executed_units: 1000
"""
DIED = """#4 NEW    cov: 13 ft: 30 corp: 4/50b lim: 100 exec/s: 3 rss: 80Mb
SUMMARY: libFuzzer: deadly signal
stat::number_of_executed_units: 500
"""


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each search in turn prints; one that tells of a signal has died."""
    texts = [DIED, ENDED]
    left = iter(texts)

    def run(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        text = next(left)
        return subprocess.CompletedProcess(command, -11 if text == DIED else 0, "", text)

    monkeypatch.setattr(subprocess, "run", run)
    return texts


def test_a_search_that_dies_is_a_finding_and_another_one_goes_on(runs: list[str]) -> None:
    result = fuzz.searched("links", 600, 1)
    assert (result.inputs, result.branches, result.features, result.corpus) == (1500, 13, 30, 4)
    assert result.findings == (
        "the process ended with -11: deadly signal",
        "AssertionError at on_links.py:7: 'x' (0123456789ab)",
    )


def test_where_there_is_no_atheris_it_says_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "find_spec", lambda _: None)
    assert fuzz.main(["links"]) == 2
    assert "Linux on x86-64 and Python 3.11 to 3.13" in capsys.readouterr().err


def test_a_name_that_is_no_targets_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fuzz.main(["lnks"])
    assert "there is no target lnks; there are archives, " in capsys.readouterr().err


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in ("keeping", "target"):
        monkeypatch.setattr(f"tests.fuzz.{module}.CORPUS", tmp_path / "corpus")
    return tmp_path / "corpus"


def test_of_what_a_search_has_gathered_the_smallest_that_reach_further_are_kept(
    tmp_path: Path, corpora: Path
) -> None:
    def check(data: bytes) -> None:
        place_of(data.decode("latin-1"))
        assert data != b"a finding@"

    gathered = tmp_path / "gathered"
    gathered.mkdir()
    for number, data in enumerate([b"https://me@host", b"me@h", b"abc", b"a finding@", b"me@host and more"]):
        (gathered / str(number)).write_bytes(data)
    target = Target("any", check, (b"host",), (), 100)
    assert keeping.keep(target, gathered) == 1
    assert (corpora / "any.txt").read_text() == "b'me@h'\n"
    assert keeping.keep(target, gathered) == 0, "it is there already"
