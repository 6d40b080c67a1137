"""What a shell offers at Tab, asked the way its script asks."""

import shutil
import subprocess
from typing import Any

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import FeedSimulator

TWO = '[{}, {"consumer": "vd_4.9.0", "index": "other"}]'


def offered(ctisync: Ctisync, typed: str, **environ: str) -> list[str]:
    """At the end of what is typed in bash, behind a space or within a word."""
    request = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    ended = ctisync.run(**request, **environ, _CTISYNC_COMPLETE="complete_bash")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("ctisync sy", ["sync"]),
        ("ctisync status --crit", ["--crit-behind", "--crit-age"]),
        ("ctisync config sc", ["schema"]),
        ("ctisync config show hooks.on_u", ["hooks.on_update"]),
        ("ctisync completion z", ["zsh"]),
        ("ctisync sync --consumer ", ["vd_4.8.0", "vd_4.9.0"]),
        ("ctisync sync --consumer vd_4.9", ["vd_4.9.0"]),
    ],
)
def test_commands_options_consumers_and_settings_are_offered(
    ctisync: Ctisync, typed: str, words: list[str]
) -> None:
    assert offered(ctisync, typed, CTISYNC_CONSUMERS=TWO) == words


def test_consumers_are_those_of_the_settings_that_were_named(ctisync: Ctisync) -> None:
    (ctisync.home / "other.toml").write_text('[[consumers]]\nconsumer = "named"\n')
    assert offered(ctisync, "ctisync sync --config other.toml --consumer ") == ["named"]


def test_settings_that_cannot_be_read_offer_nothing_and_say_nothing(ctisync: Ctisync) -> None:
    assert offered(ctisync, "ctisync sync --consumer ", CTISYNC_STORE__URL="nonsense") == []


def advisory(vendor: str, *products: str) -> dict[str, Any]:
    affected = [{"vendor": vendor, "product": product, "versions": []} for product in products]
    return {"containers": {"cna": {"affected": affected}}}


@pytest.fixture
def indexed(ctisync: Ctisync, feed: FeedSimulator) -> Ctisync:
    feed.history.create("CVE-2024-7", advisory("Acme", "openssl", "OpenSSL-libs", "open$(date)", "open door"))
    for number in range(101):
        feed.history.create(f"CVE-2031-1{number:03}", advisory("other", "wall"))
    assert ctisync.run("sync", "-q").returncode == 0
    assert ctisync.run("search", "wall", "-q").returncode == 0
    return ctisync


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("ctisync show CVE-2024-", ["CVE-2024-7"]),
        ("ctisync log CVE-2024-", ["CVE-2024-7"]),
        ("ctisync show CVE-9", []),
        (
            "ctisync search --product open",
            ["openssl", "openssl-libs"],
        ),  # the others would be run, or are two words
        ("ctisync search --vendor ac", ["acme"]),
    ],
)
def test_names_of_the_index_are_offered_as_they_can_be_typed(
    indexed: Ctisync, typed: str, words: list[str]
) -> None:
    assert sorted(offered(indexed, typed)) == words


def test_of_many_names_the_next_characters_are_offered_and_no_beginning_that_only_some_have(
    indexed: Ctisync,
) -> None:
    assert sorted(offered(indexed, "ctisync show CVE-2031-")) == ["CVE-2031-10", "CVE-2031-11"]
    assert len(offered(indexed, "ctisync show CVE-2031-10")) == 100


def test_without_an_index_nothing_is_offered_and_none_is_made(ctisync: Ctisync, feed: FeedSimulator) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    before = sorted(ctisync.database.parent.iterdir())
    assert offered(ctisync, "ctisync show CVE") == []
    assert sorted(ctisync.database.parent.iterdir()) == before


@pytest.mark.parametrize("content", [b"a letter", b"", None])
def test_an_index_that_cannot_be_read_offers_nothing_and_says_nothing(
    indexed: Ctisync, content: bytes | None
) -> None:
    (path,) = indexed.database.parent.glob("*.search")
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    assert offered(indexed, "ctisync show CVE") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_it_understands(ctisync: Ctisync, shell: str) -> None:
    ended = ctisync.run("completion", shell)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "_CTISYNC_COMPLETE" in ended.stdout
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=ended.stdout, text=True, check=True)
