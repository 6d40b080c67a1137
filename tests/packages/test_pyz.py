"""The .pyz on a host with nothing but Python: another user, no home, a read-only cache, two calls at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.conftest import command_for, lines_of
from tests.support.root_folder import Root, root

PYZ = "/usr/local/bin/ctisync"
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}


@pytest.fixture(scope="module", params=PYTHONS)
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pyz: Path
) -> Iterator[Root]:
    with root(request.param, tmp_path_factory.mktemp(request.param)) as made:
        made.run("apt-get install python3 sudo")
        made.add(pyz, "/srv")
        made.run(f"cd /srv; {command_for('another Linux')}")
        made.run("useradd --create-home person; useradd --create-home other; useradd homeless")
        yield made


def test_two_calls_at_once_the_first_time_both_work(host: Root) -> None:
    both = "for n in 1 2; do (ctisync --version | head -n 1) & done; wait"
    lines = host.run(both, user="person", HOME="/home/person").splitlines()
    assert len(lines) == 2
    assert len(set(lines)) == 1
    assert lines[0].startswith("ctisync 0.")


def test_what_is_unpacked_belongs_to_the_user_alone_and_is_used_again(host: Root) -> None:
    cache = host.path("/home/person/.cache/pex")
    count = len(list(cache.rglob("*")))
    assert "up to date" in host.run("ctisync demo", user="person", HOME="/home/person")
    others = [path for path in cache.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert others == [], "others could change what the user runs"
    compiled = list(cache.rglob("*.pyc"))
    assert len(list(cache.rglob("*"))) - len(compiled) <= count


def test_another_user_has_a_cache_of_its_own(host: Root) -> None:
    assert "ctisync 0." in host.run("ctisync --version", user="other", HOME="/home/other")
    assert host.path("/home/other/.cache/pex").exists()


@pytest.mark.parametrize("home", ["/nonexistent", "/srv"])
def test_without_a_home_or_with_a_read_only_cache_it_works_and_leaves_nothing(host: Root, home: str) -> None:
    printed = host.run("ctisync --version", user="homeless", HOME=home)
    assert "ctisync 0." in printed
    assert "PEX_ROOT" in printed, "it does not say how to be faster"
    assert list((host.folder / "tmp").glob("pex-root*")) == []


def test_a_folder_for_a_service_is_set_by_the_variable_of_the_page(host: Root) -> None:
    host.run("install -d -m 700 -o homeless /var/cache/ctisync")
    for _ in range(2):
        printed = host.run(f"export STATE_DIRECTORY=/var/cache/ctisync; {lines_of('pyz')}", user="homeless")
        assert printed.startswith("store ")


def test_a_signal_reaches_the_pass(host: Root) -> None:
    script = "ctisync sync >~/out 2>&1 & pid=$!; until [ -s ~/out ]; do :; done; kill $pid; wait $pid"
    feed = "http://127.0.0.1:1"
    host.run(script, user="person", expected=143, HOME="/home/person", CTISYNC_CTI__URL=feed)


def test_it_needs_a_python_that_it_has_libraries_for(host: Root) -> None:
    """A host with an older one alone says so."""
    assert "python" in host.run(f"PATH=/nonexistent {PYZ}", expected=1).lower()
