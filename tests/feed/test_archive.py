"""From bytes to records: every packing gives the same ones, unaltered, and what is no record is named."""

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard

from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import MAX_OFFSET, Record
from ctisync.errors import SnapshotRefused, StoreUnavailable, UsageError
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.snapshot.download import Offer
from ctisync.feed.snapshot.file import LocalSnapshot, open_file, snapshot_offset
from ctisync.system.clock import SystemClock
from tests.feed.crafted_zip import MEMBER, patched
from tests.support.feed_simulator import zipped
from tests.support.records import awkward, comparable, line, made_up, sample_lines

pytestmark = pytest.mark.usefixtures("lines_read_by")

BOM = b"\xef\xbb\xbf"


def _ndjson(lines: list[bytes]) -> bytes:
    return b"".join(text + b"\n" for text in lines)


def _array(lines: list[bytes]) -> bytes:
    return b"[" + b",\n ".join(lines) + b"]\n"


PACKINGS: dict[str, Callable[[list[bytes]], bytes]] = {
    "NDJSON": _ndjson,
    "without a last newline": lambda lines: _ndjson(lines)[:-1],
    "CRLF": lambda lines: b"".join(text + b"\r\n" for text in lines),
    "blank lines": lambda lines: b"\n \n" + b"\n\n\t\n".join(lines) + b"\n\n",
    "BOM": lambda lines: BOM + _ndjson(lines),
    "array": _array,
    "array with BOM": lambda lines: BOM + b"\n" + _array(lines),
    "ZIP": lambda lines: zipped({MEMBER: _ndjson(lines)}),
    "stored ZIP": lambda lines: zipped({MEMBER: _ndjson(lines)}, 0),
    "ZIP of an array": lambda lines: zipped({MEMBER: _array(lines)}),
    "gzip": lambda lines: gzip.compress(_ndjson(lines)),
    "zstd of an array": lambda lines: zstandard.ZstdCompressor().compress(_array(lines)),
    "ZIP with BOM": lambda lines: zipped({"x.NDJSON": BOM + _ndjson(lines)}),
}


def _file_of(
    tmp_path: Path, content: bytes, name: str = "snapshot", limits: Limits = USUAL_LIMITS
) -> LocalSnapshot:
    path = tmp_path / name
    path.write_bytes(content)
    return open_file(path, PassLimits(SystemClock(), limits))


def _records(file: LocalSnapshot, highest: int = MAX_OFFSET) -> list[Record]:
    return [record for batch in file.records(highest) for record in batch]


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS.keys())
@pytest.mark.parametrize(
    "lines", [sample_lines(), [each.line for each in (*awkward(), *made_up(50))]], ids=["sample", "made up"]
)
def test_every_packing_gives_the_same_records(
    tmp_path: Path, pack: Callable[[list[bytes]], bytes], lines: list[bytes]
) -> None:
    file = _file_of(tmp_path, pack(lines))
    records = _records(file)
    assert [comparable(record.line) for record in records] == [comparable(text) for text in lines]
    for record in records:
        document = json.loads(record.line)
        assert (record.name, record.offset) == (document["name"], document["offset"])
        assert b"\n" not in record.line
    assert file.position == file.size


@pytest.mark.parametrize("pack", [_ndjson, PACKINGS["ZIP"]], ids=["NDJSON", "ZIP"])
def test_a_line_is_stored_byte_for_byte(tmp_path: Path, pack: Callable[[list[bytes]], bytes]) -> None:
    lines = [each.line for each in awkward()]
    assert [record.line for record in _records(_file_of(tmp_path, pack(lines)))] == lines


def test_a_number_of_an_array_keeps_its_digits(tmp_path: Path) -> None:
    (record,) = _records(_file_of(tmp_path, _array([awkward()[0].line])))
    payload = json.loads(record.line, parse_float=Decimal)["payload"]
    assert str(payload["score"]) == "9.30"
    assert payload["huge"] == 123456789012345678901234567890
    assert payload["beyond_64_bits"] == 2**64 + 1


