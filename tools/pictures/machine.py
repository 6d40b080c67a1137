"""The state machine as an SVG: a box a step, an arrow to each that may follow, a pill for each end.

Boxes stand one below the other, in the order in which `next_step` thinks of them; what they say is what
`core.steps` says of them. Arrows down pass on the left, arrows up on the right.
"""

import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, get_args, get_type_hints
from xml.sax.saxutils import escape

from ctisync.core import steps
from ctisync.core.model import Consumer
from ctisync.core.state import ConsumerState
from ctisync.core.steps import End, Policy
from ctisync.errors import DONE
from ctisync.sync.run_pass import bad_end
from tools.pictures.walk import START, Machine

ORDER: Final = (START, "Settle", "RecordRequest", "SendCommand", "AskFeed", "Initialise", "ApplyRange")
"""The place of each step, from top to bottom."""

_BOX: Final = 440
_LEFT: Final = 92
_TOP: Final = 24
_GAP: Final = 34
_PADDING: Final = 12
_LINE: Final = 16
_PILL: Final = 22
_LETTER: Final = 6.7
_LANE: Final = 22
_ARROW: Final = 7
_STARTS: Final = "A pass begins: look at what is stored."
_LEGEND: Final = "A pill is an end of the pass, with its exit code."

_STYLE: Final = """
  text { font: 12px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #3d444d; }
  .name { font: bold 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; }
  .end { font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
  .page { fill: #ffffff; stroke: #d1d9e0; }
  .box { fill: #f6f8fa; stroke: #59636e; }
  .good { fill: #dafbe1; stroke: #1a7f37; }
  .bad { fill: #fff8c5; stroke: #9a6700; }
  .down, .up { fill: none; stroke: #59636e; stroke-width: 1.5; }
  .up { stroke: #0969da; }
  .head { fill: #59636e; }
  .up-head { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #c9d1d9; }
    .name { fill: #f0f6fc; }
    .page { fill: #0d1117; stroke: #3d444d; }
    .box { fill: #161b22; stroke: #9198a1; }
    .good { fill: #12261e; stroke: #3fb950; }
    .bad { fill: #272115; stroke: #d29922; }
    .down { stroke: #9198a1; }
    .up { stroke: #58a6ff; }
    .head { fill: #9198a1; }
    .up-head { fill: #58a6ff; }
  }
"""


class CannotDraw(Exception):
    """The state machine has become another one: the picture must be thought of anew."""


class _Pill(NamedTuple):
    text: str
    good: bool

    @property
    def width(self) -> float:
        return len(self.text) * _LETTER + 16


class _Box(NamedTuple):
    name: str
    lines: list[str]
    pills: list[list[_Pill]]
    top: float

    @property
    def bottom(self) -> float:
        named = _LINE + 4 if self.name != START else 0
        ends = len(self.pills) * (_PILL + 4) + 4 if self.pills else 0
        return self.top + 2 * _PADDING + named + len(self.lines) * _LINE + ends


class _Arrow(NamedTuple):
    source: str
    target: str
    label: str

    @property
    def rows(self) -> tuple[int, int]:
        return ORDER.index(self.source), ORDER.index(self.target)


def drawn(machine: Machine) -> str:
    """Raises CannotDraw."""
    _check(machine)
    boxes = _boxes(machine)
    arrows = [_Arrow(*pair, _label(machine, *pair)) for pair in sorted(machine.follows)]
    down = [arrow for arrow in arrows if arrow.rows[0] + 1 == arrow.rows[1]]
    over = [arrow for arrow in arrows if arrow.rows[0] + 1 < arrow.rows[1]]
    back = [arrow for arrow in arrows if arrow.rows[0] >= arrow.rows[1]]
    right, parts = _lanes_on_the_right(back, boxes)
    parts = [
        *(part for arrow in down for part in _straight(boxes[arrow.source], boxes[arrow.target])),
        *_lanes_on_the_left(over, boxes),
        *parts,
        *(part for box in boxes.values() for part in _as_svg(box)),
    ]
    bottom = max(box.bottom for box in boxes.values())
    parts.append(_text(_LEFT, bottom + 24, _LEGEND))
    return _page(right + 16, bottom + 40, parts)


