"""The minisign of Debian and the installed ctisync: each accepts what the other one signs."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.docs.test_signatures_page import TYPED
from tests.packages.conftest import Packages, command_for
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.root_folder import Root, root

GOOD: Final = "Signature and comment signature verified"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, newer: Packages) -> Iterator[Root]:
    with root("bookworm", tmp_path_factory.mktemp("minisign")) as made:
        made.run("apt-get install sudo minisign")
        made.add(newer.deb, "/srv/newer")
        made.run(f"cd /srv/newer; {command_for('Debian 12 and 13')}")
        yield made


def publish(host: Root, feed: FeedSimulator, script: str, *, expected: int = 0) -> str:
    return host.run(script, expected=expected, CTISYNC_CTI__URL=feed.url, HOME="/root")


def follow(host: Root, key: str, *, expected: int = 0) -> str:
    trusted = f'["{key}"]'
    return host.run(
        "ctisync sync",
        expected=expected,
        CTISYNC_CTI__URL="file:///srv/cti",
        CTISYNC_CTI__TRUSTED_KEYS=trusted,
        HOME="/root",
    )


def test_minisign_checks_what_ctisync_signs_and_the_other_way_round(host: Root, feed: FeedSimulator) -> None:
    key = host.run(TYPED["key"]).strip()
    publish(host, feed, TYPED["sign"])
    assert GOOD in host.run(TYPED["check"])
    follow(host, key)
    churn(feed.history, 5, seed=1)
    publish(host, feed, "ctisync mirror /srv/cti")
    assert "it is not signed" in follow(host, key, expected=6)
    host.run(TYPED["by-hand"])
    follow(host, key)


def test_ctisync_signs_with_a_key_of_minisign(host: Root, feed: FeedSimulator) -> None:
    sign, check = (TYPED[name].replace("mirror.key", "own.key") for name in ("sign", "check"))
    names = "-p /etc/ctisync/own.key.pub -s /etc/ctisync/own.key"
    host.run(f"minisign -G -W {names}")
    publish(host, feed, sign)
    assert GOOD in host.run(check)
    follow(host, host.path("/etc/ctisync/own.key.pub").read_text().splitlines()[1])
    host.run(f"printf 'pw\\npw\\n' | minisign -G -f {names}")
    refused = publish(host, feed, sign, expected=2)
    assert "minisign -C -W -s /etc/ctisync/own.key" in refused
    host.run("printf 'pw\\n' | minisign -C -W -s /etc/ctisync/own.key")
    publish(host, feed, sign)
    assert GOOD in host.run(check)
