"""The worst replies within the limits: what the fold of one costs, for each operation of a patch.

Each reply has as many operations as a reply may have. They meet a record of the largest size, as a hostile
snapshot could bring it, or a small one that they make large. In seconds of processor time.
"""

from collections.abc import Callable, Iterator, Sequence
from time import process_time
from typing import Any, Final, NamedTuple

from bench.report import Outcome, new_table
from bench.workshop import Workshop
from ctisync.core import json_text, wire
from ctisync.core.fold import CannotApply, TooLarge, fold, touched
from ctisync.core.limits import USUAL_LIMITS
from ctisync.core.model import MAX_RANGE, Change, Consumer, Record

Json = Any

_VALUES: Final = USUAL_LIMITS.json_values * 97 // 100
"""In a record, and in a reply; the rest is for what is around them."""

_DEEP: Final = USUAL_LIMITS.json_depth - 4


class Worst(NamedTuple):
    """The operations, repeated as often as the limits allow, on `payload`. With a number of `records`, the
    reply creates that many such records, and each gets the operations once."""

    payload: Callable[[], Json]
    operations: Sequence[Json]
    records: int = 0


def measure(_workshop: Workshop) -> Outcome:
    table = new_table("worst: the fold of one reply within the limits", "", "operations", "MB", "s", "ends")
    seconds: dict[str, float] = {}
    for name, worst in _worst().items():
        changes = list(_creating(worst) if worst.records else _updating(worst.operations))
        stored = {} if worst.records else {"0": _record(worst.payload())}
        size = sum(len(json_text.encode(change)) for change in changes)
        operations = sum(len(change.operations or ()) for change in changes)
        begun = process_time()
        end = _folded(changes, stored)
        seconds[name] = process_time() - begun
        table.add_row(name, f"{operations:,}", f"{size / 1e6:.2f}", f"{seconds[name]:.1f}", end)
    return Outcome(table, seconds, {"seconds": seconds})


def _record(payload: Json) -> Record:
    return wire.record(json_text.encode({"name": "0", "offset": 1, "payload": payload}))


def _updating(operations: Sequence[Json]) -> Iterator[Change]:
    """Updates of one record, of as many operations as the limits allow."""
    limits = USUAL_LIMITS
    values, size = sum(map(_values_of, operations)), len(json_text.encode(operations))
    rounds = min(max(1, _VALUES // values), limits.reply_bytes // size, MAX_RANGE * limits.patch_operations)
    at_once = max(1, limits.patch_operations // len(operations))
    for number, start in enumerate(range(0, rounds, at_once), start=2):
        yield Change(number, "update", "0", operations=[*operations] * min(at_once, rounds - start))


def _creating(worst: Worst) -> Iterator[Change]:
    for number in range(1, worst.records + 1):
        yield Change(2 * number, "create", str(number), payload=worst.payload())
        yield Change(2 * number + 1, "update", str(number), operations=[*worst.operations])


def _values_of(value: Json) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_values_of, items))


def _folded(changes: Sequence[Change], stored: dict[str, Record]) -> str:
    per_resource = touched(changes, Consumer())
    try:
        fold(per_resource, [(list(per_resource), stored)])
    except CannotApply as error:
        return "limits." + error.failed.reason.rpartition("limits.")[2]
    except TooLarge:
        return "range divided"
    return "applied"


def _long_array() -> Json:
    return {"l": [1] * _VALUES}


def _large() -> Json:
    one = {"key": "words " * 8, "more": [1, 2, 3], "last": None}
    return {"a": {"l": [one] * (_VALUES // 10)}, "b": {"c": {}}}


def _deep() -> Json:
    value: Json = ["x" * 1000] * ((USUAL_LIMITS.line_bytes - 5000) // 1003)
    for _ in range(_DEEP):
        value = [value]
    return {"a": value}


def _worst() -> dict[str, Worst]:
    """By what the table says."""
    end, bottom, words = f"/l/{_VALUES - 1}", "/a" + "/0" * _DEEP, "x" * 1000
    doubling = {"op": "copy", "from": "/l", "path": "/l/-"}
    there, back = (
        {"op": "move", "from": f"/{one}", "path": f"/{other}"}
        for one, other in (("a/l", "b/l"), ("b/l", "a/l"))
    )
    return {
        "add, at the start of an array": Worst(_long_array, [{"op": "add", "path": "/l/0", "value": 1}]),
        "add, 500 deep": Worst(_deep, [{"op": "add", "path": f"{bottom}/-", "value": 1}]),
        "add, one large value": Worst(_long_array, [{"op": "add", "path": "/x", "value": [1] * _VALUES}]),
        "remove, at the start of an array": Worst(_long_array, [{"op": "remove", "path": "/l/0"}]),
        "replace, at the end of an array": Worst(_long_array, [{"op": "replace", "path": end, "value": 2}]),
        "move, of 8 MB, and back": Worst(_large, [there, back]),
        "move, of 8 MB, deeper, and back": Worst(
            _large,
            [{"op": "move", "from": "/a", "path": "/b/a"}, {"op": "move", "from": "/b/a", "path": "/a"}],
        ),
        "move, within an array": Worst(_long_array, [{"op": "move", "from": "/l/0", "path": "/l/-"}]),
        "copy, of 8 MB": Worst(_large, [{"op": "copy", "from": "/a", "path": "/b/a"}]),
        "copy, of what it made": Worst(lambda: {"l": [0]}, [doubling]),
        "copy, in 500 records": Worst(lambda: {"l": [0]}, [doubling] * 18, 500),
        "copy and remove, in 500 records": Worst(
            lambda: {"l": [0]}, [*[doubling] * 18, {"op": "remove", "path": "/l"}], 500
        ),
        "test, in 8 MB": Worst(
            _large, [{"op": "test", "path": f"/a/l/{_VALUES // 10 - 1}/last", "value": None}]
        ),
        "test, of one large value": Worst(
            _long_array, [{"op": "test", "path": "/l", "value": [1] * _VALUES}]
        ),
        "test, 500 deep": Worst(_deep, [{"op": "test", "path": f"{bottom}/0", "value": words}]),
    }
