"""The API's JSON: strict on what is ours, and no number or character may change on the way."""

from decimal import Decimal

import msgspec
import pytest

from ctisync.core import json_text, wire
from ctisync.core.json_text import DEEPEST
from ctisync.core.model import Change, ConsumerInfo, Json, Snapshot
from ctisync.core.state import RefusedSnapshot
from ctisync.errors import FeedRefused

LINK = "https://cti.example/store/contexts/vd_1.0.0/consumers/vd_4.8.0/1901695_1746459961.zip"
INFO = {"last_offset": 1913009, "last_snapshot_link": LINK, "last_snapshot_offset": 1901695, "later": [1]}


def info(**fields: Json) -> ConsumerInfo:
    return wire.consumer_info({"data": {**INFO, **fields}})


def test_a_consumers_information_is_read_and_unknown_fields_are_let_be() -> None:
    assert info() == ConsumerInfo(1913009, Snapshot(LINK, 1901695))


def test_an_older_servers_snapshot_takes_its_offset_from_the_file_name() -> None:
    assert info(last_snapshot_offset=None).snapshot == Snapshot(LINK, 1901695)


def test_a_link_with_a_secret_is_fetched_as_it_is_and_shown_without() -> None:
    signed = LINK + "?signature=s3cret"
    snapshot = info(last_snapshot_link=signed).snapshot
    assert snapshot is not None
    assert snapshot.address == signed
    assert "s3cret" not in snapshot.link


@pytest.mark.parametrize("public", [True, False, None])
def test_whether_a_consumer_is_public_is_read(public: bool | None) -> None:
    assert info(is_public=public).is_public is public
    assert wire.consumer_info({"data": {"is_public": public}}) == ConsumerInfo(None, None, public)


def test_offsets_of_0_and_an_empty_link_are_those_of_a_consumer_without_a_snapshot() -> None:
    nothing = {"last_offset": 0, "last_snapshot_offset": 0, "last_snapshot_link": ""}
    assert wire.consumer_info({"data": nothing}) == ConsumerInfo(0, None)
    assert info(last_snapshot_offset=0).snapshot == Snapshot(LINK, 1901695), "its name has the offset"


def test_nulls_are_absent_rather_than_zero() -> None:
    nothing = wire.consumer_info({"data": {"last_offset": None, "last_snapshot_link": None}})
    assert nothing == ConsumerInfo(None, None)
    assert wire.consumer_info({"data": {}}) == ConsumerInfo(None, None)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no `data` object"),
        ({}, "no `data` object"),
        ({"data": []}, "no `data` object"),
        ({"data": {**INFO, "last_offset": "5"}}, "last_offset is a string, not an integer"),
        ({"data": {**INFO, "last_offset": True}}, "last_offset is a boolean"),
        ({"data": {**INFO, "last_offset": Decimal("1.0")}}, "last_offset is a number"),
        ({"data": {**INFO, "last_offset": -1}}, "out of range"),
        ({"data": {**INFO, "last_offset": 2**63}}, "out of range"),
        ({"data": {**INFO, "last_snapshot_link": 5}}, "last_snapshot_link is an integer, not a string"),
        ({"data": {**INFO, "last_snapshot_offset": []}}, "last_snapshot_offset is an array"),
        ({"data": {**INFO, "is_public": "yes"}}, "is_public is a string, not a boolean"),
        ({"data": {**INFO, "last_snapshot_offset": 1901696}}, "is inconsistent"),
        ({"data": {**INFO, "last_offset": 1901694}}, "is inconsistent"),
        ({"data": {"last_snapshot_link": "https://x/0_1746459961.zip"}}, "offset 0"),
        ({"data": {"last_offset": 7, "last_snapshot_link": "https://x/latest.zip"}}, "without its offset"),
        (
            {"data": {"last_snapshot_link": "https://x/latest.zip", "last_snapshot_offset": 0}},
            "a snapshot of offset 0",
        ),
    ],
)
def test_wrong_consumer_information_is_refused_by_field(document: Json, words: str) -> None:
    with pytest.raises(FeedRefused, match=words):
        wire.consumer_info(document)


