"""START READING HERE: one pass over one consumer.

It reads the stored state, lets `core.steps` decide on a step, performs it and stores the result, until there
is nothing left to do. The caller holds the host's lock. A pass without anything to write never takes the
store's lease; otherwise it keeps the lease to its end.
"""

from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

from ctisync.core.model import Consumer, ConsumerInfo, Snapshot
from ctisync.core.pass_report import Ended
from ctisync.core.state import (
    ConsumerState,
    command_accepted,
    command_needless,
    command_refused,
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
    Situation,
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
    replace_command,
)
from ctisync.ports import Level, SnapshotFile, Writer
from ctisync.sync.init_snapshot import FileFeed, init_snapshot
from ctisync.sync.parts import Parts
from ctisync.sync.update import Updates


def run_pass(parts: Parts, offered: ConsumerInfo | None = None) -> Ended:
    """Bring the stored content of `parts.consumer` in step with the feed, as far as `parts.policy` allows.

    `offered` replaces the feed's information if the feed must not be asked. Returns the report of the pass,
    and the CtisyncError that ended it early, if any; it raises none. All that was stored until then is
    consistent, and the next pass continues there.
    """
    error: CtisyncError | None = None
    try:
        with ExitStack() as resources:
            _Pass(parts, offered, resources).run()
    except CtisyncError as caught:
        error = caught
    return parts.report.ended(error, parts.clock.monotonic())


def load_file(parts: Parts, file: SnapshotFile, snapshot: Snapshot) -> Ended:
    """Make the records of `file` the live content at `snapshot.offset`, without a request to the feed of
    `parts`. Returns what `run_pass` returns."""
    return run_pass(
        replace(parts, feed=FileFeed(file)), offered=ConsumerInfo(last_offset=None, snapshot=snapshot)
    )


