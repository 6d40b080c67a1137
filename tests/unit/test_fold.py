"""Folding a range: one write a resource, and the same result however often it is done."""

import itertools
import random
import tracemalloc
from collections.abc import Mapping, Sequence
from decimal import Decimal

import pytest

from ctisync.core import json_text
from ctisync.core.fold import CannotApply, Folded, TooLarge, digest, fold, touched
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import Change, Consumer, Delete, Json, Record, Write

EVERYTHING = Consumer()


def stored(name: str, offset: int, payload: Json | None = None) -> Record:
    body = {"name": name, "offset": offset, "version": 1, "payload": {} if payload is None else payload}
    return Record(name, offset, json_text.encode(body))


def create(offset: int, name: str, payload: Json | None = None) -> Change:
    return Change(offset, "create", name, 1, payload={} if payload is None else payload)


def update(offset: int, name: str, *operations: Json) -> Change:
    return Change(offset, "update", name, offset, operations=list(operations))


def delete(offset: int, name: str) -> Change:
    return Change(offset, "delete", name)


def add(path: str, value: Json) -> Json:
    return {"op": "add", "path": path, "value": value}


def fold_all(
    per_resource: Mapping[str, Sequence[Change]],
    records: Mapping[str, Record],
    limits: Limits = USUAL_LIMITS,
) -> Folded:
    """Of all names at once."""
    return fold(per_resource, [(list(per_resource), records)], limits)


def folded(changes: Sequence[Change], *records: Record, consumer: Consumer = EVERYTHING) -> Folded:
    return fold_all(touched(changes, consumer), {record.name: record for record in records})


def payload_of(write: Write) -> Json:
    assert isinstance(write, Record)
    return json_text.decode(write.line)["payload"]


def test_many_changes_of_one_record_become_one_write_at_the_last_offset() -> None:
    changes = [update(offset, "a", add(f"/{offset}", offset)) for offset in (5, 6, 9)]
    (write,) = folded(changes, stored("a", 4)).writes
    assert payload_of(write) == {"5": 5, "6": 6, "9": 9}
    assert isinstance(write, Record)
    assert (write.offset, json_text.decode(write.line)["version"]) == (9, 9)


def test_changes_at_or_below_the_records_own_offset_are_skipped() -> None:
    changes = [update(5, "a", add("/l/-", 1)), update(6, "a", add("/l/-", 2))]
    result = folded(changes, stored("a", 5, {"l": [1]}))
    assert payload_of(result.writes[0]) == {"l": [1, 2]}
    assert result.skipped == 1
    assert folded(changes, stored("a", 6, {"l": [1, 2]})) == Folded([], skipped=2)


def test_what_came_before_a_delete_is_not_needed_so_a_range_half_written_folds_again() -> None:
    changes = [update(5, "a", add("/x", 1)), delete(6, "a")]
    assert folded(changes, stored("a", 4)).writes == [Delete("a", 6)]
    assert folded(changes).writes == [], "the delete had been written; the update meets no record"


def test_a_record_that_comes_again_after_its_delete_starts_from_its_create() -> None:
    changes = [delete(5, "a"), create(6, "a", {"v": 1}), update(7, "a", add("/w", 2))]
    (write,) = folded(changes, stored("a", 4, {"old": True})).writes
    assert payload_of(write) == {"v": 1, "w": 2}
    with_create = stored("a", 6, {"v": 1})
    assert payload_of(folded(changes, with_create).writes[0]) == {"v": 1, "w": 2}


def test_a_create_replaces_what_stands_there() -> None:
    (write,) = folded([create(5, "a", {"v": 1})], stored("a", 4, {"old": True})).writes
    assert payload_of(write) == {"v": 1}


def empty_create(offset: int, name: str) -> Change:
    return Change(offset, "create", name, 1)


def test_an_empty_create_leaves_the_record_as_it_is() -> None:
    result = folded([empty_create(5, "a"), update(6, "a", add("/x", 1))], stored("a", 4, {"v": 1}))
    (write,) = result.writes
    assert (payload_of(write), result.skipped) == ({"v": 1, "x": 1}, 1)
    assert folded([empty_create(5, "a")], stored("a", 4)) == Folded([], skipped=1)
    assert folded([empty_create(5, "new")]) == Folded([], skipped=1)


