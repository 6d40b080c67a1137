"""The server, what a writer knows, and the rules on which the order depends."""

from typing import NamedTuple

SNAPSHOT = 100
LAST = 700
RANGE = 200


class Rules(NamedTuple):
    """The rules on which the order depends. Without any one of them, the search must find a violation."""

    fenced: bool = True
    """A writer reaches a generation only through its own alias, which the next writer removes."""
    removals_asserted: bool = True
    """The call that drops strays also asserts the fence of the writer."""
    lease_checked_before_removals: bool = True
    """The state is written between creating a generation and dropping strays, which checks the lease."""
    lease_checked_before_dead_swap: bool = True
    """The lease is checked between fencing the content of a dead writer's swap and continuing with it."""
    swap_announced: bool = True
    """The state names the swap and the state before it, so that the next writer can finish or undo it."""
    elsewhere_kept: bool = True
    """A state that names a content under another alias is valid while that alias leads to it."""
    elsewhere_spared: bool = True
    """A content under another alias is not dropped while the state names it."""
    foreign_swap_undone: bool = True
    """A dead writer's swap of another alias is undone, not continued."""
    offset_lowered: bool = True
    """From then on the offset is not above that of the snapshot."""
    range_announced: bool = True
    """The state names the end of a range before the range's first write."""
    announced_ahead: bool = True
    """The next range is read beside the writes of this one and announced together with its offset, if it can
    be folded; else it is read and announced after that. An order of its own each, and both must be safe."""
    all_confirmed: bool = True
    """The offset, and the end of the next range with it, is stored when all of the range is written."""
    snapshot: int = SNAPSHOT
    """The offset of the feed's snapshot."""


class Swap(NamedTuple):
    to: str
    was: int
    offset: int
    alias: str = "A"


class Document(NamedTuple):
    """The state and the lease; `version` stands for `if_seq_no` and `if_primary_term`, `alias` is the one
    that the content was stored for, `requested` the one for which an operator has asked for a new content."""

    version: int = 0
    alias: str | None = None
    offset: int = 0
    generation: str | None = None
    swap: Swap | None = None
    range_to: int | None = None
    owed: int | None = None
    requested: str | None = None
    lease: str | None = None


class Generation(NamedTuple):
    """`holds`: every change up to here is in, None while it is being loaded; `begun`: the end of a range of
    which a part is in; `damage`: what never may be."""

    holds: int | None = None
    begun: int | None = None
    fences: frozenset[str] = frozenset()
    damage: str = ""


class Server(NamedTuple):
    """`live` and `live_b`: where the aliases A and B lead. `command_sent`: the last command was sent for what
    is indexed now."""

    document: Document
    generations: tuple[tuple[str, Generation], ...] = ()
    live: str | None = None
    live_b: str | None = None
    command_sent: bool = True

    def live_of(self, alias: str | None) -> str | None:
        return self.live_b if alias == "B" else self.live

    def swapped(self, alias: str, to: str | None) -> "Server":
        return self._replace(live_b=to) if alias == "B" else self._replace(live=to)

    def get(self, name: str | None) -> Generation | None:
        return next((generation for other, generation in self.generations if other == name), None)

    def put(self, name: str, generation: Generation | None) -> "Server":
        """The server with this generation; None: without it."""
        kept = [(other, old) for other, old in self.generations if other != name]
        added = [] if generation is None else [(name, generation)]
        return self._replace(generations=tuple(sorted([*kept, *added])))

    def is_fenced(self, name: str | None, token: str) -> bool:
        generation = self.get(name)
        return generation is not None and token in generation.fences

    def add_fence(self, name: str, token: str) -> "Server":
        generation = self.get(name)
        assert generation is not None
        return self.put(name, generation._replace(fences=generation.fences | {token}))

    def remove_fence(self, name: str, token: str) -> "Server":
        generation = self.get(name)
        assert generation is not None
        return self.put(name, generation._replace(fences=generation.fences - {token}))


class Writer(NamedTuple):
    """A pass: its `next` step, and what it knows. `document` is the state as it last read or wrote it,
    `alias` is the one that its settings name; `keeps`: it gives up a content that was asked for; `most`: the
    offsets of its ranges, which its limits may halve, and the feed's last offset may cut short; `tidy`: there
    were no strays when it took over."""

    token: str
    wants_snapshot: bool = False
    keeps: bool = False
    alias: str = "A"
    most: int = RANGE
    next: str = "acquire"
    document: Document = Document()
    settled: bool = False
    initialised: bool = False
    advanced: bool = False
    listed: tuple[tuple[str, str], ...] = ()
    strays: tuple[str, ...] = ()
    live: str | None = None
    tidy: bool = False
    to: str | None = None
    range: tuple[int, int] = (0, 0)
    bodies: int = 0
    ahead: tuple[int, int] = (0, 0)
    """The end of the next range, which is folded already, and its bodies; 0: there is none."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether the state speaks of a content under the other alias."""
        return self.document.alias not in (None, self.alias)

    def then(self, step: str, **fields: object) -> "Writer":
        return self._replace(next=step, **fields)  # type: ignore[arg-type]

    def end(self) -> "Writer":
        """The writer has ended: by AnotherPass, by itself, or by a kill."""
        return Writer(self.token, next=ENDED)


ENDED = "ended"