def _check(machine: Machine) -> None:
    """Each kind of step has its place and is reached, and so is each end."""
    kinds = {kind.__name__ for kind in get_args(steps.Step)} - {End.__name__}
    if kinds != set(ORDER[1:]):
        raise CannotDraw(f"no place, or no step: {sorted(kinds ^ set(ORDER[1:]))}")
    if missing := kinds - {target for _, target in machine.follows}:
        raise CannotDraw(f"never reached: {sorted(missing)}")
    outcomes = set(get_args(get_type_hints(End)["outcome"]))
    if missing := outcomes - set().union(*machine.ends.values()):
        raise CannotDraw(f"no pass ends so: {sorted(missing)}")


def _label(machine: Machine, source: str, target: str) -> str:
    """The one way of several in which the first step must end for the second to follow."""
    ways = machine.follows[source, target]
    return next(iter(ways)) if len(ways) == 1 < len(machine.effects[source]) else ""


def _boxes(machine: Machine) -> dict[str, _Box]:
    boxes: dict[str, _Box] = {}
    top = float(_TOP)
    for name in ORDER:
        box = _Box(name, list(_lines(name, machine)), _pills(machine.ends.get(name, set())), top)
        boxes[name] = box
        top = box.bottom + _GAP
    return boxes


def _lines(name: str, machine: Machine) -> Iterator[str]:
    if name == START:
        yield _STARTS
        return
    text = " ".join((getattr(steps, name).__doc__ or "").split())
    yield from textwrap.wrap(text, 68)
    if name == steps.Initialise.__name__:
        for reason in machine.reasons:
            yield from textwrap.wrap(reason, 66, initial_indent="· ", subsequent_indent="\u2002")


def _pills(outcomes: set[str]) -> list[list[_Pill]]:
    """Row by row."""
    pills = [_pill(outcome) for outcome in sorted(outcomes, key=lambda one: (_exit_code(one), one))]
    rows: list[list[_Pill]] = []
    for pill in pills:
        if not rows or sum(each.width + 6 for each in [*rows[-1], pill]) > _BOX - 2 * _PADDING:
            rows.append([])
        rows[-1].append(pill)
    return rows


def _pill(outcome: str) -> _Pill:
    code = _exit_code(outcome)
    return _Pill(f"{outcome} {code}", code == DONE)


def _exit_code(outcome: str) -> int:
    end = End(outcome, "")  # type: ignore[arg-type]  # one of its words
    error = bad_end(end, Consumer(), Policy(), ConsumerState(), datetime(2026, 1, 1, tzinfo=UTC))
    return DONE if error is None else error.exit_code


def _straight(upper: _Box, lower: _Box) -> Iterator[str]:
    x = _LEFT + _BOX / 2
    yield _path("down", f"M{x:g} {upper.bottom:g}V{lower.top - _ARROW:g}")
    yield _head("head", x, lower.top, 0, 1)


def _lanes_on_the_left(arrows: Sequence[_Arrow], boxes: dict[str, _Box]) -> Iterator[str]:
    """The shorter, the nearer to the boxes."""
    lanes: list[list[tuple[float, float]]] = []
    for arrow in sorted(arrows, key=lambda arrow: (arrow.rows[1] - arrow.rows[0], arrow)):
        start = _port(arrow, arrows, boxes, at_source=True)
        end = _port(arrow, arrows, boxes, at_source=False)
        free = [lane for lane in lanes if all(end < other[0] or start > other[1] for other in lane)]
        lane = free[0] if free else []
        if not free:
            lanes.append(lane)
        lane.append((start, end))
        x = _LEFT - (lanes.index(lane) + 1) * _LANE
        yield _path("down", _around(_LEFT, x, start, _LEFT - _ARROW, end))
        yield _head("head", _LEFT, end, 1, 0)


