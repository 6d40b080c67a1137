"""The steps of a writer: taking over, a new content, a range, the command, the end."""

from collections.abc import Callable, Iterator

from tests.support.write_order.model import ENDED, LAST, Generation, Rules, Server, Swap, Writer

After = tuple[Server, Writer]
Step = Callable[[Server, Writer, Rules], After]


def _commit(server: Server, writer: Writer, step: str, **changes: object) -> After:
    """LeaseHolder.commit: a write of the document as last read, or AnotherPass."""
    if server.document.version != writer.document.version:
        return server, writer.end()
    document = server.document._replace(version=server.document.version + 1, **changes)  # type: ignore[arg-type]
    return server._replace(document=document), writer.then(step, document=document)


# Taking over (FencedLease.take_over).


def acquire(server: Server, writer: Writer, rules: Rules) -> After:
    """LeaseHolder.acquire, of a lease that has expired."""
    acquiring = writer._replace(document=server.document)
    return _commit(server, acquiring, "list_fences" if rules.fenced else "look", lease=writer.token)


def list_fences(server: Server, writer: Writer, rules: Rules) -> After:
    listed = tuple(
        (name, fence)
        for name, generation in server.generations
        for fence in sorted(generation.fences - {writer.token})
    )
    live = server.live_of(writer.alias)
    step = "revoke" if listed or live is not None else "look"
    tidy = live is not None and all(name == live for name, _ in server.generations)
    return server, writer.then(step, listed=listed, live=live, tidy=tidy)


def revoke(server: Server, writer: Writer, rules: Rules) -> After:
    """One call: removes all fences, and puts the writer's own one on the live generation. It is atomic."""
    for name, fence in writer.listed:
        if not server.is_fenced(name, fence):
            return server, writer.then("list_fences")
    if server.live_of(writer.alias) != writer.live:
        return server, writer.then("list_fences")
    for name, fence in writer.listed:
        server = server.remove_fence(name, fence)
    if writer.live is not None:
        server = server.add_fence(writer.live, writer.token)
    return server, writer.then("look", listed=())


def look(server: Server, writer: Writer, rules: Rules) -> After:
    """Only now, without another fence, can no other writer change what is live."""
    document = server.document
    if document.version != writer.document.version:
        return server, writer.end()
    if writer.live is None or document.swap is not None or not rules.fenced:
        # What is live was listed, and asserted by the call that made it ours alone.
        writer = writer._replace(live=server.live_of(writer.alias), tidy=False)
    live = writer.live
    if document.swap is not None:
        return server, writer.then(
            _continue_dead_swap(document.swap, server, writer, rules), to=document.swap.to
        )
    if rules.elsewhere_kept and writer.is_elsewhere and server.get(document.generation) is not None:
        agrees = server.live_of(document.alias) == document.generation
    else:
        if not rules.swap_announced and server.get(live) is not None and live != document.generation:
            return server, writer.then("finish_dead_swap", to=live)
        agrees = live == document.generation and (live is not None or document.offset == 0)
    return server, _settled(writer) if agrees else writer.then("zero")


def _continue_dead_swap(swap: Swap, server: Server, writer: Writer, rules: Rules) -> str:
    """What becomes of a dead writer's swap."""
    alias = swap.alias if rules.foreign_swap_undone else writer.alias
    if server.live_of(alias) == swap.to:
        return "finish_dead_swap"
    return "undo" if server.get(swap.to) is None or alias != writer.alias else "fence_dead_swap"


def finish_dead_swap(server: Server, writer: Writer, rules: Rules) -> After:
    """A dead writer's swap was done: its state after the swap is stored."""
    swap = writer.document.swap
    offset = rules.snapshot if swap is None else swap.offset
    alias = writer.alias if swap is None else swap.alias
    return _commit(server, writer, "look", alias=alias, generation=writer.to, **_swapped(offset))


def _swapped(offset: int) -> dict[str, object]:
    return {"offset": offset, "swap": None, "range_to": None, "owed": offset, "requested": None}


def fence_dead_swap(server: Server, writer: Writer, rules: Rules) -> After:
    """A dead writer's swap was announced, and its content is complete: continue from here."""
    assert writer.to is not None
    if server.get(writer.to) is None:
        return server, writer.then("look")
    step = "see_lease" if rules.lease_checked_before_dead_swap else "swap"
    return server.add_fence(writer.to, writer.token), writer.then(step)


