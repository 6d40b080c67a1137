"""The shapes of a line and of a change, old and new: which key names a record, and what is kept of it."""

from collections.abc import Callable

import pytest

from ctisync.core import json_text, wire
from ctisync.core.difference import Difference, differences
from ctisync.core.facts import facts_of
from ctisync.core.model import Change, Json
from ctisync.errors import FeedRefused

LINES: dict[str, tuple[bytes, str]] = {
    "name alone": (b'{"name":"CVE-1","offset":7,"version":1,"inserted_at":"t","payload":{}}', "CVE-1"),
    "resource alone": (b'{"resource":"rule/1","offset":7,"version":1,"payload":{}}', "rule/1"),
    "resource after the payload": (b'{"offset":7,"payload":{"name":"x"},"resource":"rule/1"}', "rule/1"),
    "both, the same": (b'{"name":"a","resource":"a","offset":7,"payload":{}}', "a"),
    "both, resource first": (b'{"resource":"id","name":"A title","offset":7,"payload":{}}', "id"),
    "both, name first": (b'{"name":"A title","resource":"id","offset":7,"payload":{}}', "id"),
    "a null name beside resource": (b'{"name":null,"resource":"id","offset":7,"payload":{}}', "id"),
    "a null resource beside name": (b'{"name":"a","resource":null,"offset":7,"payload":{}}', "a"),
    "neither version nor inserted_at": (b'{"name":"a","offset":7,"payload":{}}', "a"),
    "both of them null": (b'{"name":"a","offset":7,"version":null,"inserted_at":null,"payload":{}}', "a"),
    "a payload with its type": (
        b'{"resource":"decoder/core","offset":7,"payload":{"type":"decoder","document":{"id":"1"}}}',
        "decoder/core",
    ),
    "fields of no known name": (b'{"resource":"a","offset":7,"space":"std","payload":{},"hash":[1]}', "a"),
}

NO_LINES: dict[str, tuple[bytes, str]] = {
    "no key that names it": (b'{"offset":7,"payload":{}}', "it has no name"),
    "both null": (b'{"name":null,"resource":null,"offset":7,"payload":{}}', "it has no name"),
    "an empty resource beside a name": (
        b'{"name":"a","resource":"","offset":7,"payload":{}}',
        "its name is empty",
    ),
    "a resource that is a number": (
        b'{"name":"a","resource":5,"offset":7,"payload":{}}',
        "Expected `str`, got `int` at `resource`",
    ),
    "a resource that is too long": (
        b'{"resource":"' + b"x" * 513 + b'","offset":7,"payload":{}}',
        "513 bytes",
    ),
    "a name that no index takes, beside a resource": (
        b'{"resource":"a","name":"' + b"x" * 513 + b'","offset":7,"payload":{}}',
        "513 bytes",
    ),
    "a resource with a control character": (
        b'{"resource":"a\\u0007","offset":7,"payload":{}}',
        "control characters",
    ),
}


@pytest.mark.parametrize(("line", "name"), LINES.values(), ids=LINES.keys())
def test_a_line_is_kept_as_it_came_whichever_key_names_its_record(line: bytes, name: str) -> None:
    record = wire.record(line)
    assert (record.name, record.offset, record.line) == (name, 7, line)
    assert facts_of(line).name == name


@pytest.mark.parametrize(("line", "words"), NO_LINES.values(), ids=NO_LINES.keys())
def test_a_line_without_a_name_that_both_stores_can_hold_is_refused(line: bytes, words: str) -> None:
    with pytest.raises(wire.NotARecord, match=words):
        wire.record(line)


@pytest.mark.parametrize(("line", "name"), LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("version", [None, 9])
def test_an_updated_record_keeps_its_keys_and_gets_none(line: bytes, name: str, version: int | None) -> None:
    before = json_text.decode(line)
    record = wire.changed(dict(before), name, Change(9, "update", name, version=version), {"x": 2})
    after = {**before, "offset": 9, "payload": {"x": 2}}
    if version is not None:
        after["version"] = version
    assert json_text.decode(record.line) == after
    assert wire.record(record.line) == record


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"version": 3, "inserted_at": "t"}, {"version": 3, "inserted_at": "t"}),
        ({"version": 3}, {"version": 3}),
        ({"inserted_at": "t"}, {"inserted_at": "t"}),
        ({}, {}),
    ],
    ids=str,
)
def test_a_created_record_has_no_field_that_its_change_has_not(stored: Json, expected: Json) -> None:
    change = wire.change({"offset": 5, "type": "CREATE", "resource": "rule/1", "payload": {}, **stored})
    record = wire.created(change)
    assert json_text.decode(record.line) == {"name": "rule/1", "offset": 5, **expected, "payload": {}}
    assert wire.record(record.line) == record


@pytest.mark.parametrize("written", [str, str.upper, str.capitalize, str.swapcase])
def test_the_type_of_a_change_comes_in_any_case(written: Callable[[str], str]) -> None:
    item = {"offset": 5, "type": written("create"), "resource": "indicator/1", "payload": {"type": "ioc"}}
    assert wire.change(item) == Change(5, "create", "indicator/1", payload={"type": "ioc"})
    item = {"offset": 6, "type": written("update"), "resource": "a", "operations": []}
    assert wire.change(item) == Change(6, "update", "a", operations=[])
    item = {"offset": 7, "type": written("delete"), "resource": "a"}
    assert wire.change(item) == Change(7, "delete", "a")


@pytest.mark.parametrize("written", ["created", "", " create", "CREATE ", "delete\u0307", 5, ["create"]])
def test_a_type_of_another_word_is_refused_as_it_came(written: Json) -> None:
    with pytest.raises(FeedRefused, match="change 5 has the unknown type"):
        wire.change({"offset": 5, "type": written, "resource": "a", "payload": {}})


def _differences(one: bytes, other: bytes) -> list[Difference]:
    return list(differences([one], [other]))


def test_the_key_that_names_a_record_is_no_difference() -> None:
    """A created record has `name`; the next snapshot of the same feed may have `resource`."""
    one, other = b'{"name":"a","offset":7,"payload":{}}', b'{"payload":{},"offset":7,"resource":"a"}'
    both = b'{"name":"a","resource":"a","offset":7,"payload":{}}'
    assert _differences(one, other) == _differences(other, both) == _differences(both, one) == []


def test_a_name_beside_a_resource_is_a_field_like_others() -> None:
    one = b'{"name":"An old title","resource":"a","offset":7,"payload":{}}'
    other = b'{"name":"A new title","resource":"a","offset":7,"payload":{}}'
    assert [each.fields for each in _differences(one, other)] == [("/name",)]
    assert [each.fields for each in _differences(one, other.replace(b'"name"', b'"x"'))] == [("/name", "/x")]
    assert [each.fields for each in _differences(b'{"name":"a","offset":7,"payload":{}}', one)] == [
        ("/name",)
    ]
