"""Whom a reader trusts: the serials of each key, the age of a manifest, and what a public key looks like."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctisync.core.model import MAX_OFFSET, ConsumerInfo, Mirrored
from ctisync.core.state import ConsumerState
from ctisync.core.trust import (
    KeySerial,
    Serials,
    Trust,
    Untrusted,
    check_age,
    check_serial,
    is_public_key,
    key_id,
    serial_of,
    with_mirror,
)

NOW: Final = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)
KEY: Final = "RWQ6oo+V//BwzNdyEFuBzJiMU0daPVo4egoDv5gOiKccbPmrrRHf1RzA"
"""As `minisign -G` printed it, with the ID CC70F0FF958FA23A."""


def test_a_public_key_is_what_minisign_prints_and_nothing_else() -> None:
    assert is_public_key(KEY)
    assert key_id(KEY) == "CC70F0FF958FA23A"
    for text in ("", "RW", KEY[:-4], f"{KEY}AAAA", f"{KEY}\n", f" {KEY}", KEY.replace("RW", "RU"), "ä" * 56):
        assert not is_public_key(text), text


def mirror(key: str | None, serial: int) -> Mirrored:
    return Mirrored(NOW, 0, serial, key)


def test_a_mirror_that_is_older_than_one_before_is_refused_and_the_same_one_is_not() -> None:
    serials = with_mirror(mirror("a", 7), ())
    check_serial(mirror("a", 7), serials)
    check_serial(mirror("a", 8), serials)
    with pytest.raises(Untrusted, match=r"serial 6.*serial 7") as caught:
        check_serial(mirror("a", 6), serials)
    assert "copy the newest mirror" in str(caught.value.hint)


def test_the_feed_itself_and_a_mirror_without_a_signature_have_no_serial() -> None:
    serials = (KeySerial("a", 7),)
    for answer in (None, mirror(None, 9)):
        check_serial(answer, serials)
        assert with_mirror(answer, serials) == serials


def test_a_huge_serial_of_one_key_locks_no_other_key_out() -> None:
    serials = with_mirror(mirror("stolen", MAX_OFFSET), with_mirror(mirror("old", 7), ()))
    check_serial(mirror("new", 1), serials)
    check_serial(mirror("old", 7), serials)
    with pytest.raises(Untrusted):
        check_serial(mirror("stolen", 8), serials)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9))))
def test_of_each_key_the_highest_serial_is_remembered_once(manifests: list[tuple[str, int]]) -> None:
    serials: Serials = ()
    for key, serial in manifests:
        serials = with_mirror(mirror(key, serial), serials)
    for key in "abc":
        assert serial_of(key, serials) == max((serial for one, serial in manifests if one == key), default=0)
    assert len(serials) == len({key for key, _ in manifests})


def test_without_a_maximum_no_age_is_refused() -> None:
    for at in (NOW - 10_000 * DAY, NOW + 10_000 * DAY):
        check_age(at, Trust(), NOW)


def test_a_manifest_may_be_as_old_as_the_maximum_and_no_older() -> None:
    trust = Trust(max_age=DAY)
    check_age(NOW - DAY, trust, NOW)
    with pytest.raises(Untrusted, match=r"2026-11-30T11:59:59Z.*max_manifest_age \(86400 s\)"):
        check_age(NOW - DAY - timedelta(seconds=1), trust, NOW)


def test_a_manifest_from_the_future_cannot_outlive_the_maximum_but_clocks_may_differ_a_little() -> None:
    trust = Trust(max_age=DAY)
    check_age(NOW + timedelta(minutes=5), trust, NOW)
    with pytest.raises(Untrusted, match="future"):
        check_age(NOW + timedelta(minutes=5, seconds=1), trust, NOW)


def test_the_state_remembers_the_serial_even_of_a_mirror_that_is_behind_and_none_without_a_key() -> None:
    state = ConsumerState(offset=10, last_offset=10, content=True)
    for last_offset in (10, 9):
        signed = ConsumerInfo(last_offset, None, mirror=mirror("a", 5))
        assert state.feed_answered(signed, NOW).serials == (KeySerial("a", 5),)
        unsigned = ConsumerInfo(last_offset, None, mirror=mirror(None, 5))
        assert state.feed_answered(unsigned, NOW).serials == ()