def see_lease(server: Server, writer: Writer, rules: Rules) -> After:
    """A writer that takes over from now on removes that fence; one that did so before could not."""
    if server.document.lease != writer.token:
        return server, writer.end()
    return server, writer.then("swap")


def undo(server: Server, writer: Writer, rules: Rules) -> After:
    """The new content is gone, and the old one unchanged: back to the offset before."""
    assert writer.document.swap is not None
    return _commit(server, writer, "look", offset=writer.document.swap.was, swap=None)


def zero(server: Server, writer: Writer, rules: Rules) -> After:
    """The live content is not the one that the state names: start again."""
    server, writer = _commit(server, writer, "decide", offset=0, generation=None, range_to=None)
    return (server, writer) if writer.next == ENDED else (server, _settled(writer))


def _settled(writer: Writer) -> Writer:
    writer = writer._replace(settled=True, to=None)
    return _decided(writer) if writer.live is None or writer.tidy else writer.then("list_strays")


def list_strays(server: Server, writer: Writer, rules: Rules) -> After:
    kept = {server.live_of(writer.alias), writer.to}
    if writer.to is not None or (rules.elsewhere_spared and writer.is_elsewhere):
        kept |= {server.live, server.live_b}  # what is read under another alias is not ours to remove yet
    strays = tuple(name for name, _ in server.generations if name not in kept)
    if strays:
        return server, writer.then("drop_strays", strays=strays)
    return server, _after_strays(writer)


def drop_strays(server: Server, writer: Writer, rules: Rules) -> After:
    """One call that asserts the own fence, on the generation that is being loaded, or else on the live
    one."""
    fenced = writer.to or writer.live
    if rules.fenced and rules.removals_asserted and not server.is_fenced(fenced, writer.token):
        return server, writer.end()
    if any(server.get(name) is None for name in writer.strays):
        return server, writer.then("list_strays")
    other = "A" if writer.alias == "B" else "B"
    for name in writer.strays:
        server = server.put(name, None)
        if name == server.live_of(other):  # the alias goes with it
            server = server.swapped(other, None)
    return server, _after_strays(writer)


def _after_strays(writer: Writer) -> Writer:
    writer = writer._replace(strays=())
    return _decided(writer) if writer.to is None else writer.then("load")


def _decided(writer: Writer) -> Writer:
    """core.steps.next_step, as far as the order of writes goes: a command that is owed from before goes out
    first, one for what this pass has done when there is nothing left to do."""
    state = writer.document
    if writer.keeps and state.requested is not None:
        return writer.then("cancel_request")
    requested = state.requested == writer.alias
    if writer.wants_snapshot and not writer.initialised and not requested:
        return writer.then("record_request")
    if writer.is_elsewhere:  # a command for the other alias is none of ours
        return writer.then("create" if requested and not writer.initialised else "unfence")
    if state.owed is not None and not writer.advanced:
        return writer.then("refresh")
    wants_snapshot = requested or writer.wants_snapshot or state.generation is None or state.offset == 0
    if wants_snapshot and not writer.initialised:
        return writer.then("create")
    if state.offset < LAST and not writer.wants_snapshot:
        return writer.then("read")
    return writer.then("unfence" if state.owed is None else "refresh")


# A new content (OpenSearchWriter.load and publish).


def record_request(server: Server, writer: Writer, rules: Rules) -> After:
    """A request of the operator is stored before it is performed: a later pass may have to perform it."""
    server, writer = _commit(server, writer, "decide", requested=writer.alias)
    return (server, writer) if writer.next == ENDED else (server, _decided(writer))


def cancel_request(server: Server, writer: Writer, rules: Rules) -> After:
    """`sync --keep`: the stored content stays, at its offset."""
    server, writer = _commit(server, writer, "decide", requested=None)
    return (server, writer) if writer.next == ENDED else (server, _decided(writer))