@pytest.mark.parametrize("pack", [_ndjson, _array, PACKINGS["ZIP"]], ids=["NDJSON", "array", "ZIP"])
def test_batches_are_small_and_the_position_grows(
    tmp_path: Path, pack: Callable[[list[bytes]], bytes]
) -> None:
    lines = [each.line for each in made_up(4000)]
    file = _file_of(tmp_path, pack(lines))
    positions, count = [], 0
    for batch in file.records(MAX_OFFSET):
        assert sum(len(record.line) for record in batch) < 3 << 20
        positions.append(file.position)
        count += len(batch)
    assert count == 4000
    assert len(positions) > 3
    assert positions == sorted(positions)
    assert 0 < positions[0] < positions[-1] <= file.path.stat().st_size


def test_a_unicode_line_separator_does_not_end_a_line(tmp_path: Path) -> None:
    text = line("CVE-1", 1, '{"a":"\u2028\u2029\u0085\u000b'.replace("\u000b", "").encode() + b'"}')
    (record,) = _records(_file_of(tmp_path, text))
    assert record.line == text


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        pytest.param(b"[1]", "object", id="array"),
        pytest.param(b"7", "object", id="number"),
        pytest.param(b'{"name":"x"', "JSON", id="cut"),
        pytest.param(b'{"offset":1,"payload":{}}', "name", id="no name"),
        pytest.param(b'{"name":"x","payload":{}}', "offset", id="no offset"),
        pytest.param(b'{"name":"x","offset":1}', "payload", id="no payload"),
        pytest.param(b'{"name":"x","offset":1,"payload":[]}', "payload", id="payload no object"),
        pytest.param(b'{"name":7,"offset":1,"payload":{}}', "name", id="name a number"),
        pytest.param(b'{"name":"x","offset":1.5,"payload":{}}', "offset", id="offset a fraction"),
        pytest.param(b'{"name":"x","offset":-1,"payload":{}}', "range", id="offset negative"),
        pytest.param(
            b'{"name":"x","offset":9223372036854775808,"payload":{}}', "range", id="offset too large"
        ),
        pytest.param(b'{"name":"%s","offset":1,"payload":{}}' % (b"x" * 513), "513", id="name too long"),
        pytest.param(b'{"name":"x","offset":1,"payload":{"a":"\xff"}}', "UTF-8", id="no UTF-8"),
        pytest.param(BOM + b'{"name":"x","offset":1,"payload":{}}', "JSON", id="a second BOM"),
    ],
)
def test_a_line_that_is_no_record_refuses_the_snapshot_by_number(
    tmp_path: Path, bad: bytes, words: str
) -> None:
    good = [each.line for each in made_up(3)]
    with pytest.raises(SnapshotRefused, match=rf"(?s)^line 5 .*{words}"):
        _records(_file_of(tmp_path, _ndjson([*good, b"", bad, *good])))


@pytest.mark.parametrize("bad", [b"7", b'{"name":"x","payload":{}}', b"null", b"[]"])
def test_an_element_that_is_no_record_refuses_the_snapshot_by_number(tmp_path: Path, bad: bytes) -> None:
    with pytest.raises(SnapshotRefused, match=r"^element 3 "):
        _records(_file_of(tmp_path, _array([*(each.line for each in made_up(2)), bad])))


