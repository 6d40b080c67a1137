"""The manifest of a mirror: one text for one manifest, parts that agree, and what stays in the folder."""

import hashlib
import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ctisync.core.manifest import (
    FORMAT,
    GRID,
    Edge,
    Head,
    Keep,
    Manifest,
    MirroredSnapshot,
    MirrorFile,
    Segment,
    WrongMirror,
    base,
    encoded,
    full,
    head_of,
    is_continued,
    is_due,
    manifest_of,
    pieces,
    pruned,
    safe_name,
    segment_name,
    snapshot_name,
)

NOW: Final = datetime(2026, 12, 1, 12, tzinfo=UTC)
CONSUMER: Final = "vd_1.0.0/vd_4.8.0"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def snapshot(offset: int, highest: int | None = None, age: timedelta = timedelta()) -> MirroredSnapshot:
    sha256 = digest(f"s{offset}")
    name = snapshot_name(sha256, f"{offset}_1746459961.zip")
    lines = offset if highest is None else highest
    return MirroredSnapshot(
        name=name, size=9, sha256=sha256, offset=offset, highest=lines, added_at=NOW - age
    )


def segment(after: int, to: int, days: float = 0, count: int | None = None) -> Segment:
    sha256 = digest(f"c{after}")
    number = to - after if count is None else count
    at = (NOW - timedelta(days=days)).isoformat()
    first = Edge(to - number + 1, at) if number else None
    return Segment(
        name="c",
        size=5,
        sha256=sha256,
        after=after,
        to=to,
        raw_size=10 * number,
        count=number,
        first=first,
        last=Edge(to, at) if number else None,
    )


def named(one: Segment) -> Segment:
    return replace(one, name=segment_name(one, one.sha256))


def manifest(
    snapshots: tuple[MirroredSnapshot, ...] = (), segments: tuple[Segment, ...] = (), **fields: Any
) -> Manifest:
    snapshots = snapshots or (snapshot(2500),)
    segments = tuple(map(named, segments)) or tuple(
        named(segment(after, min(after + GRID, 4321))) for after in (2000, 3000, 4000)
    )
    return Manifest(
        **{
            "format": FORMAT,
            "consumer": CONSUMER,
            "serial": 7,
            "made_at": NOW,
            "checked_at": NOW,
            "feed": {"id": 4, "is_public": True, "operations": None},
            "last_offset": segments[-1].to,
            "floor": segments[0].after,
            "snapshots": snapshots,
            "segments": segments,
            **fields,
        }
    )


def test_a_manifest_and_its_head_come_back_as_they_were_written() -> None:
    assert manifest_of(encoded(manifest()), CONSUMER) == manifest()
    head = Head(format=FORMAT, manifest=MirrorFile(name="m-7-0.json", size=9, sha256=digest("m")))
    assert head_of(encoded(head)) == head


TEXT: Final = encoded(manifest())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null\n",
        TEXT[:-1],
        TEXT + b" ",
        TEXT[:500],
        TEXT.replace(b'{"format":1', b'{"format":1,"format":1'),
        TEXT.replace(b'{"format":1', b'{"more":1,"format":1'),
        TEXT.replace(b'"format":1', b'"format": 1'),
        TEXT.replace(b'"format":1', b'"format":2'),
        TEXT.replace(b'"serial":7', b'"serial":7.0'),
        TEXT.replace(b'"serial":7', b'"serial":0'),
        TEXT.replace(b'"serial":7', b'"serial":' + b"9" * 5000),
        TEXT.replace(b'"id":4', b'"id":' + b"[" * 100_000 + b"]" * 100_000),
        TEXT.replace(b'"id":4', b'"id":{"a":1}'),
        TEXT.replace(b'"name":"c-2000', b'"name":"../c-2000'),
        TEXT.replace(b'"name":"c-2000', b'"name":"C-2000'),
        TEXT.replace(b'"name":"s-', b'"name":"t-'),
        TEXT.replace(b"\n", b'\xff"\n'),
    ],
)
def test_any_other_text_is_refused(text: bytes) -> None:
    assert text != TEXT, "the case changes nothing"
    with pytest.raises(WrongMirror):
        manifest_of(text, CONSUMER)


