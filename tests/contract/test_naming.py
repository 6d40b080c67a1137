"""Every store: a record is found under its name, whichever key of its line names it."""

from typing import Any

import pytest

from ctisync.core import json_text, wire
from ctisync.core.model import Change, Consumer, Delete, Record
from ctisync.ports import Store
from ctisync.stores.opensearch import generations
from ctisync.verify.audit import verify
from tests.contract import passes
from tests.contract.passes import lines
from tests.support.log import KeptLog
from tests.support.records import encode, read, record


def _resource(resource: str, offset: int, **more: Any) -> Record:
    payload = {"type": "rule", "document": {"id": resource}}
    line = {**more, "resource": resource, "offset": offset, "payload": payload}
    return wire.record(encode(line))


RECORDS = [
    record("indicator/12345", 1),
    _resource("indicator/1", 2),
    _resource("rule/ü", 3, version=1),
    _resource("a", 4, name="zzz: a title that sorts last"),
    _resource("z", 5, name="aaa: a title that sorts first"),
    _resource("m", 6, name="m"),
    record("n", 7),
    _resource("n/", 8),
    _resource("../n", 9),
    record("\uffff", 10),
    _resource("🐞", 11),
    *(_resource(f"rule/{n:04}", 100 + n) for n in range(0, 300, 2)),
    *(record(f"rule/{n:04}", 100 + n) for n in range(1, 300, 2)),
]


def by_name(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda each: each.name.encode())


def check(store: Store, consumer: Consumer, records: list[Record]) -> None:
    """An export is sorted by names, a scan has each record once, and an audit finds nothing."""
    assert passes.contents(store, consumer) == lines(*by_name(records))
    with store.inspect(consumer) as inspection:
        assert by_name(list(inspection.scan())) == by_name(records)
        names = [each.name for each in records]
        assert inspection.lookup(names) == {each.name: each for each in records}
        ordered = sorted(names, key=str.encode)
        for name in ("indicator/1", "indicator/12", "rule/0150", "n", "n/", "zz"):
            assert inspection.neighbours(name, 3) == [
                *[each for each in ordered if each.encode() < name.encode()][-3:],
                *[each for each in ordered if each.encode() > name.encode()][:3],
            ]
    audit = verify(consumer, store=store, log=KeptLog(), deep=True, against=None, at_work=None)
    assert (audit.findings, audit.records) == ((), len(records))


def test_lines_of_both_kinds_are_one_content_in_the_order_of_their_names(
    store: Store, consumer: Consumer
) -> None:
    passes.initialise(store, consumer, RECORDS, 1000)
    check(store, consumer, RECORDS)


def test_an_update_and_a_delete_reach_a_record_that_is_named_by_resource(
    store: Store, consumer: Consumer
) -> None:
    old = next(each for each in RECORDS if each.name == "rule/0002")
    new = wire.changed(
        json_text.decode(old.line), old.name, Change(1001, "update", old.name), {"type": "rule"}
    )
    made = wire.created(Change(1003, "create", "rule/new", payload={"type": "rule"}))
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, RECORDS, 1000)
        assert read(writer, [old.name, "rule/0004"])[old.name] == old
        passes.apply(writer, [new, Delete("rule/0004", 1002), made], to=1003)
    kept = [each for each in RECORDS if each.name not in (old.name, "rule/0004")]
    assert b'"resource":"rule/0002"' in new.line
    check(store, consumer, [*kept, new, made])


def test_a_content_of_an_earlier_version_is_read_and_audited_as_before(
    store: Store, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its index does not know the field `resource`."""
    fields = {key: kind for key, kind in generations.MAPPING["properties"].items() if key != "resource"}
    records = [record(name, at) for at, name in enumerate(["b", "a/1", "CVE-1", "é"], 1)]
    with monkeypatch.context() as earlier:
        earlier.setitem(generations.MAPPING, "properties", fields)
        passes.initialise(store, consumer, records, 10)
    assert passes.contents(store, consumer) == lines(*by_name(records))
    audit = verify(consumer, store=store, log=KeptLog(), deep=True, against=None, at_work=None)
    assert (audit.findings, audit.records) == ((), 4)
    with store.inspect(consumer) as inspection:
        assert inspection.neighbours("CVE-2", 9) == ["CVE-1", "a/1", "b", "é"]