def create(server: Server, writer: Writer, rules: Rules) -> After:
    """A name is used only once; a generation is created with its fence."""
    name = f"of {writer.token}"
    while server.get(name) is not None:
        name += "'"
    fences = frozenset({writer.token}) if rules.fenced else frozenset()
    step = "begin_load" if rules.lease_checked_before_removals else "list_strays"
    return server.put(name, Generation(fences=fences)), writer.then(step, to=name)


def begin_load(server: Server, writer: Writer, rules: Rules) -> After:
    return _commit(server, writer, "list_strays")


def load(server: Server, writer: Writer, rules: Rules) -> After:
    assert writer.to is not None
    generation = server.get(writer.to)
    if rules.fenced and not server.is_fenced(writer.to, writer.token):
        return server, writer.end()
    if generation is None:  # without `require_alias` a bulk makes the index that it misses
        generation = Generation(damage="made by a bulk, with a guessed mapping")
    return server.put(writer.to, generation._replace(holds=rules.snapshot)), writer.then("check_count")


def check_count(server: Server, writer: Writer, rules: Rules) -> After:
    """OpenSearchWriter.prepare: settings for reading, refresh, count, all through the fence."""
    lost = rules.fenced and not server.is_fenced(writer.to, writer.token)
    return server, writer.end() if lost else writer.then("announce_swap")


def announce_swap(server: Server, writer: Writer, rules: Rules) -> After:
    """The offset is lowered before the swap: from here on, either content may be live."""
    assert writer.to is not None
    was = writer.document.offset
    swap = Swap(writer.to, was, rules.snapshot, writer.alias) if rules.swap_announced else None
    offset = min(was, rules.snapshot) if rules.offset_lowered else was
    return _commit(server, writer, "swap", swap=swap, offset=offset)


def swap(server: Server, writer: Writer, rules: Rules) -> After:
    """FencedLease.swap: one call that asserts the own fence on the new generation and moves the alias."""
    if server.get(writer.to) is None or (rules.fenced and not server.is_fenced(writer.to, writer.token)):
        return server, writer.end()
    live = server.live_of(writer.alias)
    if rules.fenced and writer.live is not None and live != writer.live:
        return server, writer.end()  # the alias is removed with `must_exist`
    if live not in (writer.live, writer.to):  # nothing was live, and so nothing is removed
        generation = server.get(writer.to)
        assert writer.to is not None
        assert generation is not None
        server = server.put(writer.to, generation._replace(damage="the alias leads to two contents"))
    step = "finish_swap" if writer.settled else "look"  # taking over, it is looked at first what came of it
    return server.swapped(writer.alias, writer.to)._replace(command_sent=False), writer.then(
        step, live=writer.to
    )


def finish_swap(server: Server, writer: Writer, rules: Rules) -> After:
    offset = rules.snapshot
    server, writer = _commit(
        server, writer, "decide", alias=writer.alias, generation=writer.to, **_swapped(offset)
    )
    if writer.next == ENDED:
        return server, writer
    return server, _decided(writer._replace(to=None, initialised=True, advanced=True))


# A range (OpenSearchWriter.read and apply).


def read(server: Server, writer: Writer, rules: Rules) -> After:
    """The range that was begun, or the next one; it is folded before the first write."""
    generation = server.get(writer.live)
    if generation is None or (rules.fenced and not server.is_fenced(writer.live, writer.token)):
        return server, writer.end()
    after = writer.document.offset
    to = writer.document.range_to or min(after + writer.most, LAST)
    writer = writer._replace(range=(after, to), bodies=_bodies(generation, to))
    if writer.document.range_to == to or not rules.range_announced:
        return server, writer.then(_begun(writer, rules))
    return server, writer.then("announce_range")


def _bodies(generation: Generation, to: int) -> int:
    """What the records have seen is not written again."""
    return 0 if generation.holds == to else 2


def _begun(writer: Writer, rules: Rules) -> str:
    if rules.announced_ahead and writer.range[1] < LAST:
        return "read_ahead"
    return "bulk" if writer.bodies else "advance"


def announce_range(server: Server, writer: Writer, rules: Rules) -> After:
    """The next writer then folds the same range again, whatever part of it was written."""
    return _commit(server, writer, _begun(writer, rules), range_to=writer.range[1])


