"""A ZIP of several members is one snapshot, whether it is here or still coming in."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final, cast

import pytest

from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import MAX_OFFSET, Record, Snapshot
from ctisync.errors import SnapshotChanged, SnapshotRefused
from ctisync.feed.http.budget import PassLimits
from ctisync.feed.snapshot import records as archive
from ctisync.feed.snapshot.file import open_file, snapshot_offset
from ctisync.system.clock import SystemClock
from tests.feed.conftest import MakeFeed
from tests.feed.crafted_zip import Entry, assembled, deflated
from tests.feed.downloads import nothing, served
from tests.support import feed_failures as failures
from tests.support.feed_simulator import FeedSimulator, zipped
from tests.support.records import line, made_up

RULES: Final = [line(f"rule/{n}", n + 1, {"type": "rule"}) for n in range(30)]
DECODERS: Final = [line(f"decoder/{n}", n + 101, {"type": "decoder"}) for n in range(30)]
OTHERS: Final = [line(f"kvdb/{n}", n + 201, {"type": "kvdb"}) for n in range(30)]


def ndjson(lines: Sequence[bytes]) -> bytes:
    return b"".join(text + b"\n" for text in lines)


def entry(name: str, lines: Sequence[bytes] | bytes, **how: object) -> Entry:
    content = lines if isinstance(lines, bytes) else ndjson(lines)
    return Entry(content, name.encode(), **how)  # type: ignore[arg-type]  # a test's own words


def streamed(name: str, lines: Sequence[bytes], form: str, signature: bytes) -> Entry:
    """A member as a writer makes it that cannot go back: its sizes follow it."""
    content = ndjson(lines)
    sizes = struct.pack(form, zlib.crc32(content), len(deflated(content)), len(content))
    unknown = dict.fromkeys(("crc", "packed", "size"), 0)
    return entry(name, lines, flags=8, local=unknown, behind=signature + sizes)


class _Watched:
    """A file that tells how far it was read before its end was asked for, and how many headers of entries."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.tell = self._file.tell
        self.end_sought_at: int | None = None
        self.furthest = 0
        self.heads = 0

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.heads += size == 30 and self.end_sought_at is None
        self.furthest = max(self.furthest, self._file.tell())
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and self.end_sought_at is None:
            self.end_sought_at = self.furthest
        return self._file.seek(offset, whence)


def read(data: bytes, *, whole: bool, limits: Limits = USUAL_LIMITS) -> list[bytes]:
    file = cast(BinaryIO, _Watched(data))
    batches = archive.records(file, MAX_OFFSET, limits, whole=whole)
    return [record.line for batch in batches for record in batch]


def lines_before_the_end(data: bytes) -> list[bytes]:
    """The lines that come out before the directory is looked for."""
    file = _Watched(data)
    lines: list[bytes] = []
    for batch in archive.records(cast(BinaryIO, file), MAX_OFFSET, whole=False):
        if file.end_sought_at is not None:
            break
        lines += [record.line for record in batch]
    return lines


SIGNED: Final = b"PK\x07\x08"

