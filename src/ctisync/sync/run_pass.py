"""START READING HERE: one pass over one consumer.

It reads the stored state, lets `core.steps` decide on a step, performs it and stores the result, until there
is nothing left to do. The caller holds the host's lock. A pass without anything to write never takes the
store's lease; otherwise it keeps the lease to its end.
"""

from contextlib import ExitStack, suppress
from datetime import datetime

from ctisync import errors, hints
from ctisync.core import steps, trust
from ctisync.core.model import Consumer, ConsumerInfo, OffsetRange, Snapshot
from ctisync.core.pass_report import Ended
from ctisync.core.state import ConsumerState
from ctisync.core.steps import (
    ApplyRange,
    End,
    Initialise,
    Policy,
    SoFar,
    Step,
    cooldown_end,
    is_of_another_history,
    next_step,
)
from ctisync.errors import (
    AnotherPass,
    CommandNotAccepted,
    ConfigurationError,
    CtisyncError,
    FeedRefused,
    FeedUnreachable,
    StoreUnavailable,
)
from ctisync.ports import Level, SnapshotFile, Writer
from ctisync.sync.init_snapshot import init_snapshot
from ctisync.sync.parts import Parts
from ctisync.sync.update import Updates


def run_pass(parts: Parts, snapshot: Snapshot | None = None, file: SnapshotFile | None = None) -> Ended:
    """Bring the stored content of `parts.consumer` in step with the feed, as far as `parts.policy` allows; or
    make the records of `file` the live content at the offset of `snapshot`, without a request to the feed.

    Returns the report of the pass, and the CtisyncError that ended it early, if any; it raises none. All that
    was stored until then is consistent, and the next pass continues there.
    """
    error: CtisyncError | None = None
    try:
        with ExitStack() as resources:
            _Pass(parts, snapshot, file, resources).run()
    except CtisyncError as caught:
        error = caught
    return parts.report.ended(error, parts.clock.monotonic())


