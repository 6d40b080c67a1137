"""JSON that is decoded only where a patch leads: nothing of the rest changes."""

from typing import Final

import msgspec
import pytest

from ctisync.core import json_text
from ctisync.core.json_text import may_be_opened, opened
from ctisync.core.model import Json
from tests.support.patches import whole

PAD: Final = "x" * 1100
"""With it, a text is long enough to be opened."""

NUMBERS: Final = (
    b"9.30",
    b"1e3",
    b"-0.0",
    b"18446744073709551616",
    b"0.1234567890123456789",
    b"9" * 400,
)


def unread(value: Json) -> bool:
    return isinstance(value, msgspec.Raw)


def test_a_short_text_is_decoded_at_once() -> None:
    assert opened(b'{"a":{"b":[1,2]}}') == {"a": {"b": [1, 2]}}


def test_objects_in_objects_are_opened_and_what_lies_deeper_stays_the_bytes_that_it_was() -> None:
    inner = b'{ "e" :[1.50,\t{"f":"\\u00e9"}]}'
    text = b'{"a":{"b":{"c":{"d":%b}}},"pad":"%b"}' % (inner, PAD.encode())
    line = opened(text)
    left = line["a"]["b"]["c"]["d"]
    assert unread(left)
    assert bytes(left) == inner
    assert json_text.encode(line) == text


def test_an_array_is_opened_to_its_elements() -> None:
    array = opened(b'[1.0,{"a":1},"%b"]' % PAD.encode())
    assert all(map(unread, array))
    assert whole(array) == json_text.decode(json_text.encode(array))


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:24].decode())
@pytest.mark.parametrize("levels", range(6))
def test_a_number_keeps_its_value_at_every_level(number: bytes, levels: int) -> None:
    text = b'{"pad":"%b","n":%b}' % (PAD.encode(), number)
    for _ in range(levels):
        text = b'{"a":%b}' % text
    assert json_text.encode(whole(opened(text))) == json_text.encode(json_text.decode(text))
    assert json_text.decode(json_text.encode(opened(text))) == json_text.decode(text)


@pytest.mark.parametrize(
    "broken",
    [b"{", b'{"a":1', b'{"a":[1,]}', b'{"a":tru}', b'{"a":"\n"}', b"[1", b'"', b""],
    ids=repr,
)
@pytest.mark.parametrize("pad", [b"", b" " * 1100], ids=["short", "long"])
def test_a_text_that_is_no_json_is_an_error(broken: bytes, pad: bytes) -> None:
    with pytest.raises(json_text.CannotDecode):
        opened(broken + pad)


def test_a_text_that_is_nested_too_deeply_is_an_error_and_ends_nothing() -> None:
    with pytest.raises(json_text.CannotDecode):
        opened(b'{"a":' * 100_000)
    with pytest.raises(json_text.CannotDecode):
        opened(b"[" * 100_000)


@pytest.mark.parametrize(
    ("line", "usual"),
    [
        (b'{"a":"b"}', True),
        (b'{"a":1234567890123456}', True),
        (b'{"a":12345678901234567}', False),
        (b'{"a":1E+98765432109876543}', False),
        (b'{"a":\n1}', False),
    ],
)
def test_a_line_with_a_long_number_or_a_newline_is_not_to_be_opened(line: bytes, usual: bool) -> None:
    assert may_be_opened(line) == usual


def test_a_number_out_of_range_is_an_error_when_it_is_reached() -> None:
    text = b'{"a":[[[1E+9999999999999999999]]],"pad":"%b"}' % PAD.encode()
    assert json_text.encode(opened(text)) == text
    with pytest.raises(json_text.CannotDecode):
        whole(opened(text))


@pytest.mark.parametrize(
    "text", [b'"%b"' % PAD.encode(), b"9" * 1100, b"null"], ids=["string", "number", "null"]
)
def test_what_is_no_container_is_decoded_however_long_it_is(text: bytes) -> None:
    assert opened(text) == json_text.decode(text)
    assert whole(opened(text)) == json_text.decode(text)


@pytest.mark.parametrize("pad", [b"", PAD.encode()], ids=["short", "long"])
@pytest.mark.parametrize("levels", range(6))
def test_minus_zero_keeps_its_sign_at_every_level(levels: int, pad: bytes) -> None:
    text = b'{"pad":"%b","n":-0,"l":[-0,1]}' % pad
    for _ in range(levels):
        text = b'{"a":%b}' % text
    value = line = opened(text)
    assert json_text.encode(line) == text
    for _ in range(levels):
        value["a"] = value = opened(value["a"]) if unread(value["a"]) else value["a"]
    assert json_text.encode(line) == text
    assert json_text.encode(opened(value["n"])) == b"-0"
    assert json_text.encode(opened(value["l"])) == b"[-0,1]"
    assert opened(value["n"]) == 0


@pytest.mark.parametrize(
    "text", [b'{"a":9.30,"b":[1],"pad":"%b"}' % PAD.encode(), b'[9.30,[1],"%b"]' % PAD.encode()]
)
def test_members_that_are_text_are_decoded_in_their_places(text: bytes) -> None:
    """Else a patch's `test` would compare text with values, and refuse what is equal."""
    container = opened(text)
    assert container != json_text.decode(text)
    json_text.decode_members(container)
    assert container == json_text.decode(text)


@pytest.mark.parametrize("number", [b"-0.50", b"-0.0"])
def test_a_fraction_that_begins_as_minus_zero_keeps_its_digits(number: bytes) -> None:
    assert json_text.encode(opened(number)) == number


def test_a_string_or_an_integer_of_an_opened_level_is_encoded_anew_with_its_value() -> None:
    text = b'{"url":"https:\\/\\/x","n":1,"pad":"%b","l":["\\/"]}' % PAD.encode()
    expected = b'{"url":"https://x","n":1,"pad":"%b","l":["\\/"]}' % PAD.encode()
    assert json_text.encode(opened(text)) == expected
