"""docs/wazuh-5.md: its commands are typed on a host without a network, which gets one later."""

import json
import random
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.docs import page
from tests.docs.reader import Reader
from tests.docs.shell import ROOT
from tests.support.feed_exchange import EXCHANGE
from tests.support.feed_history import WAZUH_5
from tests.support.feed_simulator import FeedSimulator
from tests.support.records import comparable

PAGE: Final = (ROOT / "docs" / "wazuh-5.md").read_text()
TYPED: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "sh")}
EXAMPLE: Final = tomllib.loads((ROOT / "examples" / "wazuh-5" / "config.toml").read_text())
TOKEN: Final = "the-token-of-an-environment"

KINDS: Final = {
    "ruleset": "7c0a1d52-9f5e-4b8e-8f3c-2d6b1a4e9c",
    "iocs": "3e5f8a90-1b2c-4d3e-9f4a-5b6c7d8e9f",
    "vulnerabilities": "CVE-2026-10",
}
"""The files of the package without `.zip`, and how the names of their records begin."""


def document(kind: str, number: int) -> dict[str, Any]:
    return {
        "type": kind,
        "document": {"id": str(number), "title": f"{kind} {number}", "tags": ["a", "b"]},
    }


@pytest.fixture
def catalogs() -> Iterator[list[FeedSimulator]]:
    """The three consumers of the example, on one server."""
    with ExitStack() as opened:
        started: list[FeedSimulator] = []
        for each, (name, kind) in zip(EXAMPLE["consumers"], KINDS.items(), strict=True):
            beside = started[0] if started else None
            one = FeedSimulator(each["context"], each["consumer"], dialect=WAZUH_5, beside=beside)
            started.append(opened.enter_context(one))
            for number in range(20):
                one.history.create(f"{kind}{number:02}", document(name, number))
            one.publish_snapshot()
        yield started


@pytest.fixture
def reader(tmp_path: Any, catalogs: list[FeedSimulator]) -> Reader:
    """Somebody who has the package, as Wazuh's packaging script writes it, and no network yet."""
    reader = Reader(tmp_path, None)
    package = reader.home / "package"
    package.mkdir()
    manifest = {}
    for one, name in zip(catalogs, KINDS, strict=True):
        (file,) = one.files.values()
        (package / f"{name}.zip").write_bytes(file.body)
        manifest[f"{name}.zip"] = {
            "name": f"t1-public-{name}-5-rc1",  # of a feature
            "context": one.context,
            "type": f"cti:catalog:consumer:{name}",
            "resource": f"https://cti.example{one.consumer_path}",
            "is_public": True,
            "remote_offset": one.history.last_offset,
        }
    (package / "manifest.json").write_text(json.dumps(manifest))
    return reader


def live_on(catalogs: list[FeedSimulator], seed: int) -> None:
    choose = random.Random(seed)
    for one, kind in zip(catalogs, KINDS.values(), strict=True):
        title = [{"op": "replace", "path": "/document/title", "value": f"at {one.history.last_offset}"}]
        for name in choose.sample(one.history.names(), 5):
            one.history.update(name, title)
        one.history.delete(choose.choice(one.history.names()[1:]))
        one.history.create(f"{kind}new/{seed}", document(kind, seed))


def assert_holds(reader: Reader, catalogs: list[FeedSimulator], loaded_at: int) -> None:
    for one in catalogs:
        exported = reader.types(f"ctisync export --consumer {one.consumer}").encode().splitlines()
        assert [comparable(line) for line in exported] == [
            comparable(line) for line in one.stored_lines(loaded_at)
        ]


def test_each_block_is_typed_here() -> None:
    assert list(TYPED) == ["settings", "package", "passes", "private", "show"]


def test_the_page_from_the_package_to_a_private_consumer(
    reader: Reader, catalogs: list[FeedSimulator]
) -> None:
    checked = reader.types(TYPED["settings"])
    assert "the settings are valid" in checked

    loaded = reader.types(TYPED["package"])
    start = catalogs[0].history.last_offset
    assert loaded.count("package-read") == 3
    assert_holds(reader, catalogs, start)

    reader.reaches(catalogs[0])
    live_on(catalogs, 1)
    reader.types(TYPED["passes"])
    assert_holds(reader, catalogs, start)

    block, *_ = (each for each in page.blocks(PAGE, "toml") if "private" in each.names)
    config = reader.home / ".config" / "ctisync" / "config.toml"
    token = reader.place("/etc/ctisync/token")
    token.write_text(TOKEN)
    token.chmod(0o600)
    settings = block.text.replace("/etc/ctisync/token", str(token))
    config.write_text(
        config.read_text() + "\n" + settings.replace("https://console.example", catalogs[0].origin)
    )
    assert EXCHANGE in config.read_text()
    catalogs[1].exchanged_token = TOKEN
    live_on(catalogs, 2)
    reader.types(TYPED["private"])
    assert_holds(reader, catalogs, start)
    assert catalogs[1].requests_for("exchange")
    assert not catalogs[0].requests_for("exchange")

    shown = reader.types(TYPED["show"])
    assert f"{KINDS['ruleset']}00   offset" in shown
    assert "type         ruleset" in shown
    assert (reader.home / "iocs.ndjson").read_bytes().count(b"\n") == len(catalogs[1].history.names())


def test_the_example_is_the_settings_that_the_page_says() -> None:
    block, *_ = (each for each in page.blocks(PAGE, "toml") if "private" in each.names)
    text = (ROOT / "examples" / "wazuh-5" / "config.toml").read_text()
    for line in block.text.splitlines():
        assert f"#{line}" in text
    assert len({each["index"] for each in EXAMPLE["consumers"]}) == 3
