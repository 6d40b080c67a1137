"""START READING HERE: one pass over one consumer.

It reads the stored state, lets `core.steps` decide on a step, performs it and stores the result, until there
is nothing left to do. The caller holds the host's lock. A pass without anything to write never takes the
store's lease; otherwise it keeps the lease to its end.
"""

from contextlib import ExitStack
from datetime import datetime

from ctisync.core.model import Consumer, ConsumerInfo
from ctisync.core.pass_report import Ended
from ctisync.core.state import (
    ConsumerState,
    cooldown_begun,
    cooldown_ended,
    feed_answered,
    initialisation_cancelled,
    initialisation_requested,
    unanswered,
)
from ctisync.core.steps import (
    ApplyRange,
    AskFeed,
    End,
    Initialise,
    Policy,
    RecordRequest,
    SendCommand,
    Settle,
    SoFar,
    Step,
    cooldown_end,
    next_step,
)
from ctisync.errors import (
    LOAD_ANEW,
    Blocked,
    CommandNotAccepted,
    CtisyncError,
    EmptyStore,
    FeedRefused,
    FeedUnreachable,
    SettingsChanged,
    StoreUnavailable,
    replacing,
)
from ctisync.ports import Level, Progress, Writer
from ctisync.sync.init_snapshot import init_snapshot
from ctisync.sync.parts import Parts
from ctisync.sync.send_command import send_command
from ctisync.sync.update import Updates


def run_pass(parts: Parts, offered: ConsumerInfo | None = None) -> Ended:
    """Bring the stored content of `parts.consumer` in step with the feed, as far as `parts.policy` allows.

    `offered` replaces the feed's information if the feed must not be asked. Returns the report of the pass,
    and the CtisyncError that ended it early, if any; it raises none. All that was stored until then is
    consistent, and the next pass continues there.
    """
    error: CtisyncError | None = None
    try:
        _run_pass(parts, offered)
    except CtisyncError as caught:
        error = caught
    return parts.report.ended(error, parts.clock.monotonic())


def _run_pass(parts: Parts, offered: ConsumerInfo | None) -> None:
    consumer, policy = parts.consumer, parts.policy
    with ExitStack() as lease:
        this = _Pass(parts, offered, lease)
        this.say_where("pass-begun")
        try:
            end = this.run()
        finally:
            this.say_where("pass-stands")
        # A warning also shows with -q: without an answer of the feed the age of the content is unknown.
        level: Level = "warning" if end.outcome in ("nothing-known", "no-snapshot") else "info"
        parts.log.event(level, "pass-ended", consumer=str(consumer), outcome=end.outcome, why=end.why)
        parts.report.came_to(end)
        if (error := bad_end(end, consumer, policy, this.state, parts.clock.now())) is not None:
            raise error
    if this.so_far.command_refused:
        raise CommandNotAccepted(
            f"{consumer}: the content is current, but the Command Manager did not accept the update command",
            hint="ctisync status (the command is still owed; the next pass sends it again)",
        )


