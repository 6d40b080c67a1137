"""What must hold on the server, and the search for a way to break it."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.write_order.model import (
    ENDED,
    LAST,
    SNAPSHOT,
    Document,
    Generation,
    Rules,
    Server,
    Swap,
    Writer,
)
from tests.support.write_order.steps import STEPS, performed


def violation(server: Server) -> str | None:
    """Why no reader and no later pass may see this state; None if they may."""
    document = server.document
    for name in (server.live, server.live_b):
        live = server.get(name)
        if name is not None and live is None:
            return "the live generation was dropped"
        if live is not None and live.holds is None:
            return "a half-loaded generation is live"
        if live is not None and live.damage:
            return f"the live content is damaged: {live.damage}"
    stored = server.get(server.live_of(document.alias))
    if stored is None:
        return "an offset without content" if document.offset > 0 else None
    if stored.holds is not None and document.offset > stored.holds:
        return "the stored offset is above the content"
    return None


def wrong_in_the_end(server: Server, rules: Rules, *, renamed: bool) -> str | None:
    """What is wrong after undisturbed passes; None if nothing is. `renamed`: the settings of a writer named
    another alias, which may be undone, or done again."""
    if not renamed:
        return _wrong_after(server, rules, SYNCS_AT_LAST)
    return _wrong_when_undone(server, rules) or _wrong_after(server, rules, RENAMED_AT_LAST)


def _wrong_when_undone(server: Server, rules: Rules) -> str | None:
    """What is wrong, unless the old content continues at its offset or the new one is live."""
    requested = server.document.requested == "A"
    steps = []
    for step, after in performed(server, Writer("y"), rules):
        steps.append(step)
        if (wrong := violation(after)) is not None:
            return f"in an undisturbed pass: {wrong}"
        server = after
    if "create" in steps and not requested:
        return "the old content was loaded anew"
    arrived = server.document.offset == LAST or server.document.alias == "B"
    return None if arrived else "undone settings do not go on"


def _wrong_after(server: Server, rules: Rules, passes: tuple[Writer, ...]) -> str | None:
    """What is wrong, unless the last pass has dropped the content that the one before replaced."""
    for writer in passes:
        for _, after in performed(server, writer, rules):
            if (wrong := violation(after)) is not None:
                return f"in an undisturbed pass: {wrong}"
            server = after
    live = server.get(server.live_of(passes[-1].alias))
    if live is None or (live.holds, server.document.offset) != (LAST, LAST):
        return "undisturbed passes do not reach the feed's last offset"
    if server.document.requested == passes[-1].alias:
        return "what an operator has asked for is not done"
    if server.document.owed is not None or not server.command_sent:
        return "a command is missed"
    return "a stray generation stays" if len(server.generations) > 1 else None


State = tuple[Server, tuple[Writer, ...]]


class SearchResult(NamedTuple):
    """The result of a search: the number of states and ends, and the shortest way to each violation."""

    states: int
    ends: int
    violations: dict[str, list[str]]


def search(server: Server, writers: tuple[Writer, ...], rules: Rules) -> SearchResult:
    """Try all interleavings of these writers, each killed before any of its steps or not, breadth first."""
    start = (server, writers)
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    waiting = deque([start])
    violations: dict[str, State] = {}
    outcomes: dict[Server, str | None] = {}
    renamed = any(writer.alias == "B" for writer in writers)
    ends = 0
    while waiting:
        state = waiting.popleft()
        if all(writer.next == ENDED for writer in state[1]):
            ends += 1
            if state[0] not in outcomes:
                outcomes[state[0]] = wrong_in_the_end(state[0], rules, renamed=renamed)
            if (wrong := outcomes[state[0]]) is not None:
                violations.setdefault(wrong, state)
        for move, reached in _moves(state, rules):
            if reached in came_from:
                continue
            came_from[reached] = (state, move)
            if (wrong := violation(reached[0])) is not None:
                violations.setdefault(wrong, reached)
            else:
                waiting.append(reached)
    return SearchResult(
        len(came_from), ends, {wrong: _way(came_from, state) for wrong, state in violations.items()}
    )


def _moves(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """All that can happen next: a step of a writer, or its death."""
    server, writers = state
    for number, writer in enumerate(writers):
        if writer.next == ENDED:
            continue
        before, after = writers[:number], writers[number + 1 :]
        name = f"{writer.token}: {writer.next}"
        changed, moved = STEPS[writer.next](server, writer, rules)
        yield name, (changed, (*before, moved, *after))
        yield f"{name} KILLED", (server, (*before, writer.end(), *after))


def _way(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    moves = []
    while (before := came_from[state]) is not None:
        state, move = before
        moves.append(move)
    return moves[::-1]


NOTHING = Server(Document())
LOADED = Server(
    Document(alias="A", offset=500, generation="old"), (("old", Generation(holds=500)),), live="old"
)
LOADED_TWICE = LOADED._replace(
    generations=(("b0", Generation(holds=300)), ("old", Generation(holds=500))), live_b="b0"
)
HALF_WRITTEN = LOADED._replace(
    document=LOADED.document._replace(range_to=LAST), generations=(("old", Generation(500, begun=LAST)),)
)

SYNCS = (Writer("a"), Writer("b", most=100))
SMALL_STEPS = (Writer("a", most=50), Writer("b", most=100))
OPERATOR = (Writer("a", wants_snapshot=True), Writer("b", most=100))
CANCELLED = (Writer("a", wants_snapshot=True), Writer("b", keeps=True))
SYNCS_AT_LAST = (Writer("y"), Writer("z"))
RENAMED = (Writer("a", wants_snapshot=True, alias="B"), Writer("b"))
RENAMED_TWICE = (Writer("a", wants_snapshot=True, alias="B"), Writer("b", wants_snapshot=True))
RENAMED_AT_LAST = (
    Writer("x", wants_snapshot=True, alias="B"),
    Writer("y", alias="B"),
    Writer("z", alias="B"),
)
OPERATORS = (Writer("a", wants_snapshot=True), Writer("b", wants_snapshot=True))

FIRST_SWAP = Server(
    Document(version=1, swap=Swap("x1", was=0, offset=SNAPSHOT), lease="x"),
    (("x1", Generation(holds=SNAPSHOT, fences=frozenset({"x"}))),),
)
"""A first pass was killed between announcing its swap and doing it."""

SCENARIOS: dict[str, tuple[Server, tuple[Writer, ...]]] = {
    "two first passes": (NOTHING, SYNCS),
    "an operator's init-snapshot and a sync": (LOADED, OPERATOR),
    "two operators' init-snapshots": (LOADED, OPERATORS),
    "two syncs": (LOADED, SYNCS),
    "two syncs of several ranges": (LOADED, SMALL_STEPS),
    "an init-snapshot, and a sync that gives it up": (LOADED, CANCELLED),
    "a first swap announced, then a sync and an init-snapshot": (FIRST_SWAP, OPERATOR),
    "an init-snapshot under another alias, and a sync": (LOADED, RENAMED),
    "an init-snapshot under another alias, and one under the old": (LOADED, RENAMED_TWICE),
    "an init-snapshot under an alias of before, and a sync": (LOADED_TWICE, RENAMED),
    "a range half written, then a sync and an init-snapshot": (HALF_WRITTEN, OPERATOR),
}
