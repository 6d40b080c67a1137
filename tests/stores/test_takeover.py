"""Taking over before a node on which others change aliases and the document between any two requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ctisync.core.state import ConsumerState, Cooldown
from ctisync.errors import AnotherPass, StoreUnavailable
from ctisync.stores.opensearch.state_document import StateEntry
from tests.stores.small_node import CONSUMER, Holder, SmallNode, lease, swap, with_content

ALIASES = "POST /_aliases"
DOCUMENT = "GET /wazuh-context/_doc"
INVENTORY = "GET /ctisync-"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ONE, TWO = "ctisync-one", "ctisync-two"
ALIAS = CONSUMER.index


@pytest.fixture
def node() -> SmallNode:
    return SmallNode()


def theirs(node: SmallNode) -> str:
    """A fence of somebody who held the lease before."""
    return Holder(node).generations.new_fence("theirs", 0)


def test_taking_over_leaves_one_fence_on_the_live_content_and_none_of_anybody_else(node: SmallNode) -> None:
    """Else a former holder could still write to it."""
    state = with_content(node)
    node.generations[ONE] |= {theirs(node), theirs(node) + "1"}
    holder = Holder(node)
    holder.hold.take_over()
    assert node.generations == {ONE: {ALIAS, holder.hold.fence(ONE)}}
    assert holder.hold.live == ONE
    assert node.entry().state == state


def test_a_fence_of_a_dead_writer_goes_from_a_content_that_is_not_live_as_well(node: SmallNode) -> None:
    """With nothing live there is nothing to assert, and nothing else that would keep him out."""
    node.generations[TWO] = {theirs(node)}
    holder = Holder(node)
    holder.hold.take_over()
    assert node.generations == {TWO: set()}
    assert holder.hold.live is None
    assert node.entry().state == ConsumerState()


def test_strays_of_dead_writers_are_dropped_and_the_live_content_is_not(node: SmallNode) -> None:
    with_content(node)
    node.generations |= {TWO: {theirs(node)}, "ctisync-three": set()}
    Holder(node).hold.take_over()
    assert node.generations.keys() == {ONE}


def test_a_load_that_died_is_no_load_any_more(node: SmallNode) -> None:
    with_content(node, loading=True)
    Holder(node).hold.take_over()
    assert node.entry().state.loading is False
    assert node.entry().state.offset == 10


def test_a_list_that_was_out_of_date_when_fences_were_removed_is_made_again(node: SmallNode) -> None:
    """Somebody let go of his fence in between: none of the removals was done then."""
    with_content(node)
    node.generations[ONE] |= {theirs(node), theirs(node) + "1"}

    def let_go() -> None:
        node.generations[ONE].discard(theirs(node))

    node.meanwhile.append((ALIASES, let_go))
    holder = Holder(node)
    holder.hold.take_over()
    assert node.generations == {ONE: {ALIAS, holder.hold.fence(ONE)}}


def test_a_former_holders_swap_before_the_revocation_is_noticed_and_its_content_fenced(
    node: SmallNode,
) -> None:
    """Else the new holder would write through a fence on a content that nobody reads any more."""
    with_content(node)
    node.generations[TWO] = {theirs(node)}

    def swapped() -> None:
        node.generations[ONE].discard(ALIAS)
        node.generations[TWO].add(ALIAS)

    node.meanwhile.append((ALIASES, swapped))
    holder = Holder(node)
    holder.hold.take_over()
    assert node.generations == {TWO: {ALIAS, holder.hold.fence(TWO)}}
    assert holder.hold.live == TWO


@pytest.mark.parametrize("step", ["revoke", "drop_strays"])
def test_aliases_that_never_rest_end_the_pass_at_last(node: SmallNode, step: str) -> None:
    with_content(node)
    node.generations[TWO] = {theirs(node)}
    holder = Holder(node)
    if step == "drop_strays":
        holder.lease.acquire(lambda entry: entry)
    node.sent.clear()
    for number in range(40):
        stray = f"ctisync-{number}"

        def before_the_list(name: str = stray) -> None:
            node.generations[name] = {theirs(node)}

        def before_the_change(name: str = stray) -> None:
            del node.generations[name]

        node.meanwhile += [(INVENTORY, before_the_list), (ALIASES, before_the_change)]
    with pytest.raises(StoreUnavailable, match="changed too often"):
        holder.hold.take_over() if step == "revoke" else holder.hold.drop_strays(ONE)
    assert node.sent.count("POST /_aliases") == 10
    assert ONE in node.generations


def test_a_state_that_speaks_of_another_content_than_the_live_one_is_set_to_0(node: SmallNode) -> None:
    """Its offset says nothing about what readers see."""
    with_content(node, range_to=15)
    node.generations = {TWO: {ALIAS}}
    Holder(node).hold.take_over()
    entry = node.entry()
    assert (entry.state.offset, entry.state.content, entry.state.range_to) == (0, False, None)
    assert entry.generation is None
    assert entry.state.last_offset == 20
    assert node.generations.keys() == {TWO}


@pytest.mark.parametrize(
    "left",
    [
        StateEntry(state=ConsumerState(), generation=ONE),
        StateEntry(state=ConsumerState(offset=10)),
        StateEntry(state=ConsumerState(content=True)),
    ],
    ids=["a generation", "an offset", "a content"],
)
def test_whatever_a_state_claims_without_a_live_content_is_set_to_0(
    node: SmallNode, left: StateEntry
) -> None:
    node.put(lambda entry: left)
    Holder(node).hold.take_over()
    entry = node.entry()
    assert (entry.state, entry.generation) == (ConsumerState(), None)


def test_an_empty_store_is_taken_over_with_one_write(node: SmallNode) -> None:
    holder = Holder(node)
    holder.hold.take_over()
    assert node.version == 1
    assert holder.hold.live is None


AFTER = ConsumerState(
    offset=30, content=True, snapshot_offset=30, last_offset=40, last_snapshot_link="new", checked_at=NOW
)


def test_a_swap_that_was_done_is_remembered_as_done(node: SmallNode) -> None:
    with_content(node)
    node.put(swap(TWO, 10, AFTER))
    node.generations = {ONE: set(), TWO: {ALIAS}}
    holder = Holder(node)
    holder.hold.take_over()
    entry = node.entry()
    assert (entry.state, entry.generation, entry.swap) == (AFTER, TWO, None)
    assert node.generations == {TWO: {ALIAS, holder.hold.fence(TWO)}}
    assert holder.hold.live == TWO


def test_a_swap_whose_content_is_there_is_finished(node: SmallNode) -> None:
    with_content(node)
    node.put(swap(TWO, 10, AFTER))
    node.generations[TWO] = {theirs(node)}
    holder = Holder(node)
    holder.hold.take_over()
    entry = node.entry()
    assert (entry.state, entry.generation, entry.swap) == (AFTER, TWO, None)
    assert holder.hold.live == TWO
    assert node.generations == {TWO: {ALIAS, holder.hold.fence(TWO)}}


def test_who_was_overtaken_before_he_fenced_a_begun_swap_does_not_finish_it_any_more(node: SmallNode) -> None:
    """The other one has finished it and gone on: the alias would lead to two contents."""
    node.generations[TWO] = set()
    node.put(swap(TWO, 0, AFTER))

    def overtaken() -> None:
        node.generations = {TWO: set(), "ctisync-three": {ALIAS}}
        node.put(lambda entry: msgspec.structs.replace(entry, lease=lease(), swap=None))

    node.meanwhile.append((ALIASES, overtaken))
    with pytest.raises(AnotherPass):
        Holder(node).hold.take_over()
    assert [name for name, aliases in node.generations.items() if ALIAS in aliases] == ["ctisync-three"]


def test_a_swap_whose_content_is_gone_is_undone_and_the_offset_is_what_it_was(node: SmallNode) -> None:
    with_content(node)
    lower = msgspec.structs.replace(AFTER, offset=5)
    node.put(swap(TWO, 10, lower))
    assert node.entry().state.offset == 5
    Holder(node).hold.take_over()
    entry = node.entry()
    assert (entry.state.offset, entry.generation, entry.swap) == (10, ONE, None)


def test_a_swap_whose_content_goes_while_it_is_fenced_is_undone(node: SmallNode) -> None:
    with_content(node)
    node.put(swap(TWO, 10, AFTER))
    node.generations[TWO] = set()
    node.meanwhile += [(ALIASES, lambda: None), (ALIASES, lambda: node.generations.pop(TWO))]
    Holder(node).hold.take_over()
    entry = node.entry()
    assert (entry.state.offset, entry.generation, entry.swap) == (10, ONE, None)


def test_a_swap_that_can_neither_be_finished_nor_undone_ends_the_pass(node: SmallNode) -> None:
    with_content(node)
    node.put(swap(TWO, 10, AFTER))
    node.generations[TWO] = set()
    node.meanwhile.append((ALIASES, lambda: None))  # the fences
    for _ in range(40):
        node.meanwhile += [
            (ALIASES, lambda: node.generations.pop(TWO)),
            (DOCUMENT, lambda: node.generations.setdefault(TWO, set())),
        ]
    with pytest.raises(StoreUnavailable, match="changed too often"):
        Holder(node).hold.take_over()
    assert node.sent.count("POST /_aliases") == 11
    assert node.entry().swap is not None


def test_a_lease_that_is_lost_while_a_swap_is_settled_ends_the_pass(node: SmallNode) -> None:
    """Else it would finish a swap that the new holder has undone."""
    with_content(node)
    node.put(swap(TWO, 10, AFTER))
    node.generations[TWO] = set()

    def lost() -> None:
        node.put(lambda entry: msgspec.structs.replace(entry, lease=lease(), swap=None))

    holder = Holder(node)
    node.meanwhile.append((ALIASES, lost))
    with pytest.raises(AnotherPass):
        holder.hold.take_over()
    assert ALIAS in node.generations[ONE]
    assert node.entry().lease == lease()


@pytest.mark.parametrize(
    ("swapped_at", "answered_at", "is_kept"),
    [
        (NOW, NOW + timedelta(seconds=1), True),
        (None, NOW, True),
        (NOW, NOW, False),
        (NOW, NOW - timedelta(seconds=1), False),
        (NOW, None, False),
    ],
    ids=["later", "the first word", "at the same time", "before", "nothing"],
)
def test_a_finished_swap_keeps_a_later_answer_of_the_feed(
    node: SmallNode, swapped_at: datetime | None, answered_at: datetime | None, is_kept: bool
) -> None:
    """An idle pass may have asked the feed while the swap lay half done."""
    with_content(node)
    after = msgspec.structs.replace(AFTER, checked_at=swapped_at)
    node.put(swap(TWO, 10, after))
    node.put(
        lambda entry: msgspec.structs.replace(
            entry,
            state=msgspec.structs.replace(
                entry.state, last_offset=99, last_snapshot_link="since", checked_at=answered_at
            ),
        )
    )
    node.generations = {TWO: {ALIAS}}
    Holder(node).hold.take_over()
    state = node.entry().state
    expected = (99, "since", answered_at) if is_kept else (40, "new", swapped_at)
    assert (state.last_offset, state.last_snapshot_link, state.checked_at) == expected
    assert (state.offset, state.snapshot_offset) == (30, 30)


def test_a_swap_moves_the_alias_in_one_step(node: SmallNode) -> None:
    with_content(node)
    holder = Holder(node)
    holder.hold.take_over()
    node.generations[TWO] = {holder.hold.fence(TWO)}
    node.sent.clear()
    assert holder.hold.swap(TWO)
    assert node.sent == ["POST /_aliases"]
    assert ALIAS in node.generations[TWO]
    assert ALIAS not in node.generations[ONE]
    assert holder.hold.live == TWO


def test_a_swap_without_the_fence_is_not_done_and_says_so(node: SmallNode) -> None:
    """Somebody has taken over: what was built may be half dropped."""
    with_content(node)
    holder = Holder(node)
    holder.hold.take_over()
    node.generations[TWO] = set()
    assert not holder.hold.swap(TWO)
    assert ALIAS in node.generations[ONE]
    assert holder.hold.live == ONE


def test_a_swap_from_another_content_than_was_live_is_not_done(node: SmallNode) -> None:
    """The alias points where nobody of ours has put it: the content there is not ours to hide."""
    with_content(node)
    holder = Holder(node)
    holder.hold.take_over()
    node.generations[TWO] = {holder.hold.fence(TWO)}
    node.generations["ctisync-three"] = {ALIAS}
    node.generations[ONE].discard(ALIAS)
    assert not holder.hold.swap(TWO)
    assert holder.hold.live == "ctisync-three"


def test_the_very_first_content_goes_live_with_nothing_before_it(node: SmallNode) -> None:
    holder = Holder(node)
    holder.hold.take_over()
    node.generations[ONE] = {holder.hold.fence(ONE)}
    assert holder.hold.swap(ONE)
    assert node.generations == {ONE: {ALIAS, holder.hold.fence(ONE)}}


def test_each_content_has_a_fence_of_its_own_and_keeps_it(node: SmallNode) -> None:
    holder = Holder(node)
    one, two = holder.hold.fence(ONE), holder.hold.fence(TWO)
    assert one != two
    assert holder.lease.token in one
    assert (holder.hold.fence(ONE), holder.hold.fence(TWO)) == (one, two)


def test_who_has_lost_the_fence_drops_nothing(node: SmallNode) -> None:
    with_content(node)
    holder = Holder(node)
    holder.hold.take_over()
    node.generations[TWO] = {ALIAS + "-other"}
    node.generations[ONE].discard(holder.hold.fence(ONE))
    node.put(lambda entry: msgspec.structs.replace(entry, lease=lease()))
    with pytest.raises(AnotherPass):
        holder.hold.drop_strays(ONE)
    assert node.generations.keys() == {ONE, TWO}


def test_what_is_spared_stays_and_what_is_not_there_costs_no_request(node: SmallNode) -> None:
    """The content that was just replaced has readers still."""
    with_content(node)
    holder = Holder(node)
    holder.hold.take_over()
    node.generations |= {TWO: set(), "ctisync-three": set()}
    node.sent.clear()
    holder.hold.drop_strays(ONE, spare=[TWO])
    assert node.generations.keys() == {ONE, TWO}
    holder.hold.drop_strays(ONE, spare=[TWO])
    assert node.sent == ["POST /_aliases"]


def test_a_content_that_is_being_built_is_no_stray_of_its_builder(node: SmallNode) -> None:
    with_content(node)
    holder = Holder(node)
    holder.hold.take_over()
    node.generations |= {TWO: {holder.hold.fence(TWO)}, "ctisync-three": set()}
    holder.hold.drop_strays(TWO)
    assert node.generations.keys() == {ONE, TWO}


def test_while_a_content_is_built_one_that_is_read_under_another_alias_stays(node: SmallNode) -> None:
    """The settings name another index now, and there is nothing under it yet."""
    node.generations = {ONE: {ALIAS + "-before"}, "ctisync-three": set()}
    holder = Holder(node)
    holder.hold.take_over()
    node.generations[TWO] = {holder.hold.fence(TWO)}
    holder.hold.drop_strays(TWO)
    assert node.generations.keys() == {ONE, TWO}
    assert holder.hold.swap(TWO)
    holder.hold.drop_strays(TWO)
    assert node.generations.keys() == {TWO}


def test_letting_go_removes_the_fences_on_what_is_still_there(node: SmallNode) -> None:
    """A fence that went with its generation is not asked for: that would undo all of it."""
    with_content(node)
    holder = Holder(node)
    holder.hold.take_over()
    for name in (TWO, "ctisync-three"):
        node.generations[name] = {holder.hold.fence(name)}
    holder.hold.drop_strays(ONE)
    node.generations["ctisync-four"] = {holder.hold.fence("ctisync-four")}
    del node.generations["ctisync-four"]
    holder.hold.discard_fence("ctisync-four")
    holder.hold.remove_fences()
    assert node.generations == {ONE: {ALIAS}}


def test_letting_go_without_a_fence_asks_for_nothing(node: SmallNode) -> None:
    holder = Holder(node)
    holder.hold.take_over()
    node.sent.clear()
    holder.hold.remove_fences()
    holder.hold.discard_fence(ONE)
    assert node.sent == []


def test_what_the_state_holds_besides_the_content_survives_a_take_over(node: SmallNode) -> None:
    cooldown = Cooldown(NOW, "429")
    state = with_content(node, cooldown=cooldown, checked_at=NOW)
    node.put(lambda entry: msgspec.structs.replace(entry, lease=lease(until=0)))
    Holder(node).hold.take_over()
    assert node.entry().state == state