class _Pass:
    """A running pass: the stored state, the feed's answer, and the steps so far.

    `resources` closes the store's lease and the progress bar when the pass ends.
    """

    def __init__(
        self, parts: Parts, snapshot: Snapshot | None, file: SnapshotFile | None, resources: ExitStack
    ) -> None:
        self.parts = parts
        self.consumer = parts.consumer
        self.clock = parts.clock
        self.offered = ConsumerInfo(None, snapshot) if snapshot is not None else None
        self.file = file
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
                self._report_matches()
                self._fill_facts()
            raise
        finally:
            self._log_state("pass-stands")
        # A warning also shows with -q: without an answer of the feed the age of the content is unknown.
        is_odd = end.outcome in ("nothing-known", "no-snapshot", "mirror-behind")
        level: Level = "warning" if is_odd else "info"
        self.parts.event(level, "pass-ended", outcome=end.outcome, why=end.why)
        self.parts.report.end = end
        self._report_matches()
        facts_error = self._fill_facts()
        failure = bad_end(end, self.consumer, self.parts.policy, self.state, self.clock.now())
        if failure is not None:
            raise failure
        if self.so_far.command_refused:
            raise CommandNotAccepted(
                f"{self.consumer}: the content is current, but the Command Manager did not accept the "
                "update command",
                hint=f"{hints.command('status')} (the command is still owed; the next pass sends it again)",
            )
        if facts_error is not None:
            raise facts_error

    def _perform_steps(self) -> End:
        while True:
            self._report_state()
            info, now = self.offered or self.answer, self.clock.now()
            situation = steps.Situation(self.state, info, self.consumer, self.so_far, self.parts.policy, now)
            step = next_step(situation)
            match step:
                case End():
                    self._end(step)
                    return step
                case steps.AskFeed():
                    self._ask_feed()
                case _ if self.writer is None:
                    self._take_lease(step)  # and decide again: another writer may have written meanwhile
                case steps.RecordRequest(cancel):
                    self._record_request(self.writer, cancel)
                case steps.SendCommand(offset):
                    self._send_command(self.writer, offset)
                case Initialise():
                    self._initialise(self.writer, step)
                case ApplyRange():
                    self.so_far = self.updates.update(self.writer, step, situation)
                case steps.Settle():  # pragma: no cover  # a writer's state is settled, by its contract
                    raise AssertionError("a lease was taken, and the state is still unsettled")

    def _ask_feed(self) -> None:
        self.awaits_answer = True
        self.answer = self.parts.feed.consumer_info()
        self.awaits_answer = False
        self._check_history(self.answer)
        self.unlocked_state = self.unlocked_state.feed_answered(self.answer, self.clock.now())
        if self.writer is not None:
            self.writer.save(self.writer.state.feed_answered(self.answer, self.clock.now()))
        self.parts.event(
            "info",
            "feed-asked",
            offset=self.state.offset,
            last_offset=self.answer.last_offset,
            snapshot_offset=self.answer.snapshot.offset if self.answer.snapshot else None,
        )

    def _check_history(self, info: ConsumerInfo) -> None:
        """Raises FeedRefused for a signed mirror that is older than before, and for one from which the
        content cannot come. (Of the feed itself, the offset shows it, and `on_feed_reset` says the rest.)"""
        state, mark, mirror = self.state, self.state.last_change, info.mirror
        trust.check_serial(mirror, state.serials)
        if mirror is None or state.offset == 0 or self.parts.policy.mode == "init-snapshot":
            return
        there = mark  # it cannot be compared where the mirror does not have that offset
        if mark is not None and mirror.floor < mark.offset <= (info.last_offset or 0):
            changes = self.parts.feed.changes(OffsetRange(mark.offset - 1, mark.offset))
            there = changes[0].mark if changes else None
        if not state.is_requested_with(self.consumer) and is_of_another_history(state, info, there):
            raise FeedRefused(
                f"{self.consumer}: the mirror has another history than the content at offset {state.offset}; "
                "nothing was changed",
                hint=hints.load_mirror(self.parts.policy.bundle),
            )

    def _take_lease(self, step: Step) -> None:
        if isinstance(step, ApplyRange):
            self.parts.feed.prefetch(step.range)
        before = self.unlocked_state
        self.writer = self._with_lease()
        if before.content and not self.writer.state.content:
            why = f"the content stored as {self.consumer.index} is not the one that the state names: "
            why += "another program has removed or replaced it"
            self.parts.event("warning", "content-gone", offset=before.offset, why=why)
        if self.parts.watches or self.writer.state.watches:
            from ctisync.sync.watches import begin_watches

            begin_watches(self.parts, self.writer)
        if self.answer is None:
            return
        if self.writer.state.offset != before.offset:
            self.answer = None  # outdated: another pass has written since
            return
        # A range is stored soon, a load perhaps in hours.
        store = self.writer.save_later if isinstance(step, ApplyRange) else self.writer.save
        store(self.writer.state.feed_answered(self.answer, self.clock.now()))

    def _record_request(self, writer: Writer, cancel: bool) -> None:
        if cancel:
            writer.save(writer.state.initialisation_cancelled())
            self.parts.event("info", "initialise-given-up")
        else:
            writer.save(writer.state.initialisation_requested(self.consumer, self.clock.now()))
            self.parts.event("debug", "initialise-asked")

    def _initialise(self, writer: Writer, step: Initialise) -> None:
        self.updates.discard()
        try:
            init_snapshot(self.parts, writer, step, self.file)
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
            writer.save_later(writer.state.command_needless())
            return
        try:
            self.parts.commands.send_update(self.consumer.index, offset)
        except CommandNotAccepted as error:
            writer.save(refused := writer.state.command_refused())
            attempts = refused.owed.attempts if refused.owed else None
            why, hint = error.message, error.hint
            self.parts.event(
                "warning", "command-not-accepted", offset=offset, attempts=attempts, why=why, hint=hint
            )
            self.so_far = self.so_far.after(command_refused=True)
        else:
            writer.save(writer.state.command_accepted(offset, self.clock.now()))
            self.parts.event("info", "command-accepted", index=self.consumer.index, offset=offset)

    def _send_owed_command(self) -> None:
        owed = self.state.owed_for(self.consumer)
        if self.writer is not None and owed is not None and not self.so_far.command_refused:
            self._send_command(self.writer, owed.offset)

    def _report_matches(self) -> None:
        """Report to the watches what is new in the content. Without a lease, another pass may be at work,
        which does it then."""
        if not self.parts.watches or not self.state.is_shown_as(self.consumer):
            return
        from ctisync.sync.watches import has_due, report_matches

        if has_due(self.parts, self.state):
            with suppress(AnotherPass):
                report_matches(self.parts, self._with_lease())

    def _fill_facts(self) -> ConfigurationError | None:
        """Fill the store's facts index, which never delays content, offset or command. What fails is logged,
        and the next pass goes on; returned is what only you can resolve."""
        try:
            if self.writer is None and not self.parts.store.facts_behind(self.consumer):
                return None
            filled = self._with_lease().fill_facts(self.parts.check_time)
        except AnotherPass as error:  # it fills the index itself
            self.parts.event("info", "facts-index-behind", why=error.message, hint=error.hint)
        except ConfigurationError as error:
            return error
        except (StoreUnavailable, FeedUnreachable) as error:  # the latter: the time of the pass is over
            self.parts.event("warning", "facts-index-behind", why=error.message, hint=error.hint)
        else:
            if filled is not None and filled.is_removed:
                self.parts.event("info", "facts-index-removed")
            elif filled is not None:
                self.parts.event(
                    "info", "facts-index-filled", offset=self.state.offset, documents=filled.written
                )
        return None

    def _with_lease(self) -> Writer:
        """The writer of this pass, which takes the lease if it has none."""
        if self.writer is None:
            self.writer = self.resources.enter_context(self.parts.store.writer(self.consumer))
        return self.writer

    def _end(self, end: End) -> None:
        """Store the feed's answer if the lease was not needed. Remove a partial download, unless an
        initialisation is still requested."""
        if self.answer is not None and self.writer is None:
            self.parts.store.record_check(self.consumer, self.unlocked_state)
        done = self.file is None and end.outcome in ("up-to-date", "initialised", "blocked")
        if done and self.state.offset > 0 and self.state.requested is None:
            self.parts.feed.tidy()

    def _store_failure(self, error: CtisyncError) -> None:
        """Store that the feed did not answer, and the cool-down that follows, in one write. Best effort: the
        error ends this pass anyway."""
        policy, now = self.parts.policy, self.clock.now()
        seconds = error.cooldown if isinstance(error, FeedUnreachable) and policy.cooldowns else None
        if seconds is None and not self.awaits_answer:
            return
        state = self.state.unanswered(now) if self.awaits_answer else self.state
        if seconds is not None:
            before = state.cooldown_ended() if policy.now else state
            state = before.cooldown_begun(seconds, error.message, now, policy.server)
        try:
            if self.writer is not None:
                self.writer.save(state)
            else:
                self.parts.store.record_check(self.consumer, state)
        except CtisyncError as failure:
            if seconds is not None:
                self.parts.event("warning", "cooldown-not-remembered", why=failure.message)
        else:
            self.unlocked_state = state
            if seconds is not None:
                error.hint = _cooldown_hint(state, policy)

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
    hint = f"run the same command after {when}, or at once: {hints.command(policy.mode, '--now')}"
    cron = "" if policy.tolerate_cooldown else "; for cron, --tolerate-cooldown makes it exit code 0"
    return _or_keep(hint + cron, state)