@pytest.mark.parametrize("pack", [_ndjson, _array, PACKINGS["ZIP"]], ids=["NDJSON", "array", "ZIP"])
def test_a_record_above_the_snapshots_offset_is_refused(
    tmp_path: Path, pack: Callable[[list[bytes]], bytes]
) -> None:
    file = _file_of(tmp_path, pack([line("CVE-1", 10), line("CVE-2", 11)]))
    assert len(_records(file, 11)) == 2
    with pytest.raises(SnapshotRefused, match=r"2 .*CVE-2.* offset 11.* 10"):
        _records(file, 10)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "is empty", id="0 bytes"),
        pytest.param(b"\n \r\n", "is empty", id="blank"),
        pytest.param(BOM, "is empty", id="BOM alone"),
        pytest.param(b"<!DOCTYPE html><html>", "HTML", id="HTML"),
        pytest.param(b"\n  <html>", "HTML", id="HTML after blanks"),
        pytest.param(b"[]", "no records", id="empty array"),
        pytest.param(b'[{"name":"x"', "truncated", id="cut array"),
        pytest.param(_array([line("x", 1)])[:-2], "truncated", id="array without its end"),
        pytest.param(_array([line("x", 1)]) + b"x", "damaged", id="array and more"),
        pytest.param(b"\x1f\x8b\x08", "gzip is incomplete", id="cut gzip"),
        pytest.param(zipped({MEMBER: b""}), "is empty", id="empty member"),
        pytest.param(zipped({MEMBER: b"<html>"}), "HTML", id="ZIP of HTML"),
        pytest.param(zipped({}), "has 0", id="empty ZIP"),
        pytest.param(zipped({MEMBER: _ndjson([line("x", 1)])})[:-30], "truncated", id="cut ZIP"),
        pytest.param(b"PK", "truncated", id="PK alone"),
        pytest.param(patched(_ndjson([line("x", 1)]), crc=7), "CRC", id="wrong CRC"),
    ],
)
def test_what_is_no_snapshot_is_refused_in_its_own_words(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(SnapshotRefused, match=words):
        _records(_file_of(tmp_path, content))


@pytest.mark.parametrize("start", [b'{"name":"', b'[{"name":"'], ids=["line", "element"])
def test_a_line_or_element_without_end_is_refused_in_bounded_memory(tmp_path: Path, start: bytes) -> None:
    file = _file_of(tmp_path, zipped({MEMBER: start + b"x" * (64 << 20)}), limits=Limits(line_bytes=4 << 20))
    with pytest.raises(SnapshotRefused, match=r"more than 4194304 bytes \(limits.line_bytes\)") as caught:
        _records(file)
    assert "init-snapshot" in str(caught.value.hint)
    assert file.position < file.path.stat().st_size / 2


def _nested(depth: int) -> bytes:
    """A record whose payload has so many containers inside one another, and brackets in its texts."""
    inner = b'{"k":"]}\\\\","l":[' * (depth // 2) + b"{}" * (depth % 2) + b"]}" * (depth // 2)
    return b'{"name":"a","offset":1,"text":"\\"[[[{{{","payload":{"k":' + inner + b"}}"


@pytest.mark.parametrize("pack", [_ndjson, _array], ids=["lines", "array"])
def test_a_payload_may_be_as_deep_as_the_limit_says_and_no_deeper(
    tmp_path: Path, pack: Callable[[list[bytes]], bytes]
) -> None:
    limits = Limits(json_depth=100)
    assert len(_records(_file_of(tmp_path, pack([_nested(99)]), limits=limits))) == 1
    with pytest.raises(SnapshotRefused, match=r"nested too deeply \(limits\.json_depth\)"):
        _records(_file_of(tmp_path, pack([_nested(100)]), limits=limits))


@pytest.mark.parametrize("pack", [_ndjson, _array], ids=["lines", "array"])
def test_a_payload_without_a_bottom_is_refused(tmp_path: Path, pack: Callable[[list[bytes]], bytes]) -> None:
    with pytest.raises(SnapshotRefused, match="deep"):
        _records(_file_of(tmp_path, pack([_nested(200_000)])))


@pytest.mark.parametrize("pack", [_ndjson, _array], ids=["lines", "array"])
def test_a_record_of_more_values_than_the_limit_says_is_refused(
    tmp_path: Path, pack: Callable[[list[bytes]], bytes]
) -> None:
    many = [line("a", 1), line("b", 2, {"list": [[]] * 400}), line("c", 3, {"list": [[]] * 400})]
    assert len(_records(_file_of(tmp_path, pack(many), limits=Limits(json_values=1000)))) == 3
    with pytest.raises(SnapshotRefused, match=r"more than 500 values \(limits\.json_values\)"):
        _records(_file_of(tmp_path, pack(many), limits=Limits(json_values=500)))


def test_many_brackets_beside_one_another_are_not_deep(tmp_path: Path) -> None:
    flat = b'{"name":"a","offset":1,"payload":{"k":[' + b",".join([b'[{"]":"["}]'] * 5000) + b"]}}"
    assert len(_records(_file_of(tmp_path, flat, limits=Limits(json_depth=4)))) == 1
    with pytest.raises(SnapshotRefused, match=r"limits\.json_depth"):
        _records(_file_of(tmp_path, flat, limits=Limits(json_depth=3)))


@pytest.mark.parametrize("pack", [_ndjson, _array], ids=["lines", "array"])
def test_a_line_has_as_many_bytes_as_the_limit_says_and_no_more(
    tmp_path: Path, pack: Callable[[list[bytes]], bytes]
) -> None:
    lines = [line("a", 1), line("b", 2, {"text": "x" * 500})]
    assert len(_records(_file_of(tmp_path, pack(lines), limits=Limits(line_bytes=len(lines[1]))))) == 2
    with pytest.raises(SnapshotRefused, match=rf" 2 of the snapshot has {len(lines[1])} bytes"):
        _records(_file_of(tmp_path, pack(lines), limits=Limits(line_bytes=len(lines[1]) - 1)))


@pytest.mark.parametrize("pack", [_ndjson, _array, lambda lines: zipped({MEMBER: _ndjson(lines)})])
def test_more_unpacked_bytes_than_allowed_are_refused(
    tmp_path: Path, pack: Callable[[list[bytes]], bytes]
) -> None:
    lines = [line(f"n{number}", number) for number in range(1, 200)]
    limits = Limits(unzipped_bytes=2000)
    with pytest.raises(SnapshotRefused, match=r"more than 2000 bytes \(limits.unzipped_bytes\)"):
        _records(_file_of(tmp_path, pack(lines), limits=limits))


def test_the_size_of_the_records_is_estimated_before_they_are_read(tmp_path: Path) -> None:
    content = b"x" * 100_000
    assert _file_of(tmp_path, content).unpacked_size == 100_000
    packed = zipped({MEMBER: content})
    assert _file_of(tmp_path, packed).unpacked_size == 100_000
    wrapped = patched(content, size=3)
    assert _file_of(tmp_path, wrapped).unpacked_size == 6 * len(wrapped)
    assert _file_of(tmp_path, packed[:-30]).unpacked_size == 6 * (len(packed) - 30), "damage is found later"


@pytest.mark.parametrize("name", ["1901695_1746459961.zip", "vd_1.0.0_vd_4.8.0_1901695_1746459961.json"])
def test_the_offset_of_a_file_is_in_its_name(tmp_path: Path, name: str) -> None:
    file = _file_of(tmp_path, b"whatever", name)
    assert snapshot_offset(file, name) == (1901695, "file name")


def test_else_it_is_in_the_name_of_its_member(tmp_path: Path) -> None:
    file = _file_of(tmp_path, zipped({MEMBER: b"whatever"}), "renamed.zip")
    assert snapshot_offset(file, "renamed.zip") == (1901695, "member name")


@pytest.mark.parametrize("pack", [_ndjson, _array, lambda lines: zipped({"renamed.json": _ndjson(lines)})])
def test_else_it_is_the_highest_of_its_lines(tmp_path: Path, pack: Callable[[list[bytes]], bytes]) -> None:
    file = _file_of(tmp_path, pack([line("a", 5), line("b", 70), line("c", 6)]))
    assert snapshot_offset(file, "snapshot") == (70, "highest line")


def test_a_file_of_the_operator_is_never_removed(tmp_path: Path) -> None:
    file = _file_of(tmp_path, b"x")
    file.discard()
    assert (tmp_path / "snapshot").exists()


def test_a_file_that_cannot_be_read_is_a_wrong_command(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UsageError, match="cannot be read") as caught:
            open_file(path, PassLimits(SystemClock()))
        assert caught.value.hint is not None


def test_a_downloaded_file_that_has_gone_is_the_stores_failure(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    path.write_bytes(b"x")
    file = LocalSnapshot(path, Offer("x", None, 1), PassLimits(SystemClock()), ours=(path,))
    path.unlink()
    with pytest.raises(StoreUnavailable):
        _records(file)


@pytest.mark.parametrize(("name", "offset"), [("0_1746459961.json", 7), ("snapshot.json", 0)])
def test_a_snapshot_file_of_offset_0_is_refused(tmp_path: Path, name: str, offset: int) -> None:
    """To any later pass a content at offset 0 is none: it would be loaded anew."""
    file = _file_of(tmp_path, _ndjson([line("CVE-1", offset)]), name)
    with pytest.raises(SnapshotRefused, match="offset is 0"):
        snapshot_offset(file, name)