class _Pass:
    """A running pass: the stored state, the feed's answer, and the steps so far.

    `resources` closes the store's lease and the progress bar when the pass ends.
    """

    def __init__(self, parts: Parts, offered: ConsumerInfo | None, resources: ExitStack) -> None:
        self.parts = parts
        self.consumer = parts.consumer
        self.feed = parts.feed
        self.store = parts.store
        self.clock = parts.clock
        self.policy = parts.policy
        self.offered = offered
        self.answer: ConsumerInfo | None = None
        self.awaits_answer = False
        self.so_far = SoFar()
        self.resources = resources
        self.updates = Updates(parts, resources)
        self.writer: Writer | None = None
        self.unlocked_state = parts.store.read_state(parts.consumer)

    @property
    def state(self) -> ConsumerState:
        """The state as last written with the lease; before that, as read without it."""
        return self.unlocked_state if self.writer is None else self.writer.state

    @property
    def situation(self) -> Situation:
        info = self.offered or self.answer
        return Situation(self.state, info, self.consumer, self.so_far, self.policy, self.clock.now())

    def run(self) -> None:
        """Perform the steps to the end. An owed command is sent even if the feed fails meanwhile. Raises the
        error of a pass that does not succeed."""
        self._log_state("pass-begun")
        try:
            end = self._perform_steps()
        except CtisyncError as error:
            self._store_failure(error)
            if isinstance(error, FeedUnreachable | FeedRefused):
                self._send_owed_command()
            raise
        finally:
            self._log_state("pass-stands")
        # A warning also shows with -q: without an answer of the feed the age of the content is unknown.
        level: Level = "warning" if end.outcome in ("nothing-known", "no-snapshot") else "info"
        self.parts.event(level, "pass-ended", outcome=end.outcome, why=end.why)
        self.parts.report.set_end(end)
        failure = bad_end(end, self.consumer, self.policy, self.state, self.clock.now())
        if failure is not None:
            raise failure
        if self.so_far.command_refused:
            raise CommandNotAccepted(
                f"{self.consumer}: the content is current, but the Command Manager did not accept the "
                "update command",
                hint="ctisync status (the command is still owed; the next pass sends it again)",
            )

    def _perform_steps(self) -> End:
        while True:
            self._report_state()
            situation = self.situation
            step = next_step(situation)
            match step:
                case End():
                    self._end(step)
                    return step
                case AskFeed():
                    self._ask_feed()
                case _ if self.writer is None:
                    self._take_lease(step)  # and decide again: another writer may have written meanwhile
                case RecordRequest(cancel):
                    self._record_request(self.writer, cancel)
                case SendCommand(offset):
                    self._send_command(self.writer, offset)
                case Initialise():
                    self._initialise(self.writer, step)
                case ApplyRange():
                    self.so_far = self.updates.update(self.writer, step, situation)
                case Settle():  # pragma: no cover  # a writer's state is settled, by its contract
                    raise AssertionError("a lease was taken, and the state is still unsettled")

    def _ask_feed(self) -> None:
        self.awaits_answer = True
        self.answer = self.feed.consumer_info()
        self.awaits_answer = False
        self.unlocked_state = feed_answered(self.unlocked_state, self.answer, self.clock.now())
        if self.writer is not None:
            self.writer.save(feed_answered(self.writer.state, self.answer, self.clock.now()))
        self.parts.event(
            "info",
            "feed-asked",
            offset=self.state.offset,
            last_offset=self.answer.last_offset,
            snapshot_offset=self.answer.snapshot.offset if self.answer.snapshot else None,
        )

    def _take_lease(self, step: Step) -> None:
        if isinstance(step, ApplyRange):
            self.feed.prefetch(step.range)
        before = self.unlocked_state
        self.writer = self.resources.enter_context(self.store.writer(self.consumer))
        if before.content and not self.writer.state.content:
            self.parts.event(
                "warning",
                "content-gone",
                offset=before.offset,
                why=f"the content stored as {self.consumer.index} is not the one that the state names: "
                "another program has removed or replaced it",
            )
        if self.answer is None:
            return
        if self.writer.state.offset != before.offset:
            self.answer = None  # outdated: another pass has written since
            return
        # A range is stored soon, a load perhaps in hours.
        store = self.writer.save_later if isinstance(step, ApplyRange) else self.writer.save
        store(feed_answered(self.writer.state, self.answer, self.clock.now()))

    def _record_request(self, writer: Writer, cancel: bool) -> None:
        if cancel:
            writer.save(initialisation_cancelled(writer.state))
            self.parts.event("info", "initialise-given-up")
        else:
            writer.save(initialisation_requested(writer.state, self.consumer, self.clock.now()))
            self.parts.event("debug", "initialise-asked")

    def _initialise(self, writer: Writer, step: Initialise) -> None:
        self.updates.discard()
        try:
            init_snapshot(self.parts, writer, step)
        except CtisyncError as error:
            error.hint = _or_keep(error.hint, writer.state)
            raise
        self.so_far = self.so_far.after(initialised=True, advanced=True)

    def _send_command(self, writer: Writer, offset: int) -> None:
        """Send the owed command for the content at `offset`. It stays owed until it is accepted.

        A refusal is stored and logged, not raised, so that the pass can continue to update the content.
        """
        # Programs that get the command, and hooks, search the content.
        writer.make_searchable()
        if self.parts.commands is None:
            writer.save_later(command_needless(writer.state))
            return
        try:
            self.parts.commands.send_update(self.consumer.index, offset)
        except CommandNotAccepted as error:
            refused = command_refused(writer.state)
            writer.save(refused)
            self.parts.event(
                "warning",
                "command-not-accepted",
                offset=offset,
                attempts=refused.owed.attempts if refused.owed else None,
                why=error.message,
                hint=error.hint,
            )
            self.so_far = self.so_far.after(command_refused=True)
        else:
            writer.save(command_accepted(writer.state, offset, self.clock.now()))
            self.parts.event("info", "command-accepted", index=self.consumer.index, offset=offset)

    def _send_owed_command(self) -> None:
        owed = self.state.owed_for(self.consumer)
        if self.writer is not None and owed is not None and not self.so_far.command_refused:
            self._send_command(self.writer, owed.offset)

    def _end(self, end: End) -> None:
        """Store the feed's answer if the lease was not needed. Remove a partial download, unless an
        initialisation is still requested."""
        if self.answer is not None and self.writer is None:
            self.store.record_check(self.consumer, self.unlocked_state)
        done = end.outcome in ("up-to-date", "initialised", "blocked")
        if done and self.state.offset > 0 and self.state.requested is None:
            self.feed.tidy()

    def _store_failure(self, error: CtisyncError) -> None:
        """Store that the feed did not answer, and the cool-down that follows, in one write. Best effort: the
        error ends this pass anyway."""
        seconds = error.cooldown if isinstance(error, FeedUnreachable) and self.policy.cooldowns else None
        if seconds is None and not self.awaits_answer:
            return
        now = self.clock.now()
        state = unanswered(self.state, now) if self.awaits_answer else self.state
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
                self.parts.event("warning", "cooldown-not-remembered", why=failure.message)
        else:
            self.unlocked_state = state
            if seconds is not None:
                error.hint = _cooldown_hint(state, self.policy)

    def _report_state(self) -> None:
        self.parts.report.set_state(self.state, commands=self.parts.commands is not None)

    def _log_state(self, event: str) -> None:
        """Log the state, and add it to the report."""
        state = self.state
        self._report_state()
        self.parts.event(
            "debug",
            event,
            phase=state.phase,
            offset=state.offset,
            last_offset=state.last_offset,
            owed=None if state.owed is None or self.parts.commands is None else state.owed.offset,
            checked_at=state.checked_at,
            updated_at=state.updated_at,
        )


def _cooldown_hint(state: ConsumerState, policy: Policy) -> str | None:
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
    if state.requested is None or state.offset == 0:
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
                hint=f"{replace_command(consumer)} (loads it beside the other one, then moves "
                f"{consumer.index} to it), or set consumers[].index to another name",
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
            message = f"{consumer}: {end.why}{old if policy.tolerate_cooldown else ''}"
            return FeedUnreachable(message, hint=_cooldown_hint(state, policy))
        case _:
            return None
