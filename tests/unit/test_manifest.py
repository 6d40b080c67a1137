"""The manifest of packaged snapshots: its entries as they are, and what is wrong with one in words."""

import json
from contextlib import suppress
from typing import Any, Final

import pytest

from ctisync.core.catalog import (
    Packaged,
    WrongManifest,
    manifest_entries,
    mentions_snapshots,
    owner,
    packaged,
)
from ctisync.core.model import Consumer

ENTRY = {
    "context": "t1-iocs-5",
    "name": "public-iocs-5",
    "local_offset": 9,
    "remote_offset": 12,
    "later": [1],
}


def test_an_entry_is_read_and_unknown_fields_are_let_be() -> None:
    text = b'{"iocs.zip":{"context":"t1-iocs-5","name":"public-iocs-5","local_offset":9,"x":1.5}}'
    entries = manifest_entries(text)
    one = packaged(entries, "iocs.zip")
    assert one == packaged({"iocs.zip": ENTRY}, "iocs.zip") == Packaged("t1-iocs-5", "public-iocs-5", 9)
    assert str(one) == "t1-iocs-5/public-iocs-5"
    assert one.is_of(Consumer("t1-iocs-5", "public-iocs-5"))
    assert not one.is_of(Consumer("public-iocs-5", "t1-iocs-5"))


WRITTEN: Final = {
    "name": "t1-public-ruleset-5-rc1",
    "context": "beta3-t1-ruleset-5",
    "type": "cti:catalog:consumer:ruleset",
    "resource": "https://cti.example/api/v1/catalog/contexts/beta3-t1-ruleset-5/consumers/public-ruleset-5",
    "is_public": True,
    "remote_offset": 663,
}
"""An entry as Wazuh's packaging script writes it: `name` is that of a feature of a plan."""


def test_the_consumer_is_that_of_the_address_and_not_the_name_of_a_feature() -> None:
    one = packaged({"ruleset.zip": WRITTEN}, "ruleset.zip")
    assert one == Packaged("beta3-t1-ruleset-5", "public-ruleset-5", 663)
    assert owner(WRITTEN) == ("beta3-t1-ruleset-5", "public-ruleset-5")


@pytest.mark.parametrize("url", [None, 5, "", "https://cti.example/", "https://cti.example/consumers/x", "ü"])
def test_without_an_address_of_a_consumer_the_names_count(url: Any) -> None:
    named = {**WRITTEN, "resource": url}
    assert owner(named) == ("beta3-t1-ruleset-5", "t1-public-ruleset-5-rc1")


@pytest.mark.parametrize(("local", "offset"), [(None, 663), (600, 600), (700, 700), (0, 0)])
def test_the_local_offset_counts_more_than_the_remote_one(local: int | None, offset: int) -> None:
    assert packaged({"a": {**WRITTEN, "local_offset": local}}, "a").offset == offset


@pytest.mark.parametrize("field", ["local_offset", "remote_offset"])
@pytest.mark.parametrize("offset", [0, 2**63 - 1])
def test_an_offset_may_be_as_low_or_high_as_a_store_can_count(offset: int, field: str) -> None:
    entry = {**ENTRY, "local_offset": None, field: offset}
    assert packaged({"a": entry}, "a").offset == offset


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"context": None}, "a.zip: context is absent, not a name"),
        ({"context": ""}, "a.zip: context is empty, not a name"),
        ({"name": 5}, "a.zip: name is an integer, not a name"),
        ({"local_offset": None, "remote_offset": None}, "local_offset and remote_offset are absent"),
        ({"local_offset": None, "remote_offset": "12"}, "remote_offset is a string, not an integer"),
        ({"local_offset": None, "remote_offset": -1}, "remote_offset -1 is out of range"),
        ({"local_offset": "9"}, "local_offset is a string"),
        ({"local_offset": True}, "local_offset is a boolean"),
        ({"local_offset": -1}, "local_offset -1 is out of range"),
        ({"local_offset": 2**63}, "out of range"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongManifest, match=words):
        packaged({"a.zip": {**ENTRY, **fields}}, "a.zip")


@pytest.mark.parametrize("entry", [None, [], "text", 5])
def test_an_entry_that_is_no_object_is_an_error(entry: Any) -> None:
    with pytest.raises(WrongManifest, match=r"a.zip: its entry is .*, not an object"):
        packaged({"a.zip": entry}, "a.zip")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"null", b"\xff", b"[" * 5000])
def test_what_is_no_object_is_no_manifest(text: bytes) -> None:
    with pytest.raises(WrongManifest, match="it is"):
        manifest_entries(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b'{"a.zip": 1, "b.zip": 2, "a.zip": 3}', "a.zip"),
        (b'{"a.zip": 1, "\\u0061.zip": 1}', "a.zip"),
        (b'{"a.zip": {"local_offset": 5, "local_offset": 6}}', "local_offset"),
    ],
)
def test_a_file_has_one_entry_with_one_offset(text: bytes, key: str) -> None:
    with pytest.raises(WrongManifest, match=f"^{key} is in it twice$"):
        manifest_entries(text)


@pytest.mark.parametrize("depth", range(700, 1100, 25))
def test_a_deep_manifest_is_read_or_refused_and_no_bug(depth: int) -> None:
    with suppress(WrongManifest):
        manifest_entries(b'{"a":' * depth + b"1" + b"}" * depth)


def test_a_byte_order_mark_and_long_numbers_are_no_mistake() -> None:
    assert manifest_entries(b'\xef\xbb\xbf{"a.zip": {"size": 1' + b"0" * 5000 + b".5}}").keys() == {"a.zip"}


def test_files_of_other_programs_have_that_name_too() -> None:
    for entry in (ENTRY, WRITTEN, {"remote_offset": 5}):
        text = json.dumps({"x": 1, "a.zip": entry}).encode()
        assert mentions_snapshots(text)
        assert mentions_snapshots(text[:-2]), "half a manifest"
    lost = {"context": "x", "name": "y", "resource": "https://z"}
    assert mentions_snapshots(json.dumps({"a.zip": lost}).encode()), "the offset is lost"
    of_others: tuple[Any, ...] = (
        {},
        {"name": "an app"},
        {"icons": [lost]},
        {"a": {"context": "x", "name": "y"}},
        {"a": {"context": "x", "resource": "https://z"}},
        {"a": {"name": "y", "resource": "https://z"}},
        {"permissions": [{"resource": "https://z"}], "a": {"resource": "https://z"}},
    )
    for other in of_others:
        text = json.dumps(other).encode()
        assert not mentions_snapshots(text)
        assert not mentions_snapshots(text[:-1]), "damaged"