def test_an_empty_create_is_no_start_for_the_updates_after_it() -> None:
    with pytest.raises(CannotApply, match="the record to update does not exist") as caught:
        folded([empty_create(5, "new"), update(6, "new")])
    assert caught.value.failed.offset == 6
    changes = [update(5, "a", add("/x", 1)), empty_create(6, "a"), delete(7, "a"), empty_create(8, "a")]
    assert folded(changes, stored("a", 4)).writes == [Delete("a", 7)]
    assert folded(changes).writes == [], "the delete had been written"


def test_only_a_record_that_was_not_stored_counts_as_created() -> None:
    changes = [
        create(5, "new"),
        create(6, "replaced"),
        update(7, "updated", add("/l", [1])),
        delete(8, "gone"),
    ]
    before = [stored(name, 4) for name in ("replaced", "updated", "gone")]
    assert folded(changes, *before).created == {"new"}
    assert folded([delete(5, "new"), create(6, "new")]).created == {"new"}


def test_an_older_create_does_not_bring_a_newer_record_back() -> None:
    assert folded([create(5, "a")], stored("a", 9)).writes == []
    assert folded([delete(5, "a")], stored("a", 9)).writes == []


def test_an_empty_list_of_operations_still_moves_the_record_on() -> None:
    (write,) = folded([update(5, "a")], stored("a", 4, {"v": Decimal("9.30")})).writes
    assert isinstance(write, Record)
    assert write.line == b'{"name":"a","offset":5,"version":5,"payload":{"v":9.30}}'


def test_what_no_patch_reaches_stays_byte_by_byte_what_the_snapshot_had() -> None:
    cna = b'{"n":[9.30, 1E+2,"\\u00e9"],"v":1,"long":"%b"}' % (b"x" * 1100)
    line = b'{"name":"a","offset":4,"payload":{"containers":{"cna":%b}}}' % cna
    (write,) = folded([update(5, "a", add("/containers/cna/w", 2))], Record("a", 4, line)).writes
    assert isinstance(write, Record)
    expected = line.replace(b'"offset":4', b'"offset":5').replace(b'"}}}', b'","w":2}}}')
    assert write.line == expected[:-1] + b',"version":5}'


def test_a_change_deep_within_a_long_record_is_kept() -> None:
    pad = "x" * 1100
    inner: dict[str, Json] = {"pad": pad, "list": [{"pad": pad, "f": {"pad": pad, "g": 1}}]}
    before = {"a": {"b": {"c": {"d": inner}}}, "score": Decimal("9.30"), "pad": pad}
    changes = [
        update(5, "a", {"op": "replace", "path": "/a/b/c/d/list/0/f/g", "value": 2}),
        update(6, "a", add("/a/b/c/d/list/-", 3), {"op": "remove", "path": "/a/b/c/d/list/0/pad"}),
    ]
    (write,) = folded(changes, stored("a", 4, before)).writes
    inner["list"] = [{"f": {"pad": pad, "g": 2}}, 3]
    assert payload_of(write) == before
    assert isinstance(write, Record)
    assert json_text.decode(write.line).keys() == {"name", "offset", "version", "payload"}


def test_a_stored_line_with_a_newline_does_not_break_the_bulk_in_which_it_is_written_back() -> None:
    line = b'{"name":"a","offset":4,"payload":{"l":[[1,\n2]],"long":"%b"}}' % (b"x" * 1100)
    (write,) = folded([update(5, "a", add("/w", 2))], Record("a", 4, line)).writes
    assert payload_of(write)["l"] == [[1, 2]]
    assert isinstance(write, Record)
    assert b"\n" not in write.line


@pytest.mark.parametrize("number", [b"1E+9999999999999999999", b"9" * 5000], ids=["exponent", "integer"])
def test_a_number_that_cannot_be_decoded_fails_the_change_whether_it_reaches_it_or_not(number: bytes) -> None:
    line = b'{"name":"a","offset":4,"payload":{"l":[[%b]],"long":"%b"}}' % (number, b"x" * 1100)
    with pytest.raises(CannotApply) as caught:
        folded([update(5, "a", add("/w", 2))], Record("a", 4, line))
    assert caught.value.failed.reason.startswith("the stored record cannot be decoded: ")