def test_a_snapshot_without_an_offset_in_its_name_has_the_feeds() -> None:
    named = "https://cti.example/store/latest.zip"
    assert info(last_snapshot_link=named).snapshot == Snapshot(named, 1901695)


def test_a_snapshot_may_be_offered_by_a_feed_without_a_last_offset() -> None:
    assert info(last_offset=None) == ConsumerInfo(None, Snapshot(LINK, 1901695))


def test_a_feed_may_stand_at_0_and_a_record_anywhere_from_there() -> None:
    assert wire.consumer_info({"data": {"last_offset": 0}}).last_offset == 0
    for offset in (0, 2**63 - 1):
        assert wire.record(b'{"name":"a","offset":%d,"payload":{}}' % offset).offset == offset


def test_a_number_that_no_decimal_can_hold_is_an_error_and_no_null() -> None:
    with pytest.raises(ValueError, match="exponent"):
        json_text.decode(b'{"a":1e99999999999999999999}')


def test_a_name_may_hold_whatever_is_no_control_character() -> None:
    assert wire.change({**UPDATE, "resource": "ТИД\u2028\u00a0🐞"}).resource == "ТИД\u2028\u00a0🐞"


def test_what_a_change_brings_that_its_type_has_no_use_for_is_let_be() -> None:
    """An update that came with a payload must not be taken for a create later on."""
    change = wire.change({**UPDATE, "payload": {"a": 1}, "inserted_at": 5})
    assert (change.payload, change.inserted_at) == (None, None)
    create = {"offset": 8, "type": "create", "resource": "CVE-2", "payload": {}, "operations": []}
    assert wire.change(create).operations is None


def test_an_offset_may_be_as_high_as_both_stores_can_count() -> None:
    assert wire.change({**UPDATE, "offset": 2**63 - 1}).offset == 2**63 - 1
    assert info(last_offset=2**63 - 1).last_offset == 2**63 - 1


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        (LINK, 1901695),
        (LINK + "?sig=12_1746459961.zip", 1901695),
        ("vd_1.0.0_vd_4.8.0_1901695_1746459961.json", 1901695),
        ("1901695_1746459961.ndjson", 1901695),
        ("cti-sample.ndjson", None),
        ("vd_1.0.0_vd_4.8.0.zip", None),
        ("snapshot_5.zip", None),
    ],
)
def test_a_name_says_the_offset_only_in_the_feeds_own_form(name: str, offset: int | None) -> None:
    assert wire.offset_in_name(name) == offset


UPDATE = {"offset": 7, "type": "update", "version": 2, "resource": "CVE-1", "operations": []}


def test_changes_are_read() -> None:
    assert wire.change({**UPDATE, "payload": None, "context": "x"}) == Change(
        7, "update", "CVE-1", 2, operations=[]
    )
    create = {"offset": 8, "type": "create", "version": 1, "resource": "CVE-2", "payload": {"a": 1}}
    assert wire.change({**create, "inserted_at": "t", "operations": None}) == Change(
        8, "create", "CVE-2", 1, "t", payload={"a": 1}
    )
    assert wire.change({"offset": 9, "type": "delete", "resource": "CVE-3"}) == Change(9, "delete", "CVE-3")