def segments_with(at: int, **fields: Any) -> tuple[Segment, ...]:
    whole = manifest().segments
    return (*whole[:at], replace(whole[at], **fields), *whole[at + 1 :])


@pytest.mark.parametrize(
    "wrong",
    [
        {"consumer": "vd_1.0.0/other"},
        {"format": 2},
        {"last_offset": 4322},
        {"last_offset": 4320},
        {"floor": 1000},
        {"floor": 2001},
        {"snapshots": (snapshot(1999),)},
        {"snapshots": (snapshot(2500, 1999),)},
        {"snapshots": (snapshot(4322),)},
        {"snapshots": (snapshot(2500, 4322),)},
        {"snapshots": (snapshot(2500), snapshot(2500))},
        {"snapshots": (snapshot(3500), snapshot(2500))},
        {"segments": manifest().segments[1:]},
        {"segments": manifest().segments[:-1]},
        {"segments": (*manifest().segments, manifest().segments[-1])},
        {"segments": tuple(reversed(manifest().segments))},
        {"segments": segments_with(0, count=999, first=None)},
        {"segments": segments_with(0, count=0)},
        {"segments": segments_with(0, count=1)},
        {"segments": segments_with(0, count=999, first=Edge(2003, None))},
        {"segments": segments_with(0, first=Edge(2000, None))},
        {"segments": segments_with(2, last=Edge(4322, None))},
        {"segments": segments_with(0, sha256=digest("another"))},
        {"segments": segments_with(1, after=2999)},
    ],
)
def test_parts_that_contradict_each_other_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WrongMirror):
        manifest_of(encoded(replace(manifest(), **wrong)), CONSUMER)


def test_no_snapshot_is_refused() -> None:
    with pytest.raises(WrongMirror, match="0 snapshots"):
        manifest_of(encoded(replace(manifest(), snapshots=())), CONSUMER)


def test_a_flipped_bit_is_refused_or_says_something_else() -> None:
    """What still is a manifest is another one: its digest shows it."""
    for at in range(len(TEXT)):
        text = TEXT[:at] + bytes([TEXT[at] ^ 1]) + TEXT[at + 1 :]
        try:
            assert manifest_of(text, CONSUMER) != manifest()
        except WrongMirror:
            continue


@given(st.text(min_size=1, max_size=300))
def test_names_are_safe_everywhere_and_one_for_each(text: str) -> None:
    name = safe_name(text)
    assert re.fullmatch(r"[a-z0-9._=-]{1,100}", name)
    assert not name.startswith(".")
    assert not name.endswith(".")
    assert safe_name(name) == name