def read_ahead(server: Server, writer: Writer, rules: Rules) -> After:
    """The next range, while this one is written: what is being written comes from memory."""
    generation = server.get(writer.live)
    to = min(writer.range[1] + writer.most, LAST)
    if generation is not None and (server.is_fenced(writer.live, writer.token) or not rules.fenced):
        writer = writer._replace(ahead=(to, _bodies(generation, to)))
    return server, writer.then("bulk" if writer.bodies else "advance")


def bulk(server: Server, writer: Writer, rules: Rules) -> After:
    """Two bodies: between them, a part of the range is written. A record with a higher version stays."""
    generation = server.get(writer.live)
    if generation is None or (rules.fenced and not server.is_fenced(writer.live, writer.token)):
        return server, writer.end()
    assert writer.live is not None
    assert generation.holds is not None
    after, to = writer.range
    if generation.holds < after:
        server = server.put(writer.live, generation._replace(damage="a range on a content below it"))
    elif generation.holds > to:
        server = server.put(writer.live, generation._replace(damage="a late create brought a record back"))
    elif generation.begun not in (None, to):
        server = server.put(writer.live, generation._replace(damage="a range over a part of another one"))
    elif generation.holds < to and writer.bodies > 1:
        server = server.put(writer.live, generation._replace(begun=to))
    elif generation.holds < to:
        server = server.put(writer.live, generation._replace(holds=to, begun=None))
        server = server._replace(
            command_sent=server.command_sent and server.live_of(writer.alias) != writer.live
        )
    more = writer.bodies > 1 and rules.all_confirmed
    return server, writer.then("bulk" if more else "advance", bodies=writer.bodies - 1)


def advance(server: Server, writer: Writer, rules: Rules) -> After:
    """After the content, the offset and the owed command are stored together, and the end of the next range,
    if that one is already folded."""
    to, (ahead, bodies) = writer.range[1], writer.ahead
    server, writer = _commit(server, writer, "decide", offset=to, owed=to, range_to=ahead or None)
    if writer.next == ENDED:
        return server, writer
    writer = writer._replace(range=(0, 0), ahead=(0, 0), advanced=True)
    if not ahead:
        return server, _decided(writer)
    writer = writer._replace(range=(to, ahead), bodies=bodies)
    return server, writer.then(_begun(writer, rules))


# The command (_send_command), and the end (FencedLease.remove_fences, LeaseHolder.release).


def refresh(server: Server, writer: Writer, rules: Rules) -> After:
    lost = rules.fenced and not server.is_fenced(writer.live, writer.token)
    return server, writer.end() if lost else writer.then("post")


def post(server: Server, writer: Writer, rules: Rules) -> After:
    """The only write without a fence: an older offset may be sent after a newer one."""
    live = server.get(server.live_of(writer.alias))
    right = live is not None and live.holds == writer.document.offset
    return server._replace(command_sent=server.command_sent or right), writer.then("accept")


def accept(server: Server, writer: Writer, rules: Rules) -> After:
    server, writer = _commit(server, writer, "decide", owed=None)
    return (server, writer) if writer.next == ENDED else (server, _decided(writer._replace(advanced=False)))


def unfence(server: Server, writer: Writer, rules: Rules) -> After:
    """Best effort: the next writer removes what stays."""
    for name, _ in server.generations:
        server = server.remove_fence(name, writer.token)
    return server, writer.then("release")


def release(server: Server, writer: Writer, rules: Rules) -> After:
    server, writer = _commit(server, writer, ENDED, lease=None)
    return server, writer.end()


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (
        acquire, list_fences, revoke, look, finish_dead_swap, fence_dead_swap, see_lease, undo, zero,
        list_strays, drop_strays, record_request, cancel_request, create, begin_load, load, check_count,
        announce_swap, swap, finish_swap, read, announce_range, read_ahead, bulk, advance, refresh, post,
        accept, unfence, release,
    )
}  # fmt: skip
LOOKS = frozenset({"list_fences", "look", "see_lease", "list_strays"})
"""Steps that only read, and not through a fence; their number is not part of the order."""


def performed(server: Server, writer: Writer, rules: Rules) -> Iterator[tuple[str, Server]]:
    """The steps of a writer that is alone, and the server after each."""
    while writer.next != ENDED:
        step = writer.next
        server, writer = STEPS[step](server, writer, rules)
        yield step, server