@pytest.mark.parametrize("nothing", [{}, {"payload": None, "operations": None}], ids=["absent", "null"])
def test_changes_that_change_nothing_do_not_stop_a_pass(nothing: Json) -> None:
    empty = wire.change({"offset": 8, "type": "create", "version": 1, "resource": "CVE-2", **nothing})
    assert empty == Change(8, "create", "CVE-2", 1)
    assert empty.is_empty
    update = wire.change({"offset": 9, "type": "update", "resource": "CVE-2", **nothing})
    assert update == Change(9, "update", "CVE-2", operations=[])
    assert not update.is_empty, "it moves the record's offset on"


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("x", "not an object"),
        ({**UPDATE, "offset": None}, "no offset"),
        ({**UPDATE, "offset": "7"}, "offset is a string"),
        ({**UPDATE, "offset": 2**63}, "out of range"),
        ({**UPDATE, "type": "merge"}, "change 7 has the unknown type 'merge'"),
        ({**UPDATE, "type": None}, "change 7 has no type"),
        ({**UPDATE, "resource": None}, "change 7 has no resource"),
        ({**UPDATE, "resource": ""}, "is empty"),
        ({**UPDATE, "resource": "a\nb"}, "control characters"),
        ({**UPDATE, "resource": "a\ud800"}, "control characters"),
        ({**UPDATE, "resource": "é" * 257}, "514 bytes"),
        ({**UPDATE, "version": "2"}, "version is a string"),
        ({**UPDATE, "operations": {}}, "of CVE-1: operations is an object"),
        ({**UPDATE, "type": "create", "payload": [1]}, "of CVE-1: payload is an array"),
    ],
)
def test_a_wrong_change_is_refused_by_offset_and_field(item: Json, words: str) -> None:
    with pytest.raises(FeedRefused, match=words):
        wire.change(item)


def test_a_line_becomes_a_record_without_a_byte_changed() -> None:
    line = '{"name":"CVE-ü","offset":3,"version":1,"payload":{"":{"~/":9.30}},"x":1e400}'.encode()
    record = wire.record(line)
    assert (record.name, record.offset, record.line) == ("CVE-ü", 3, line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"[]", "not an object"),
        (b"<html>", "not JSON"),
        (b'{"name":"a","offset":1,"payload":{}', "not JSON"),
        (b'{"name":"a","offset":1,"payload":{"x":NaN}}', "not JSON"),
        (b'{"name":"a","offset":1,"payload":{"x":"\\ud800"}}', "not JSON"),
        (b'{"name":"a","offset":1,"payload":{"x":"\xff"}}', "not UTF-8"),
        (b'{"offset":1,"payload":{}}', "it has no name"),
        (b'{"name":"a","payload":{}}', "it has no offset"),
        (b'{"name":"a","offset":1}', "it has no payload"),
        (b'{"name":5,"offset":1,"payload":{}}', "Expected `str`, got `int` at `name`"),
        (b'{"name":"a","offset":1.0,"payload":{}}', "Expected `int`, got `float` at `offset`"),
        (b'{"name":"a","offset":true,"payload":{}}', "Expected `int`"),
        (b'{"name":"a","offset":-1,"payload":{}}', "out of range"),
        (b'{"name":"a","offset":9223372036854775808,"payload":{}}', "out of range"),
        (b'{"name":"","offset":1,"payload":{}}', "its name is empty"),
        (b'{"name":"a\\u0000","offset":1,"payload":{}}', "control characters"),
        (b'{"name":"' + b"x" * 513 + b'","offset":1,"payload":{}}', "513 bytes"),
        (b'{"name":"a","offset":1,"payload":null}', "payload is not an object"),
        (b'{"name":"a","offset":1,"payload":[]}', "payload is not an object"),
        (b'{"name":"a","offset":1,"payload":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}", "too deeply"),
    ],
)
def test_a_line_that_is_no_record_says_what_is_wrong(line: bytes, words: str) -> None:
    with pytest.raises(wire.NotARecord, match=words):
        wire.record(line)


def test_names_of_exactly_512_bytes_are_accepted() -> None:
    name = "é" * 256
    assert wire.record(json_text.encode({"name": name, "offset": 1, "payload": {}})).name == name


@pytest.mark.parametrize(
    "text",
    [
        b"9007199254740993",
        b"18446744073709551617",
        b"-123456789012345678901234567890",
        b"9.30",
        b"0.10000000000000000000001",
        b"12345678901234567890.0",
        b"1E+400",
    ],
)
def test_numbers_survive_a_decode_and_encode_to_the_digit(text: bytes) -> None:
    assert json_text.encode(json_text.decode(text)) == text