def _lanes_on_the_right(arrows: Sequence[_Arrow], boxes: dict[str, _Box]) -> tuple[float, list[str]]:
    """How far they reach, and their parts. A label stands on the outer side of its lane."""
    arrows = sorted(arrows, key=lambda arrow: (arrow.rows[0] - arrow.rows[1], arrow))
    edge = float(_LEFT + _BOX)
    lane, parts = edge, []
    for arrow in arrows:
        lane += _LANE
        start = _port(arrow, arrows, boxes, at_source=True)
        end = _port(arrow, arrows, boxes, at_source=False)
        parts.append(_path("up", _around(edge, lane, start, edge + _ARROW, end)))
        parts.append(_head("up-head", edge, end, -1, 0))
        words = textwrap.wrap(arrow.label, 16)
        middle = (start + end) / 2 - (len(words) - 1) * _LINE / 2 + 4
        parts += [_text(lane + 6, middle + row * _LINE, word) for row, word in enumerate(words)]
        lane += max((len(word) * _LETTER for word in words), default=0)
    return lane, parts


def _port(arrow: _Arrow, arrows: Sequence[_Arrow], boxes: dict[str, _Box], *, at_source: bool) -> float:
    """Where it leaves or meets its box's side: all that do so there are spread evenly.

    From the top: what leads up or comes from above, the nearest first; what leads down or comes from below,
    the farthest first; what leads from the box to itself. So no two of them cross.
    """
    box = boxes[arrow.source if at_source else arrow.target]
    row = ORDER.index(box.name)
    there = []
    for each in arrows:
        source, target = each.rows
        if source == row:
            there.append((target - row, each, True))
        if target == row:
            there.append((source - row, each, False))
    there.sort(key=lambda one: (_order(one[0]), one[1:]))
    place = [one[1:] for one in there].index((arrow, at_source))
    return box.top + (box.bottom - box.top) * (place + 1) / (len(there) + 1)


def _order(rows: int) -> tuple[int, int]:
    """Of what leads so many rows down (up: less than 0)."""
    return (0 if rows < 0 else 1 if rows > 0 else 2, -rows)


def _around(start_x: float, lane: float, start: float, end_x: float, end: float) -> str:
    """From a box's side to a lane, along it, and back to the side, with round corners."""
    out = 1 if lane > start_x else -1
    down = 1 if end > start else -1
    bend = min(8.0, abs(end - start) / 2, abs(lane - start_x))
    return (
        f"M{start_x:g} {start:g}H{lane - out * bend:g}Q{lane:g} {start:g} {lane:g} {start + down * bend:g}"
        f"V{end - down * bend:g}Q{lane:g} {end:g} {lane - out * bend:g} {end:g}H{end_x:g}"
    )


def _as_svg(box: _Box) -> Iterator[str]:
    height = box.bottom - box.top
    yield f'<rect class="box" x="{_LEFT}" y="{box.top:g}" width="{_BOX}" height="{height:g}" rx="6"/>'
    y = box.top + _PADDING
    if box.name != START:
        yield _text(_LEFT + _PADDING, y + 12, box.name, "name")
        y += _LINE + 4
    for line in box.lines:
        yield _text(_LEFT + _PADDING, y + 12, line)
        y += _LINE
    for row in box.pills:
        y += 4
        x = float(_LEFT + _PADDING)
        for pill in row:
            kind = "good" if pill.good else "bad"
            size = f'width="{pill.width:g}" height="{_PILL}" rx="{_PILL / 2:g}"'
            yield f'<rect class="{kind}" x="{x:g}" y="{y:g}" {size}/>'
            yield _text(x + 8, y + 15, pill.text, "end")
            x += pill.width + 6
        y += _PILL


def _path(kind: str, data: str) -> str:
    return f'<path class="{kind}" d="{data}"/>'


def _head(kind: str, x: float, y: float, right: int, down: int) -> str:
    """An arrow's head with its point there."""
    back_x, back_y = x - right * _ARROW, y - down * _ARROW
    side_x, side_y = down * 4, right * 4
    return (
        f'<path class="{kind}" d="M{x:g} {y:g}L{back_x - side_x:g} {back_y - side_y:g}'
        f'L{back_x + side_x:g} {back_y + side_y:g}Z"/>'
    )


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    named = f'class="{kind}" ' if kind else ""
    return f'<text {named}x="{x:g}" y="{y:g}">{escape(words)}</text>'


def _page(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            "<title>The state machine of a pass</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="page" x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="8"/>',
            *parts,
            "</svg>",
            "",
        )
    )