FORMS: Final[dict[str, tuple[list[Entry], int]]] = {
    "two members": ([entry("rules.json", RULES), entry("decoders.json", DECODERS)], 1),
    "names in capitals": ([entry("RULES.JSON", RULES), entry("b.NDJSON", DECODERS)], 1),
    "one name twice": ([entry("a.json", RULES), entry("a.json", DECODERS)], 1),
    "in folders": ([entry("x/a.json", RULES), entry("y/a.json", DECODERS)], 1),
    "an empty member first": ([entry("a.json", b""), entry("b.json", RULES), entry("c.json", DECODERS)], 1),
    "an empty member last": ([entry("b.json", RULES), entry("c.json", DECODERS), entry("z.json", b"")], 1),
    "blanks between": ([entry("b.json", RULES), entry("c.json", b"\n \n"), entry("d.json", DECODERS)], 1),
    "no last newline": ([entry("b.json", ndjson(RULES)[:-1]), entry("d.json", ndjson(DECODERS)[:-1])], 1),
    "a byte order mark each": (
        [
            entry("b.json", b"\xef\xbb\xbf" + ndjson(RULES)),
            entry("d.json", b"\xef\xbb\xbf" + ndjson(DECODERS)),
        ],
        1,
    ),
    "a readme before": ([entry("README.md", b"Hello"), entry("b.json", RULES), entry("d.json", DECODERS)], 0),
    "files between": (
        [
            entry("b.json", RULES),
            entry("LICENSE", b"Words"),
            entry("folder/", b"", method=0),
            entry("d.json", DECODERS),
        ],
        1,
    ),
    "sizes behind": ([streamed("b.json", RULES, "<LLL", SIGNED), entry("d.json", DECODERS)], 1),
    "sizes behind, unsigned": ([streamed("b.json", RULES, "<LLL", b""), entry("d.json", DECODERS)], 1),
    "sizes behind, in 64 bits": ([streamed("b.json", RULES, "<LQQ", SIGNED), entry("d.json", DECODERS)], 1),
    "sizes behind each": (
        [streamed("b.json", RULES, "<LQQ", b""), streamed("d.json", DECODERS, "<LLL", SIGNED)],
        1,
    ),
    "sizes behind that lie": (
        [entry("b.json", RULES, flags=8, behind=SIGNED + bytes(12)), entry("d.json", DECODERS)],
        1,
    ),
    "the second one stored": ([entry("b.json", RULES), entry("d.json", DECODERS, method=0)], 1),
    "the first one stored": ([entry("b.json", RULES, method=0), entry("d.json", DECODERS)], 0),
    "a file of unknown size between": (
        [entry("b.json", RULES), entry("x.txt", b"Hello", flags=8), entry("d.json", DECODERS)],
        1,
    ),
    "bytes between that are of no entry": (
        [entry("b.json", RULES, behind=b"junk"), entry("d.json", DECODERS)],
        1,
    ),
}
"""Entries of the same 60 records, and how many members are read before the directory is here."""


@pytest.mark.parametrize(("entries", "at_once"), FORMS.values(), ids=FORMS.keys())
def test_all_members_are_one_snapshot_here_and_while_it_comes(entries: list[Entry], at_once: int) -> None:
    data = assembled(entries)
    assert read(data, whole=True) == read(data, whole=False) == RULES + DECODERS
    content = [each for each in entries if each.name.lower().endswith((b".json", b".ndjson"))]
    early = lines_before_the_end(data)
    assert early == [
        text
        for each in content[:at_once]
        for text in each.content.strip(b"\xef\xbb\xbf\n ").split(b"\n")
        if text
    ]


def test_what_the_directory_alone_calls_encrypted_is_not_taken_for_the_content() -> None:
    """Else the same file is loaded while it comes in, and refused when all of it is here."""
    with pytest.raises(SnapshotChanged):
        read(assembled([entry("a.json", RULES, central={"flags": 1})]), whole=False)


def test_members_are_read_in_the_order_of_the_directory() -> None:
    entries = [entry(f"{name}.json", lines) for name, lines in (("a", RULES), ("b", DECODERS), ("c", OTHERS))]
    assert read(assembled(entries), whole=True) == RULES + DECODERS + OTHERS
    assert (
        read(zipped({"b.json": ndjson(DECODERS), "a.json": ndjson(RULES)}), whole=False) == DECODERS + RULES
    )


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_an_array_and_lines_may_stand_beside_each_other(compression: int) -> None:
    array = b"[" + b",".join(RULES) + b"]"
    data = zipped({"a.json": array, "b.json": ndjson(DECODERS)}, compression)
    assert read(data, whole=True) == read(data, whole=False) == RULES + DECODERS