def test_resources_that_are_not_selected_are_left_out_even_when_they_cannot_be_applied() -> None:
    changes = [update(5, "TID-1", add("/x", 1)), create(6, "CVE-1")]
    result = folded(changes, consumer=Consumer(resources=("CVE-*",)))
    assert [write.name for write in result.writes if isinstance(write, Record)] == ["CVE-1"]


def test_a_resource_is_selected_that_fits_any_of_the_patterns() -> None:
    changes = [create(5, "CVE-1"), create(6, "TID-1"), create(7, "XYZ-1")]
    result = folded(changes, consumer=Consumer(resources=("CVE-*", "TID-*")))
    assert [write.name for write in result.writes if isinstance(write, Record)] == ["CVE-1", "TID-1"]


FAILING: dict[str, tuple[Change, list[Record], int | None, str]] = {
    "a record that is not there": (update(5, "a", add("/x", 1)), [], None, "does not exist"),
    "an operation that does not fit": (
        update(5, "a", add("/x", 1), add("/no/way", 1)),
        [stored("a", 1)],
        1,
        "",
    ),
    "a payload that is no object any more": (
        update(5, "a", {"op": "replace", "path": "", "value": []}),
        [stored("a", 1)],
        None,
        "not an object",
    ),
    "a stored line that is no JSON": (update(5, "a"), [Record("a", 1, b"{")], None, "cannot be decoded"),
    "a stored line that is no object": (update(5, "a"), [Record("a", 1, b"[]")], None, "no payload object"),
    "a stored line without payload": (
        update(5, "a"),
        [Record("a", 1, b'{"name":"a"}')],
        None,
        "no payload object",
    ),
    "operations that are no operations": (update(5, "a", 7), [stored("a", 1)], 0, ""),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_change_that_cannot_be_applied_is_named(case: str) -> None:
    change, records, operation, words = FAILING[case]
    with pytest.raises(CannotApply) as caught:
        folded([create(4, "z"), change], *records)
    failed = caught.value.failed
    assert (failed.offset, failed.resource, failed.operation) == (5, "a", operation)
    assert words in failed.reason
    assert failed.digest == digest(change)


def test_the_lowest_failing_offset_is_reported_so_that_all_before_it_can_be_kept() -> None:
    changes = [create(4, "z"), update(5, "b"), update(6, "a"), update(7, "b")]
    with pytest.raises(CannotApply) as caught:
        folded(changes)
    assert caught.value.failed.offset == 5


def test_the_first_update_of_a_record_that_cannot_be_decoded_is_the_one_that_fails() -> None:
    """The content stays before it, not in between."""
    with pytest.raises(CannotApply) as caught:
        folded([update(5, "a"), update(6, "a")], Record("a", 1, b"{"))
    assert caught.value.failed.offset == 5


def test_a_patch_that_is_wrong_as_a_whole_is_no_operations_fault() -> None:
    changes = touched([update(5, "a", add("/x", 1), add("/y", 1))], EVERYTHING)
    with pytest.raises(CannotApply) as caught:
        fold_all(changes, {"a": stored("a", 4)}, Limits(patch_operations=1))
    assert caught.value.failed.operation is None


def test_an_update_after_a_delete_has_no_record_to_update() -> None:
    with pytest.raises(CannotApply) as caught:
        folded([delete(5, "a"), update(6, "a")], stored("a", 4))
    assert caught.value.failed.offset == 6


def test_a_digest_differs_by_change_and_not_by_the_order_of_members() -> None:
    one = update(5, "a", {"op": "add", "path": "/x", "value": Decimal("9.30")})
    same = update(5, "a", {"value": Decimal("9.30"), "path": "/x", "op": "add"})
    other = update(5, "a", {"op": "add", "path": "/x", "value": Decimal("9.31")})
    text = update(5, "a", {"op": "add", "path": "/x", "value": "9.30"})
    assert digest(one) == digest(same)
    assert len({digest(one), digest(other), digest(text)}) == 3


def test_a_change_keeps_its_digest_over_versions_of_ctisync() -> None:
    """Else the first pass after an upgrade would take a poison change that it knows for a new one."""
    change = update(5, "a", {"op": "add", "path": "/x", "value": Decimal("9.30")})
    assert digest(change) == "116fb184e57991a8"


def test_writes_come_in_the_order_of_their_offsets() -> None:
    result = folded([create(1, "b"), create(2, "a"), delete(3, "c"), update(4, "b")], stored("c", 0))
    assert [write.offset for write in result.writes] == [2, 3, 4]


def write_some(writes: Sequence[Write], records: Mapping[str, Record]) -> dict[str, Record]:
    after = dict(records)
    for write in writes:
        if isinstance(write, Record):
            after[write.name] = write
        else:
            after.pop(write.name, None)
    return after


def random_range(rng: random.Random) -> tuple[list[Change], dict[str, Record]]:
    """A range that can be applied, over three records of which some exist."""
    alive = {name: stored(name, 0, {"l": []}) for name in "abc" if rng.random() < 0.7}
    exists, changes = set(alive), []
    for offset in range(1, rng.randint(2, 9)):
        name = rng.choice("abc")
        if rng.random() < 0.1:
            changes.append(empty_create(offset, name))
        elif name not in exists:
            changes.append(create(offset, name, {"l": []}))
            exists.add(name)
        elif rng.random() < 0.3:
            changes.append(delete(offset, name))
            exists.discard(name)
        else:
            changes.append(update(offset, name, add("/l/-", offset)))
    return changes, alive


def test_a_range_killed_after_any_subset_of_its_writes_ends_the_same_when_folded_again() -> None:
    rng = random.Random(20261124)
    for _ in range(400):
        changes, before = random_range(rng)
        writes = folded(changes, *before.values()).writes
        done = write_some(writes, before)
        for size in range(len(writes) + 1):
            for some in itertools.combinations(writes, size):
                half = write_some(some, before)
                again = write_some(folded(changes, *half.values()).writes, half)
                assert again == done, (changes, some)


def test_folding_equals_applying_the_changes_one_by_one() -> None:
    rng = random.Random(42)
    for _ in range(400):
        changes, before = random_range(rng)
        at_once = write_some(folded(changes, *before.values()).writes, before)
        one_by_one = dict(before)
        for change in changes:
            one_by_one = write_some(folded([change], *one_by_one.values()).writes, one_by_one)
        assert at_once == one_by_one


@pytest.mark.parametrize(
    "change",
    [create(5, "a", {"text": "x" * 200}), update(5, "a", add("/text", "x" * 200))],
    ids=["create", "update"],
)
def test_a_record_larger_than_any_line_may_be_is_not_made(change: Change) -> None:
    per_resource, records = touched([change], EVERYTHING), {"a": stored("a", 4)}
    assert len(fold_all(per_resource, records, Limits(line_bytes=400)).writes) == 1
    with pytest.raises(CannotApply, match=r"more than limits\.line_bytes") as caught:
        fold_all(per_resource, records, Limits(line_bytes=200))
    assert (caught.value.failed.offset, caught.value.failed.resource) == (5, "a")


def test_a_record_may_be_just_as_long_as_a_line() -> None:
    per_resource = {"a": [create(5, "a", {"text": "x"})]}
    (write,) = fold_all(per_resource, {}).writes
    assert isinstance(write, Record)
    size = len(write.line)
    assert len(fold_all(per_resource, {}, Limits(line_bytes=size)).writes) == 1
    with pytest.raises(CannotApply):
        fold_all(per_resource, {}, Limits(line_bytes=size - 1))


def test_of_updates_that_make_a_record_too_large_together_the_last_one_fails() -> None:
    changes = [update(5, "a", add("/x", "x" * 100)), update(6, "a", add("/y", "y" * 100))]
    with pytest.raises(CannotApply) as caught:
        fold_all({"a": changes}, {"a": stored("a", 4)}, Limits(line_bytes=200))
    assert caught.value.failed.offset == 6


def test_a_created_payload_may_be_as_deep_as_a_loaded_one() -> None:
    deep: Json = {"a": {"b": {}}}
    assert len(fold_all({"a": [create(5, "a", deep)]}, {}, Limits(json_depth=3)).writes) == 1
    with pytest.raises(CannotApply, match=r"exceed limits\.json_depth$"):
        fold_all({"a": [create(5, "a", {"c": deep})]}, {}, Limits(json_depth=3))


def test_the_limits_of_patches_are_those_of_the_call() -> None:
    changes = [update(5, "a", add("/k", 12), {"op": "copy", "from": "/k", "path": "/l"})]
    per_resource, records = touched(changes, EVERYTHING), {"a": stored("a", 4)}
    assert len(fold_all(per_resource, records, Limits(patch_operations=2, patch_copied_bytes=2)).writes) == 1
    for limits in (Limits(patch_operations=1), Limits(patch_copied_bytes=1), Limits(json_depth=1)):
        deep = touched([*changes, update(6, "a", add("/m", []))], EVERYTHING)
        with pytest.raises(CannotApply):
            fold_all(deep, records, limits)


def test_a_record_that_grows_beyond_what_can_be_decoded_in_bounded_memory_is_not_stored() -> None:
    limits = Limits(json_values=30)
    change = create(5, "a", {"list": [0] * 40})
    with pytest.raises(CannotApply, match=r"exceed limits\.json_values$"):
        fold_all({"a": [change]}, {}, limits)
    grown = [update(offset, "a", add("/list/-", [])) for offset in range(5, 25)]
    with pytest.raises(CannotApply, match=r"exceed limits\.json_values$"):
        fold_all({"a": grown}, {"a": stored("a", 4, {"list": []})}, limits)


@pytest.mark.parametrize(
    ("enough", "too_low"),
    [({"json_depth": 3}, {"json_depth": 2}), ({"json_values": 8}, {"json_values": 7})],
    ids=["depth", "values"],
)
def test_a_stored_record_beyond_a_limit_is_not_decoded_whatever_an_update_would_leave_of_it(
    enough: dict[str, int], too_low: dict[str, int]
) -> None:
    changes = [update(offset, "a", {"op": "test", "path": "/a/b", "value": {}}) for offset in (5, 6)]
    changes.append(update(7, "a", {"op": "remove", "path": "/a"}))
    records = {"a": stored("a", 4, {"a": {"b": {}}})}
    assert len(fold_all({"a": changes}, records, Limits(**enough)).writes) == 1
    (setting,) = too_low
    with pytest.raises(CannotApply, match=rf"the stored record exceeds limits\.{setting}$") as caught:
        fold_all({"a": changes}, records, Limits(**too_low))
    assert caught.value.failed.offset == 5


def test_a_fold_is_ended_between_two_records() -> None:
    class TimeIsOverError(Exception):
        pass

    changes = [create(offset, f"CVE-{offset}") for offset in range(1, 4)]
    calls: list[int] = []

    def check() -> None:
        calls.append(len(calls))
        if len(calls) == 2:
            raise TimeIsOverError

    per_resource = touched(changes, EVERYTHING)
    with pytest.raises(TimeIsOverError):
        fold(per_resource, [(list(per_resource), {})], check=check)
    assert calls == [0, 1]


def test_records_that_would_fill_the_memory_are_refused_together_although_each_is_within_the_limits() -> None:
    grow = [{"op": "copy", "from": "/l", "path": "/l/-"}] * 10
    changes = [
        change
        for offset in range(1, 40, 2)
        for change in (create(offset, str(offset), {"l": [0]}), update(offset + 1, str(offset), *grow))
    ]
    assert sum(len(json_text.encode(change)) for change in changes) < 25_000
    with pytest.raises(TooLarge):
        fold_all(touched(changes, EVERYTHING), {}, Limits(reply_bytes=10_000))
    assert len(fold_all(touched(changes, EVERYTHING), {}, Limits(reply_bytes=25_000)).writes) == 20


def test_records_whose_patches_fail_do_not_stay_in_memory_until_the_end_of_the_range() -> None:
    payload = {"list": [[number] for number in range(20_000)]}
    changes = [
        update(2 + number, str(number), {"op": "test", "path": "/list", "value": 0}) for number in range(20)
    ]
    per_resource = touched(changes, EVERYTHING)

    def peak(names: Sequence[str]) -> int:
        parts = (([name], {name: stored(name, 1, payload)}) for name in names)
        tracemalloc.start()
        try:
            with pytest.raises(CannotApply):
                fold(per_resource, parts)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(list(per_resource)) < 3 * peak(["0"])