class _Pass:
    """What one pass knows: the state as last read or written, the feed's answer, and the steps so far."""

    def __init__(self, parts: Parts, offered: ConsumerInfo | None, lease: ExitStack) -> None:
        self.parts = parts
        self.consumer = parts.consumer
        self.feed = parts.feed
        self.store = parts.store
        self.clock = parts.clock
        self.log = parts.log
        self.policy = parts.policy
        self.info = offered
        self.heard: ConsumerInfo | None = None
        self.asking = False
        self.so_far = SoFar()
        self.lease = lease
        self.writer: Writer | None = None
        self.bars = lease.enter_context(ExitStack())
        self.update_bar: Progress | None = None
        self.update_began = 0
        self.updates = Updates(parts)
        self.seen = parts.store.read_state(parts.consumer)

    @property
    def state(self) -> ConsumerState:
        return self.seen if self.writer is None else self.writer.state

    def say_where(self, event: str) -> None:
        """Log the state, and add it to the report."""
        state = self.state
        self.report_where()
        self.log.event(
            "debug",
            event,
            consumer=str(self.consumer),
            phase=state.phase,
            offset=state.offset,
            last_offset=state.last_offset,
            owed=None if state.owed is None or self.parts.commands is None else state.owed.offset,
            checked_at=state.checked_at,
            updated_at=state.updated_at,
        )

    def report_where(self) -> None:
        self.parts.report.stands(self.state, commands=self.parts.commands is not None)

    def run(self) -> End:
        """Perform the steps to the end. An owed command is sent even if the feed fails meanwhile."""
        try:
            return self._steps()
        except CtisyncError as error:
            self._remember_failed_try(error)
            if not isinstance(error, FeedUnreachable | FeedRefused):
                raise
            owed = self.state.owed_for(self.consumer)
            if self.writer is not None and owed is not None and not self.so_far.command_refused:
                self._send(self.writer, owed.offset)
            raise

    def _remember_failed_try(self, error: CtisyncError) -> None:
        """Store that the feed did not answer, and the cool-down that follows, in one write. Best effort: the
        error ends this pass anyway."""
        seconds = error.come_back_in if isinstance(error, FeedUnreachable) and self.policy.cooldowns else None
        if seconds is None and not self.asking:
            return
        now = self.clock.now()
        state = unanswered(self.state, now) if self.asking else self.state
        if seconds is not None:
            before = cooldown_ended(state) if self.policy.now else state
            state = cooldown_begun(before, seconds, error.message, now, self.policy.server)
        try:
            if self.writer is not None:
                self.writer.save(state)
            else:
                self.store.record_check(self.consumer, state)
        except CtisyncError as failure:
            if seconds is not None:
                self.log.event(
                    "warning", "cooldown-not-remembered", consumer=str(self.consumer), why=failure.message
                )
        else:
            self.seen = state
            if seconds is not None:
                error.hint = _after_cooldown(state, self.policy)

    def _steps(self) -> End:
        while True:
            self.report_where()
            now = self.clock.now()
            step = next_step(self.state, self.info, self.consumer, self.so_far, self.policy, now)
            match step:
                case End():
                    self._remember_idle_look()
                    self._tidy(step)
                    return step
                case AskFeed():
                    self._ask_feed()
                case _ if self.writer is None:
                    self._take_lease(step)  # and decide again: another writer may have written meanwhile
                case RecordRequest(wanted):
                    self._note_asked(self.writer, wanted)
                case SendCommand(offset):
                    self._send(self.writer, offset)
                case Initialise():
                    self._initialise(self.writer, step)
                case ApplyRange():
                    self._apply(self.writer, step)
                case Settle():  # pragma: no cover  # a writer's state is settled, by its contract
                    raise AssertionError("a lease was taken, and the state is still unsettled")

    def _ask_feed(self) -> None:
        self.asking = True
        self.info = self.heard = self.feed.consumer_info()
        self.asking = False
        self.seen = feed_answered(self.seen, self.heard, self.clock.now())
        if self.writer is not None:
            self.writer.save(feed_answered(self.writer.state, self.heard, self.clock.now()))
        self.log.event(
            "info",
            "feed-asked",
            consumer=str(self.consumer),
            offset=self.state.offset,
            last_offset=self.info.last_offset,
            snapshot_offset=self.info.snapshot.offset if self.info.snapshot else None,
        )

    def _take_lease(self, step: Step) -> None:
        if isinstance(step, ApplyRange):
            self.feed.prefetch(step.range)
        self.writer = self.lease.enter_context(self.store.writer(self.consumer))
        if self.seen.content and not self.writer.state.content:
            self.log.event(
                "warning",
                "content-gone",
                consumer=str(self.consumer),
                offset=self.seen.offset,
                why=f"the content stored as {self.consumer.index} is not the one that the state names: "
                "another program has removed or replaced it",
            )
        if self.heard is not None and self.writer.state.offset != self.seen.offset:
            # Another pass came between, so the feed's earlier answer is outdated.
            self.info = self.heard = None
        if self.heard is not None:
            # A range is stored soon, a load perhaps in hours.
            store = self.writer.save_later if isinstance(step, ApplyRange) else self.writer.save
            store(feed_answered(self.writer.state, self.heard, self.clock.now()))

    def _remember_idle_look(self) -> None:
        if self.heard is not None and self.writer is None:
            self.store.record_check(self.consumer, self.seen)

    def _tidy(self, end: End) -> None:
        """Remove a partial download, unless an initialisation is still requested."""
        done = end.outcome in ("up-to-date", "initialised", "blocked")
        if done and self.state.offset > 0 and self.state.asked is None:
            self.feed.tidy()

    def _note_asked(self, writer: Writer, wanted: bool) -> None:
        if wanted:
            writer.save(initialisation_requested(writer.state, self.consumer, self.clock.now()))
            self.log.event("debug", "initialise-asked", consumer=str(self.consumer))
        else:
            writer.save(initialisation_cancelled(writer.state))
            self.log.event("info", "initialise-given-up", consumer=str(self.consumer))

    def _send(self, writer: Writer, offset: int) -> None:
        accepted = send_command(self.parts, writer, offset)
        self.so_far = self.so_far.after(command_refused=not accepted)

    def _initialise(self, writer: Writer, step: Initialise) -> None:
        self._end_update_bar()
        self.updates.forget()
        try:
            init_snapshot(self.parts, writer, step)
        except CtisyncError as error:
            error.hint = _or_keep(error.hint, writer.state)
            raise
        self.so_far = self.so_far.after(initialised=True, advanced=True)

    def _apply(self, writer: Writer, step: ApplyRange) -> None:
        bar = self.update_bar or self._begin_update_bar(writer.state)
        offered = None if self.info is None else self.info.snapshot
        self.so_far = self.updates.update(writer, step, self.so_far, offered)
        bar.reached(writer.state.offset - self.update_began)

    def _begin_update_bar(self, state: ConsumerState) -> Progress:
        """One bar for all ranges of the pass."""
        self.update_began = state.offset
        self.update_bar = self.bars.enter_context(self.log.progress("update", state.behind, "offsets"))
        return self.update_bar

    def _end_update_bar(self) -> None:
        self.bars.close()
        self.update_bar = None


