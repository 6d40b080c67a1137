"""What one pass works with."""

from dataclasses import dataclass

from ctisync.core.model import Consumer
from ctisync.core.pass_report import Draft
from ctisync.core.steps import Policy
from ctisync.ports import Clock, CommandManager, Feed, Log, PassStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The adapters of one pass over `consumer`, what the pass may do, and where it tells what it did.

    `commands` is None when no Command Manager is configured. `log` is for people and programs that read logs;
    `report` is filled by the steps, and what follows the pass is made of it.
    """

    consumer: Consumer
    feed: Feed
    store: PassStore
    commands: CommandManager | None
    clock: Clock
    log: Log
    policy: Policy
    report: Draft