BAD: Final[dict[str, tuple[list[Entry], str]]] = {
    "a second CRC": (
        [entry("a.json", RULES), entry("b.json", DECODERS, central={"crc": 7})],
        "b.json has CRC",
    ),
    "a first CRC": (
        [entry("a.json", RULES, central={"crc": 7}), entry("b.json", DECODERS)],
        "a.json has CRC",
    ),
    "a second size": (
        [entry("a.json", RULES), entry("b.json", DECODERS, central={"size": 7})],
        "size of b.json",
    ),
    "a line of the second": (
        [entry("a.json", RULES), entry("b.json", ndjson([*DECODERS, b"{}"]))],
        "line 31 of b.json of the snapshot is not a record",
    ),
    "an element of the second": (
        [entry("a.json", RULES), entry("b.json", b"[7]")],
        "element 1 of b.json of the snapshot is not a record",
    ),
    "a manifest that is taken for records": (
        [entry("a.json", RULES), entry("manifest.json", b'{\n"version": 1\n}')],
        "its ZIP contains manifest.json: it is a whole package",
    ),
    "nothing in any": ([entry("a.json", b""), entry("b.json", b"\n")], "the snapshot is empty"),
    "an array of nothing in one": ([entry("a.json", b""), entry("b.json", b"[]")], "has no records"),
    "the same bytes twice": ([entry("a.json", RULES), entry("b.json", RULES, absent=True, at=0)], "overlap"),
}


@pytest.mark.parametrize("whole", [True, False], ids=["here", "coming"])
@pytest.mark.parametrize(("entries", "words"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_with_one_member_refuses_all(entries: list[Entry], words: str, whole: bool) -> None:
    with pytest.raises(SnapshotRefused, match=words):
        read(assembled(entries), whole=whole)


def test_an_entry_that_the_directory_does_not_name_is_no_part_of_the_snapshot() -> None:
    """As a ZIP has it from which a file was deleted: it is known when the directory is here."""
    both = assembled([entry("a.json", RULES), entry("b.json", DECODERS)])
    start = both.index(b"PK\x01\x02")
    second = both[both.index(b"PK\x01\x02", start + 4) : both.index(b"PK\x05\x06")]
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(second), start, 0)
    data = both[:start] + second + end
    assert read(data, whole=True) == DECODERS
    with pytest.raises(SnapshotChanged, match="another entry than the first one"):
        read(data, whole=False)


@pytest.mark.parametrize("whole", [True, False], ids=["here", "coming"])
def test_the_bytes_of_all_members_together_are_limited(whole: bool) -> None:
    data = zipped({"a.json": ndjson(RULES), "b.json": ndjson(DECODERS)})
    size = len(ndjson(RULES)) + len(ndjson(DECODERS))
    assert len(read(data, whole=whole, limits=Limits(unzipped_bytes=size))) == 60
    with pytest.raises(SnapshotRefused, match=r"limits\.unzipped_bytes"):
        read(data, whole=whole, limits=Limits(unzipped_bytes=size - 1))


@pytest.mark.parametrize("whole", [True, False], ids=["here", "coming"])
def test_many_small_bombs_are_a_bomb(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them below the bytes that are free of a check."""
    monkeypatch.setattr("ctisync.feed.snapshot.compressed.FREE", 300_000)
    bomb = line("a", 1, b'{"text":"%s"}' % (b"x" * 200_000)) + b"\n"
    assert len(read(zipped({"a.json": bomb}), whole=whole)) == 1
    with pytest.raises(SnapshotRefused, match=r"limits\.ratio"):
        read(zipped({"a.json": bomb, "b.json": bomb}), whole=whole)


@pytest.mark.parametrize("whole", [True, False], ids=["here", "coming"])
def test_bombs_are_as_small_as_they_are_packed_however_many_of_them_a_read_gets(
    whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a read gets of the members behind one does not count for it: each would seem as large as all."""
    monkeypatch.setattr("ctisync.feed.snapshot.compressed.FREE", 300_000)
    bomb = b" " * 200_000 + b"\n"
    with pytest.raises(SnapshotRefused, match=r"limits\.ratio"):
        read(zipped({f"{number}.json": bomb for number in range(40)}), whole=whole)


@pytest.mark.parametrize("whole", [True, False], ids=["here", "coming"])
def test_members_count_as_entries(whole: bool) -> None:
    data = zipped({f"{number}.json": line(f"n{number}", 1) for number in range(6)})
    assert len(read(data, whole=whole, limits=Limits(members=6))) == 6
    with pytest.raises(SnapshotRefused, match=r"limits\.members"):
        read(data, whole=whole, limits=Limits(members=5))


@pytest.mark.parametrize("name", ["{}.json", "{}.txt"], ids=["members", "other files"])
def test_a_row_of_entries_without_end_is_not_followed_beyond_the_limit(name: str) -> None:
    """Before the directory is here: a download of 64 GiB has room for a thousand million of them."""
    entries = [entry(name.format(number), RULES[:1]) for number in range(60)]
    file = _Watched(assembled([entry("a.json", RULES[:1]), *entries]))
    with pytest.raises(SnapshotRefused, match=r"limits\.members"):
        list(archive.records(cast(BinaryIO, file), MAX_OFFSET, Limits(members=5), whole=False))
    assert file.heads <= 6


def test_the_room_for_all_members_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(zipped({"a.json": b"x" * 100_000, "b.json": b"x" * 50_000}))
    assert open_file(path, PassLimits(SystemClock())).unpacked_size == 150_000


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a_90_1746459961.json", "b_90_1746459962.json"], (90, "member name")),
        (["a_90_1746459961.json", "b_91_1746459961.json"], (130, "highest line")),
        (["a_90_1746459961.json", "b.json"], (130, "highest line")),
    ],
    ids=["one offset", "two offsets", "one that tells none"],
)
def test_members_say_the_offset_if_they_agree(
    tmp_path: Path, names: list[str], expected: tuple[int, str]
) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(zipped({names[0]: ndjson(RULES), names[1]: ndjson(DECODERS)}))
    assert snapshot_offset(open_file(path, PassLimits(SystemClock())), "s.zip") == expected


