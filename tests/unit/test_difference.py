"""Two exports are compared record by record, by value, whatever stands in which of them."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, seed

from ctisync.core.difference import MOST_FIELDS, Difference, NoExport, differences
from tests.support.records import line

names = st.text("AéZ09-\U0001d11e", min_size=1, max_size=3)
contents = st.dictionaries(names, st.integers(1, 3), max_size=8)


def exported(content: dict[str, int]) -> list[bytes]:
    return [line(name, content[name], b"{}") + b"\n" for name in sorted(content, key=str.encode)]


@seed(5)
@given(contents, contents)
def test_each_record_that_is_not_the_same_in_both_is_listed_once(
    old: dict[str, int], new: dict[str, int]
) -> None:
    result = list(differences(exported(old), exported(new)))
    assert [each.name for each in result] == sorted((each.name for each in result), key=str.encode)
    assert {each.name for each in result if each.what == "added"} == new.keys() - old.keys()
    assert {each.name for each in result if each.what == "removed"} == old.keys() - new.keys()
    changed = {name for name in old.keys() & new.keys() if old[name] != new[name]}
    assert {each.name for each in result if each.what == "changed"} == changed
    assert all(
        (each.old_offset, each.new_offset) == (old.get(each.name), new.get(each.name)) for each in result
    )


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        (b'{"a":1}', b'{"a":2}', ("/payload/a",)),
        (b'{"a":1}', b'{"a":1.0}', ()),
        (b'{"a":1}', b'{"a":true}', ("/payload/a",)),
        (b'{"a":null}', b"{}", ("/payload/a",)),
        (b"{}", b'{"a":null}', ("/payload/a",)),
        (b'{"a":{"b/c":[1,2]}}', b'{"a":{"b/c":[1,3]}}', ("/payload/a/b~1c/1",)),
        (b'{"a":[1,2]}', b'{"a":[1,2,3]}', ("/payload/a",)),
        (b'{"a":[1,2,3]}', b'{"a":[0,2,4]}', ("/payload/a/0", "/payload/a/2")),
        (b'{"a":["x","y"]}', b'{"a":"xy"}', ("/payload/a",)),
        (b'{"a":"xy"}', b'{"a":["x","y"]}', ("/payload/a",)),
        (b'{"a":[]}', b'{"a":{"x":1}}', ("/payload/a",)),
        (b'{"a":{"x":1},"b":2}', b'{"b":3,"a":[]}', ("/payload/a", "/payload/b")),
        (b'{"score":9.30}', b'{"score":9.3}', ()),
        (b'{"a":12345678901234567890}', b'{"a":12345678901234567891}', ("/payload/a",)),
    ],
)
def test_a_changed_field_is_named_by_its_place_and_equal_values_are_no_change(
    old: bytes, new: bytes, fields: tuple[str, ...]
) -> None:
    result = list(differences([line("CVE-1", 7, old)], [line("CVE-1", 9, new, version=2)]))
    expected = fields or ("/offset", "/version")
    assert result == [Difference("CVE-1", "changed", expected, 7, 9)]


def test_the_same_value_in_other_words_is_no_difference() -> None:
    assert list(differences([line("CVE-1", 7, b'{"a":1}')], [line("CVE-1", 7, b'{ "a" : 1.0 }')])) == []


def test_the_fields_of_a_record_that_has_changed_altogether_are_listed_up_to_a_limit() -> None:
    old, new = (
        b"{%s}" % b",".join(b'"k%d":%d' % (key, key + more) for key in range(2000)) for more in (0, 1)
    )
    (result,) = differences([line("CVE-1", 7, old)], [line("CVE-1", 8, new)])
    assert MOST_FIELDS - 2 <= len(result.fields) <= MOST_FIELDS


BEYOND = b'{"a":1e999999999999999999999}'


def test_a_record_that_cannot_be_decoded_is_listed_as_changed() -> None:
    (result,) = differences([line("CVE-1", 7, b"{}")], [line("CVE-1", 8, BEYOND)])
    assert result.fields == ("/payload",)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_record_that_cannot_be_decoded_and_is_the_same_in_both_is_no_difference(end: bytes) -> None:
    assert list(differences([line("CVE-1", 7, BEYOND) + b"\n"], [line("CVE-1", 7, BEYOND) + end])) == []


@pytest.mark.parametrize(
    ("lines", "number", "words"),
    [
        ([line("B", 1), line("A", 2)], 2, "A follows B"),
        ([line("A", 1), line("A", 2)], 2, "A follows A"),
        ([b"nonsense"], 1, "this is not a record: it is not JSON"),
        ([line("A", 1), b""], 2, "this is not a record"),
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_what_is_no_export_is_an_error_with_its_line(
    lines: list[bytes], number: int, words: str, which: int
) -> None:
    both = [[line("Z", 9)], lines] if which else [lines, [line("Z", 9)]]
    with pytest.raises(NoExport, match=f"^(the names are not sorted: )?{words}") as error:
        list(differences(*both))
    assert (error.value.which, error.value.number) == (which, number)