def test_decoding_fails_with_one_exception() -> None:
    for text in (b"", b"{", b'"\xff"', b"[" * 5000, b"9" * 5000):
        with pytest.raises(ValueError):  # noqa: PT011  # whatever it says, it is a ValueError
            json_text.decode(text)


def test_an_updated_record_keeps_the_fields_that_are_not_ours() -> None:
    line = {"name": "a", "offset": 1, "version": 1, "inserted_at": "t", "payload": {"x": 1}, "origin": "z"}
    record = wire.changed(line, "a", Change(9, "update", "a", version=4), {"x": 2})
    assert record.offset == 9
    assert json_text.decode(record.line) == {**line, "offset": 9, "version": 4, "payload": {"x": 2}}
    unversioned = wire.changed(line, "a", Change(9, "update", "a"), {})
    assert json_text.decode(unversioned.line)["version"] == 1


def test_a_created_record_has_the_shape_of_a_snapshots_line() -> None:
    record = wire.created(Change(5, "create", "n", 1, "t", payload={"a": Decimal("9.30")}))
    assert record.line == b'{"name":"n","offset":5,"version":1,"inserted_at":"t","payload":{"a":9.30}}'
    assert wire.record(record.line) == record


def test_an_array_elements_record_is_its_line() -> None:
    value = {"name": "a", "offset": 1, "payload": {"x": Decimal("9.30")}}
    assert wire.record_of(value).line == b'{"name":"a","offset":1,"payload":{"x":9.30}}'
    with pytest.raises(wire.NotARecord, match="not an object"):
        wire.record_of([1])


@pytest.mark.parametrize(("name", "resource"), [(7, None), (None, 7), ("a", []), (None, None)])
def test_what_is_no_text_names_no_record(name: Json, resource: Json) -> None:
    assert wire.name_of(name, resource) is None


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"[":', b"}")], ids=["arrays", "objects"])
def test_the_same_depth_is_decoded_on_every_version_of_python(opening: bytes, closing: bytes) -> None:
    """Python 3.11 ends at some 900 levels, 3.14 at some ten thousand."""
    json_text.decode(opening * DEEPEST + b"1" + closing * DEEPEST)
    for levels in (DEEPEST + 1, 3000, 1_000_000):
        with pytest.raises(json_text.CannotDecode, match="nested too deeply"):
            json_text.decode(opening * levels + b"1" + closing * levels)
        with pytest.raises(json_text.CannotDecode, match="nested too deeply"):
            json_text.decode(opening * levels)


def test_what_a_state_or_a_file_may_hold_is_as_deep_on_every_version_of_python() -> None:
    """A decoder recurses through fields that it skips, too."""
    decoder = msgspec.json.Decoder(RefusedSnapshot)
    text = '{"link": "a", "etag": null, "size": 1, "reason": "b", "new": %s}'
    deepest = DEEPEST - 1
    for form in (text, text.encode()):
        for levels, closing in ((deepest + 1, "]"), (3000, "]"), (100_000, "")):
            deep = "[" * levels + closing * levels
            with pytest.raises(json_text.CannotDecode, match="nested too deeply"):
                json_text.decode_as(form % (deep if isinstance(form, str) else deep.encode()), decoder)
    assert json_text.decode_as(text % ("[" * deepest + "]" * deepest), decoder).link == "a"


@pytest.mark.parametrize("value", [None, 5, 0.5])
def test_a_column_of_another_type_is_no_json(value: object) -> None:
    with pytest.raises(json_text.CannotDecode, match="not a text"):
        json_text.decode_as(value, msgspec.json.Decoder(RefusedSnapshot))


def test_a_line_whose_payload_is_deeper_than_any_setting_allows_is_no_record() -> None:
    line = b'{"name":"a","offset":1,"payload":{"x":%b}}'
    deepest = DEEPEST - 2
    assert wire.record(line % (b"[" * deepest + b"]" * deepest)).name == "a"
    with pytest.raises(wire.NotARecord, match="nested too deeply"):
        wire.record(line % (b"[" * (deepest + 1) + b"]" * (deepest + 1)))