def _or_keep(hint: str | None, state: ConsumerState) -> str | None:
    """The hint, plus how to cancel a requested initialisation that cannot be done, so that updates
    continue."""
    if state.requested is None or state.offset == 0:
        return hint
    give_up = f"to cancel the requested initialisation: {hints.command('sync', '--keep')}"
    return give_up if hint is None else f"{hint}; {give_up}"


def _unfit_offsets(why: str, outcome: str, policy: Policy, offset: int) -> FeedRefused:
    """The offsets of feed and content do not fit together."""
    if outcome == "went-back":
        hint = f'{hints.load_anew()} (loads the feed\'s snapshot again; or set on_feed_reset = "init")'
    elif outcome == "too-far":
        hint = f"if this is expected, raise limits.offsets_ahead, or: {hints.load_anew()}"
    elif policy.mode == "update":
        hint = f"{hints.command('sync')} (sync can initialise, update cannot)"
    else:
        hint = hints.carry_more(policy.bundle, 0 if policy.mode == "init-snapshot" else offset)
    return FeedRefused(f"{why}; nothing was changed", hint=hint)


def bad_end(
    end: End, consumer: Consumer, policy: Policy, state: ConsumerState, now: datetime
) -> CtisyncError | None:
    """The error of a pass with this end; None if it succeeded."""
    why = f"{consumer}: {end.why}"
    match end.outcome:
        case "went-back" | "below-floor" | "too-far":
            return _unfit_offsets(why, end.outcome, policy, state.offset)
        case "state-wrong":
            return errors.StoreUnavailable(why, hint=f"{hints.load_anew()} (loads the content again)")
        case "settings":
            hint = f"{hints.load_anew()} (loads the content again with these settings), or undo the change"
            return errors.SettingsChanged(why, hint=hint)
        case "replaced":
            hint = f"{hints.replace(consumer)} (loads it beside the other one, then moves "
            hint += f"{consumer.index} to it), or set consumers[].index to another name"
            return errors.SettingsChanged(why, hint=hint)
        case "blocked":
            status = hints.command("status")
            hint = f"{hints.command('sync')} (sync can initialise, update cannot); {status} shows what blocks"
            if policy.mode != "update":
                hint = (
                    f"{status} (shows what blocks); passes continue once the feed offers another change or "
                )
                hint += "a new snapshot"
            return errors.Blocked(why, hint=hint)
        case "empty":
            return errors.EmptyStore(why, hint=hints.command("sync"))
        case "cooldown" if not policy.tolerates(state, now):
            old = "; the content is too old to tolerate that (hooks.stale_after)"
            why += old if policy.tolerate_cooldown else ""
            return FeedUnreachable(why, hint=_cooldown_hint(state, policy))
        case _:
            return None