@given(
    st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,40}\Z"),
    st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,40}\Z"),
)
def test_two_consumers_never_share_a_folder(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_case_twins_have_different_names() -> None:
    assert safe_name("vd_4.8.0") == "vd_4.8.0"
    assert safe_name("VD") == "=56=44"


def test_segments_lie_on_the_grid_and_the_last_one_grows() -> None:
    assert [(each.after, each.to) for each in pieces(1000, 3001)] == [
        (1000, 2000),
        (2000, 3000),
        (3000, 3001),
    ]
    assert list(pieces(1000, 1000)) == []
    assert [each.to for each in full(manifest().segments)] == [3000, 4000]
    assert [each.to for each in full(manifest().segments[:2])] == [3000, 4000]


@pytest.mark.parametrize(
    ("kept", "offset", "due"),
    [
        ((), 5, True),
        ((snapshot(10, age=timedelta(days=8)),), 11, True),
        ((snapshot(10, age=timedelta(days=8)),), 10, False),
        ((snapshot(10, age=timedelta(days=6)),), 11, False),
        ((snapshot(10, age=timedelta(days=-1)),), 11, True),
    ],
)
def test_a_newer_snapshot_is_due_once_the_kept_one_is_old(
    kept: tuple[MirroredSnapshot, ...], offset: int, due: bool
) -> None:
    assert is_due(kept, offset, timedelta(days=7), NOW) is due


def test_changes_stay_for_their_time_and_all_after_the_oldest_snapshot() -> None:
    whole = manifest(
        snapshots=(snapshot(2500), snapshot(4500, 4100), snapshot(6500)),
        segments=tuple(
            segment(after, after + GRID, days=100 - after / 100) for after in range(2000, 8000, GRID)
        ),
    )
    assert manifest_of(encoded(whole), CONSUMER) == whole
    kept = pruned(whole, Keep(snapshots=2, changes=timedelta(days=1)), NOW)
    assert ([each.offset for each in kept.snapshots], kept.floor) == ([4500, 6500], 4000)
    kept = pruned(whole, Keep(snapshots=2, changes=timedelta(days=75)), NOW)
    assert kept.floor == 3000, "changes of the last 75 days stay, too"
    assert pruned(whole, Keep(snapshots=3, changes=timedelta()), NOW).floor == 2000


@given(st.randoms(use_true_random=False), st.integers(1, 4), st.integers(0, 60))
def test_what_is_pruned_is_still_a_manifest(chance: random.Random, snapshots: int, days: int) -> None:
    end = chance.randrange(3001, 30_000)
    offsets = sorted(chance.sample(range(2000, end), chance.randint(1, 6)))
    kept = tuple(snapshot(each, chance.randint(max(0, each - 3000), each)) for each in offsets)
    begin = base(kept)
    parts = tuple(
        segment(each.after, each.to, (end - each.to) / 500, chance.choice([0, each.to - each.after]))
        for each in pieces(begin, end)
    )
    whole = manifest(kept, parts, last_offset=end, floor=begin)
    after = pruned(whole, Keep(snapshots=snapshots, changes=timedelta(days=days)), NOW)
    assert manifest_of(encoded(after), CONSUMER) == after
    assert len(after.snapshots) == min(snapshots, len(kept))
    assert after.last_offset == end


def test_a_text_that_fits_is_what_other_programs_read() -> None:
    assert msgspec.json.decode(TEXT)["feed"] == {"id": 4, "is_public": True, "operations": None}


OLD: Final = manifest(segments=(segment(2000, 3000), segment(3000, 3200)), last_offset=3200)
LATER: Final = Edge(2001, "2030-01-01T00:00:00Z")


def test_a_history_goes_on_in_a_newer_manifest_and_in_an_older_one() -> None:
    new = manifest(segments=(segment(2000, 3000), grown(3000, 4000), segment(4000, 4321)))
    further = manifest(segments=(grown(3000, 4000), segment(4000, 4321)), floor=3000)
    later = manifest(segments=(segment(5000, 6000),), floor=5000)
    for one, other in ((OLD, OLD), (OLD, new), (OLD, further), (OLD, later), (new, further)):
        assert is_continued(one, other)
        assert is_continued(other, one)


def grown(after: int, to: int) -> Segment:
    """What the open segment of OLD has become."""
    return replace(segment(after, to), first=OLD.segments[1].first)


def test_no_change_yet_in_an_open_segment_is_the_same_history() -> None:
    empty = manifest(segments=(segment(2000, 3000), segment(3000, 3200, count=0)), last_offset=3200)
    new = manifest(segments=(segment(2000, 3000), segment(3000, 4000), segment(4000, 4321)))
    assert is_continued(empty, new)
    assert is_continued(new, empty)


@pytest.mark.parametrize(
    "segments",
    [
        (replace(segment(2000, 3000), first=LATER), segment(3000, 3200)),
        (replace(segment(2000, 3000), last=LATER), segment(3000, 3200)),
        (segment(2000, 3000, count=999), segment(3000, 3200)),
        (segment(2000, 3000), segment(3000, 3200, count=0)),
        (segment(2000, 3000), replace(segment(3000, 4000), first=LATER), segment(4000, 4321)),
    ],
    ids=["first", "last", "count", "none", "first of a grown one"],
)
def test_other_changes_at_the_same_offsets_are_another_history(segments: tuple[Segment, ...]) -> None:
    other = manifest(segments=segments, last_offset=segments[-1].to)
    assert not is_continued(OLD, other)
    assert not is_continued(other, OLD)


def test_another_consumer_of_the_feed_is_another_history_if_both_say_who_they_are() -> None:
    one, other, unknown = (
        replace(OLD, feed=feed) for feed in ({"id": 1, "inserted_at": "a"}, {"id": 1, "inserted_at": "b"}, {})
    )
    assert not is_continued(one, other)
    for each in (one, other):
        assert is_continued(each, unknown)
        assert is_continued(unknown, each)
        assert is_continued(each, each)
