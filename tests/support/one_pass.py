"""One pass with the parts that a test chooses."""

from collections.abc import Callable, Sequence

from ctisync.core.model import Consumer
from ctisync.core.pass_report import Draft, Ended, PassReport
from ctisync.core.steps import Policy
from ctisync.core.watches import Watch
from ctisync.ports import Clock, CommandManager, Log, PassFeed, PassStore
from ctisync.sync.parts import MatchHook, Parts
from ctisync.sync.run_pass import run_pass


def parts_of(
    consumer: Consumer,
    *,
    feed: PassFeed,
    store: PassStore,
    commands: CommandManager | None,
    clock: Clock,
    log: Log,
    policy: Policy,
    check_time: Callable[[], None] = lambda: None,
    watches: Sequence[Watch] = (),
    run_match_hook: MatchHook = lambda *_: True,
) -> Parts:
    draft = Draft(
        consumer,
        policy.mode,
        pass_id="0123456789ab",
        began_at=clock.now(),
        began=clock.monotonic(),
    )
    return Parts(
        consumer=consumer,
        feed=feed,
        store=store,
        commands=commands,
        clock=clock,
        log=log,
        policy=policy,
        check_time=check_time,
        report=draft,
        watches=watches,
        run_match_hook=run_match_hook,
    )


def passed(parts: Parts) -> PassReport:
    """Run a pass; returns its report. Raises the error that ended it."""
    return good(run_pass(parts))


def good(ended: Ended) -> PassReport:
    """The report of a pass. Raises the error that ended it, if any."""
    if ended.error is not None:
        raise ended.error
    return ended.report