def _after_cooldown(state: ConsumerState, policy: Policy) -> str | None:
    """The hint during a cool-down."""
    when = "that" if state.cooldown is None else cooldown_end(state.cooldown)
    return _or_keep(
        f"run the same command after {when}, or at once: ctisync {policy.mode} --now"
        + ("" if policy.tolerate_cooldown else "; for cron, --tolerate-cooldown makes it exit code 0"),
        state,
    )


def _or_keep(hint: str | None, state: ConsumerState) -> str | None:
    """The hint, plus how to cancel a requested initialisation that cannot be done, so that updates
    continue."""
    if state.asked is None or state.offset == 0:
        return hint
    give_up = "to cancel the requested initialisation: ctisync sync --keep"
    return give_up if hint is None else f"{hint}; {give_up}"


def bad_end(
    end: End, consumer: Consumer, policy: Policy, state: ConsumerState, now: datetime
) -> CtisyncError | None:
    """The error of a pass with this end; None if it succeeded."""
    match end.outcome:
        case "went-back":
            return FeedRefused(
                f"{consumer}: {end.why}; nothing was changed",
                hint=f'{LOAD_ANEW} (loads the feed\'s snapshot again; or set on_feed_reset = "init")',
            )
        case "too-far":
            return FeedRefused(
                f"{consumer}: {end.why}; nothing was changed",
                hint=f"if this is expected, raise limits.offsets_ahead, or: {LOAD_ANEW}",
            )
        case "state-wrong":
            return StoreUnavailable(f"{consumer}: {end.why}", hint=f"{LOAD_ANEW} (loads the content again)")
        case "settings":
            return SettingsChanged(
                f"{consumer}: {end.why}",
                hint=f"{LOAD_ANEW} (loads the content again with these settings), or undo the change",
            )
        case "replaced":
            return SettingsChanged(
                f"{consumer}: {end.why}",
                hint=f"{replacing(consumer)} (loads it beside the other one, then moves {consumer.index} "
                "to it), or set consumers[].index to another name",
            )
        case "blocked":
            return Blocked(
                f"{consumer}: {end.why}",
                hint="ctisync sync (sync can initialise, update cannot); ctisync status shows what blocks"
                if policy.mode == "update"
                else "ctisync status (shows what blocks); passes continue once the feed offers another "
                "change or a new snapshot",
            )
        case "empty":
            return EmptyStore(f"{consumer}: {end.why}", hint="ctisync sync")
        case "cooldown" if not policy.tolerates(state, now):
            old = "; the content is too old to tolerate that (hooks.stale_after)"
            said = f"{consumer}: {end.why}{old if policy.tolerate_cooldown else ''}"
            return FeedUnreachable(said, hint=_after_cooldown(state, policy))
        case _:
            return None