def _large(first: int) -> list[bytes]:
    return [each.line for each in made_up(3000, first)]


@pytest.mark.parametrize("cut", [failures.cut_off(0.75), failures.reset(0.4)], ids=["second", "first"])
def test_a_download_that_is_cut_within_a_member_goes_on_within_it(
    sim: FeedSimulator, make_feed: MakeFeed, snapshot: Snapshot, cut: failures.Failure
) -> None:
    one, other = _large(1), [text.replace(b'"CVE-', b'"TID-') for text in _large(1)]
    served(sim).body = zipped({"a.json": ndjson(one), "readme.txt": b"Hello", "b.json": ndjson(other)})
    sim.fail("snapshot", cut)
    records: list[Record] = []
    with closing(make_feed().open_snapshot(Snapshot(snapshot.link, MAX_OFFSET), None, nothing)) as file:
        for batch in file.records(MAX_OFFSET):
            records += batch
    assert [record.line for record in records] == one + other
    assert [request.status for request in sim.requests_for("snapshot")] == [200, 206]


PACKINGS: Final[dict[str, Callable[[], bytes]]] = {
    "deflated": lambda: zipped({"a.json": ndjson(RULES), "b.json": ndjson(DECODERS)}),
    "stored": lambda: zipped({"a.json": ndjson(RULES), "b.json": ndjson(DECODERS)}, 0),
}


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS.keys())
def test_a_snapshot_cut_anywhere_is_refused(pack: Callable[[], bytes]) -> None:
    data = pack()
    for size in range(0, len(data), 97):
        for whole in (True, False):
            with pytest.raises(SnapshotRefused):
                read(data[:size], whole=whole)
