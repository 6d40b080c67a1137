"""The adapters and settings of one pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctisync.core.model import Consumer
from ctisync.core.pass_report import Draft
from ctisync.core.steps import Policy
from ctisync.ports import Clock, CommandManager, Level, Log, PassFeed, PassStore

if TYPE_CHECKING:  # only a pass with watches needs it
    from ctisync.core.watches import Watch

MatchHook = Callable[[str, bytes, Callable[[], None]], bool]
"""Gives the hook of a watch (its name) the JSON of its notices, calls the function every now and then, and
returns whether the hook succeeded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The adapters of one pass over `consumer`, its policy, its log and its report.

    `commands` is None if no Command Manager is configured. `check_time` raises FeedUnreachable once the time
    of the pass is over; long work in memory calls it. The steps fill `report`, from which history, metrics,
    hooks and ping are made after the pass.
    """

    consumer: Consumer
    feed: PassFeed
    store: PassStore
    commands: CommandManager | None
    clock: Clock
    log: Log
    policy: Policy
    check_time: Callable[[], None]
    report: Draft
    watches: Sequence["Watch"] = ()
    run_match_hook: MatchHook = lambda *_: True

    def event(self, level: Level, event: str, **fields: Any) -> None:
        """Log an event of this pass, with its consumer as the first field."""
        self.log.event(level, event, consumer=str(self.consumer), **fields)
