"""What a soak does again and again: the feed moves, passes run and are killed, one whole pass mends it all.

Chance comes from the seed, the store and the round's number alone; only what a signal meets is left to
the machine.
"""

import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.soak.feed import COOLDOWN, MovingFeed, ask_to_be_left_alone, fail_transiently
from tests.soak.figures import Figures
from tests.soak.processes import Ended, Failed, Running, wait_until
from tests.soak.sides import Side
from tests.support.command_manager import Failure as Refusal
from tests.support.records import comparable

VERIFY_EVERY: Final = 10
DEEP_EVERY: Final = 50

BUDGET: Final = "20"
"""Seconds that a pass waits for what is transient: a few failures fit in."""

WAITS: Final = 60.0
"""Seconds for a process to get to work, on a busy machine, before its signal is sent all the same."""

MANNERS: Final[tuple[tuple[signal.Signals, ...], ...]] = (
    *[()] * 5,
    *[(signal.SIGKILL,)] * 7,
    *[(signal.SIGTERM,)] * 3,
    *[(signal.SIGINT,)] * 3,
    (signal.SIGTERM, signal.SIGTERM),
)
COMMANDS: Final = (*["sync"] * 10, "update", "init-snapshot", "init-snapshot")
BESIDE: Final = ("sync", "sync", "init-snapshot")
"""What the other stores of the folder do meanwhile."""

DISTURBANCES: Final = (1, 1, 1, 2, 3)
"""Passes of a round that something happens to, one after the other."""

REFUSALS: Final[tuple[Refusal, ...]] = (500, 503, 429, "reset", "html", "error-body")

NEVER: Final = "31536000"
"""`reinit_interval`: a change that cannot be applied initialises once, and from then on blocks at once."""


class Rounds:
    """The soak of stores that follow one feed at the same time, each a side; mostly there is one."""

    def __init__(self, seed: int, sides: Sequence[Side], feed: MovingFeed, figures: Figures) -> None:
        """What is measured is of the first side."""
        self._seed = seed
        self._sides = sides
        self._feed = feed
        self.figures = figures
        self.number = 0
        self.step = ""
        self._began = time.monotonic()
        self._poisoned_for = 0
        self._led_past = 0  # where the last change stands that a snapshot leads past
        self._reinit_interval = "0"
        self._left_alone_until = 0.0
        self._usual_seconds = 1.0

    def play(self, *, sabotage: bool = False) -> None:
        """One round. Raises Failed. `sabotage`: a record is altered before it is looked at."""
        self.number += 1
        self.figures.rounds += 1
        choose = random.Random(f"{self._seed} {self.figures.store} {self.number}")
        must_mend = self._live_on(choose)
        for _ in range(choose.choice(DISTURBANCES)):
            self._disturb(choose)
            for side in self._sides:
                self._look(side)
        if must_mend or sabotage or choose.random() < 0.85 or self.number % VERIFY_EVERY == 0:
            self._mend(sabotage=sabotage)
            if self.number % VERIFY_EVERY == 0:
                self._verify("--deep" if self.number % DEEP_EVERY == 0 else "-q")

    def finish(self) -> None:
        """The last word: a whole pass, and an audit of every record."""
        self._mend()
        self._verify("--deep")

    # What the feed does.

    def _live_on(self, choose: random.Random) -> bool:
        """Whether what has changed must be seen by a whole pass."""
        self.step = "the feed lives on"
        feed, dice = self._feed, choose.random()
        if feed.poison is not None:
            return self._suffer(choose)
        feed.thaw_a_bit()
        if dice < 0.10:
            pass
        elif dice < 0.80:
            feed.move(choose.randint(5, 120), choose)
        elif dice < 0.95:
            feed.move(choose.randint(120, 500), choose)
        else:
            for _ in range(3):
                feed.move(choose.randint(20, 100), choose)
                feed.history.gap(choose.randint(300, 1500))
        if feed.frozen:
            return False
        return self._turn(choose)

    def _heal(self) -> None:
        """What a pass that died has not met is forgotten."""
        self._feed.heal()
        self._feed.requests.clear()
        for side in self._sides:
            side.manager.failures.clear()

    def _turn(self, choose: random.Random) -> bool:
        """Something begins, or nothing."""
        feed, dice = self._feed, choose.random()
        if dice < 0.06:
            self._tell("poison")
            self._poisoned_for = choose.randint(1, 3)
            self._reinit_interval = choose.choice(["0", NEVER])
            feed.put_poison(choose)
            feed.move(choose.randint(0, 60), choose)
            return True
        if dice < 0.11:
            self._tell("frozen")
            feed.freeze(choose.randint(1, 3))
            feed.move(choose.randint(1, 60), choose)
        elif dice < 0.25:
            self._tell("new snapshot")
            feed.offer_snapshot(choose.randint(feed.snapshot_offset, feed.history.last_offset))
        return False

    def _suffer(self, choose: random.Random) -> bool:
        """A change blocks, until it is mended, a snapshot leads past it, or a person takes that."""
        self._feed.move(choose.randint(0, 60), choose)
        self._poisoned_for -= 1
        if self._poisoned_for:
            return choose.random() < 0.5
        operator = self._reinit_interval == NEVER and choose.random() < 0.5
        by_snapshot = operator or (self._reinit_interval == "0" and choose.random() < 0.7)
        self._tell("cure by " + ("operator" if operator else "snapshot" if by_snapshot else "mending"))
        if by_snapshot:
            self._led_past = self._feed.poison or 0
        self._feed.cure(by_snapshot=by_snapshot)
        if operator:
            self.step = "the operator's init-snapshot"
            self._heal()
            for side in self._sides:
                ended = self._whole(side, "init-snapshot")
                self._expect(ended.code == 0, f"it ended with {ended.code}: {ended.events}")
        return True

    def _tell(self, weather: str) -> None:
        self.figures.weather[weather] += 1

    # What happens to passes.

    def _disturb(self, choose: random.Random) -> None:
        self._heal()
        command, signals = choose.choice(COMMANDS), choose.choice(MANNERS)
        self.step = f"a {command} that gets {'+'.join(each.name for each in signals) or 'no signal'}"
        side = choose.choice(self._sides)
        environ = {"CTISYNC_REINIT_INTERVAL": self._reinit_interval}
        allowed = self._allowed(side, command, choose, environ)
        second = choose.random() < 0.12
        others = (each for each in self._sides if each is not side)
        passes = [self._start(side, command, environ)]
        passes += [self._start(other, choose.choice(BESIDE), environ) for other in others]
        if second:
            self.step += ", with another sync beside it"
            time.sleep(choose.uniform(0.0, 0.5) * self._usual_seconds)
            passes.append(self._start(side, "sync", environ))
            allowed |= {4}
        at_work = choose.random() < 0.75
        moment = choose.uniform(0.0, 0.5 if at_work else 1.1) * self._usual_seconds
        moves = choose.randint(1, 40) if choose.random() < 0.3 else 0
        victim = passes[0].process
        if at_work:
            wait_until(lambda: self._feed.requests or victim.poll() is not None, WAITS)
        self._feed.move(moves, choose)
        wait_until(lambda: victim.poll() is not None, moment)
        if victim.poll() is None:
            self._signal(passes[0], signals)
            allowed |= {code for each in signals for code in (128 + each, -each)}
        for number, running in enumerate(passes):
            ended = self._count(running.ended())
            self._expect(
                ended.code in allowed | ({0, 10} if number else set()),
                f"pass {number + 1} ended with {ended.code}, not one of {sorted(allowed)}: {ended.events}",
            )

    def _allowed(self, side: Side, command: str, choose: random.Random, environ: dict[str, str]) -> set[int]:
        """The exit codes for a pass that gets no signal, in the trouble that is made here."""
        allowed = {0}
        if choose.random() < 0.25:
            allowed |= {5, 6}
            if choose.random() < 0.15:
                trouble = ask_to_be_left_alone(self._feed)
                environ["CTISYNC_CTI__RETRY_BUDGET"] = "2"
            else:
                trouble = fail_transiently(self._feed, choose)
            self._tell("feed fails")
            self.step += f"; the feed: {trouble}"
            self._left_alone_until = time.monotonic() + 60 + COOLDOWN
        if time.monotonic() < self._left_alone_until:
            allowed |= {5}
        if choose.random() < 0.15:
            allowed |= {8}
            refusal, times = choose.choice(REFUSALS), choose.randint(1, 5)
            side.manager.fail(refusal, times)
            self._tell("command refused")
            self.step += f"; the Command Manager: {refusal} times {times}"
        if self._feed.poison is not None:
            allowed |= {6}
        if command == "update" and (side.offset == 0 or self._feed.poison is not None):
            allowed |= {10}
        if command == "update" and side.offset < self._led_past:
            allowed |= {6, 10}  # it never takes the snapshot that leads past the change
        return allowed

    def _start(self, side: Side, command: str, environ: dict[str, str]) -> Running:
        self.figures.passes += 1
        return side.sessions.start(command, "--log-format", "json", **environ)

    def _signal(self, running: Running, signals: tuple[signal.Signals, ...]) -> None:
        began = time.monotonic()
        for number, each in enumerate(signals):
            if number:
                wait_until(lambda: running.process.poll() is not None, 0.4)
            running.send(each)
            self.figures.signals[each.name] += 1
        if signals and signal.SIGKILL not in signals:
            wait_until(lambda: running.process.poll() is not None, WAITS)
            self.figures.slowest_stop = max(self.figures.slowest_stop, time.monotonic() - began)

    def _count(self, ended: Ended) -> Ended:
        self.figures.codes[ended.code] += 1
        self.figures.initialisations += ended.count("initialised")
        self.figures.changes += ended.total("range-applied", "changes")
        return ended

    # What must be so.

    def _look(self, side: Side) -> None:
        """Whatever has happened, readers find what the offset says."""
        self.step = f"what readers find after {self.step.removeprefix('what readers find after ')}"
        content = side.read_content()
        if content.lines is None:
            self._expect(not side.has_content, "the content is gone")
            return
        side.has_content = True
        if content.offset and content.settled:
            self._compare(content.lines, content.offset)

    def _mend(self, *, sabotage: bool = False) -> None:
        """Everything is well again, but for a change that blocks: one pass gets to where it must get."""
        before = self.step
        self._heal()
        self.step = f"the whole pass after {before}"
        environ = {"CTISYNC_REINIT_INTERVAL": self._reinit_interval}
        first, *others = self._sides
        beside = [self._start(side, "sync", environ) for side in others]
        passes = [self._whole(first, "sync")]
        for side, running in zip(others, beside, strict=True):
            ended = self._count(running.ended())
            passes.append(ended if ended.code != 5 else self._whole(side, "sync"))
        if sabotage:
            first.place.alter_a_record()
        before = self.step
        for side, ended in zip(self._sides, passes, strict=True):
            self.step = f"what is left by {before}"
            self._mended(side, ended)
        self._feed.forget_before(self._feed.reachable_offset)

    def _mended(self, side: Side, ended: Ended) -> None:
        """What one whole pass has come to."""
        blocked, expected = self._feed.poison is not None, self._feed.reachable_offset
        self.figures.blocked += blocked
        self._expect(ended.code == (6 if blocked else 0), f"it ended with {ended.code}: {ended.events}")
        wrote = ended.count("range-applied") > 0 and not ended.count("initialised")
        leftovers = side.place.leftovers(wrote=wrote)
        self._expect(not leftovers, f"left over: {', '.join(leftovers)}")
        content = side.read_content()
        self._expect(content.offset == expected, f"the content stands at {content.offset}, not at {expected}")
        self._compare(content.lines or {}, expected)
        accepted = side.accepted_offset()
        self._expect(
            accepted == expected,
            f"the last command that was accepted is of {accepted}, the content stands at {expected}",
        )
        side.forget()

    def _whole(self, side: Side, command: str) -> Ended:
        """A pass that nobody disturbs. It may have to wait for a cool-down that was asked for before."""
        while True:
            self.figures.passes += 1
            began = time.monotonic()
            ended = side.sessions.run(
                command, "--log-format", "json", CTISYNC_REINIT_INTERVAL=self._reinit_interval
            )
            self._count(ended)
            if (
                ended.code == 5
                and ended.events[-1].get("message", "").find("cool-down of the feed until") >= 0
            ):
                self._expect(began < self._left_alone_until, f"the cool-down does not end: {ended.events}")
                time.sleep(0.5)
                continue
            if side is self._sides[0]:
                self._measure(ended, time.monotonic() - began)
            return ended

    def _measure(self, ended: Ended, seconds: float) -> None:
        hours = (time.monotonic() - self._began) / 3600
        assert ended.peak is not None
        self.figures.peaks.append((hours, ended.peak))
        self.figures.sizes.append((hours, self._sides[0].place.size()))
        self._usual_seconds = 0.8 * self._usual_seconds + 0.2 * seconds

    def _verify(self, option: str) -> None:
        self.step = f"ctisync verify {option}"
        for side in self._sides:
            ended = side.sessions.run("verify", option)
            self._expect(ended.code == 0, f"it ended with {ended.code}:\n{ended.words}")
            self.figures.verified += 1

    def _compare(self, stored: dict[str, bytes], offset: int) -> None:
        expected = self._feed.expected_records(offset)
        self.figures.compared += 1
        self.figures.records_compared += len(expected)
        wrong = [f"{name} is missing" for name in expected.keys() - stored.keys()]
        wrong += [f"{name} is too much" for name in stored.keys() - expected.keys()]
        wrong += [
            f"{name} is\n    {_short(stored[name])}\n  and should be\n    {_short(line)}"
            for name, line in expected.items()
            if name in stored and stored[name] != line and comparable(stored[name]) != comparable(line)
        ]
        if wrong:
            self.figures.divergences += 1
            some = "\n  ".join(sorted(wrong)[:5])
            raise Failed(f"at offset {offset}, {len(wrong)} of {len(expected)} records differ:\n  {some}")

    def _expect(self, so: bool, otherwise: str) -> None:
        if not so:
            self.figures.divergences += 1
            raise Failed(otherwise)

    def end(self) -> None:
        """Nothing is left running."""
        for side in self._sides:
            side.sessions.end()

    def keep_evidence(self, folder: Path) -> None:
        """What should be there, the changes that led to it, and whatever the store can show."""
        history = self._feed.history
        lines = self._feed.expected_lines(self._feed.reachable_offset)
        (folder / "expected.ndjson").write_bytes(b"\n".join(lines))
        (folder / "changes.txt").write_text("\n".join(map(repr, history.entries)))
        for side in self._sides:
            side.place.keep_evidence(folder)


def _short(line: bytes) -> str:
    return line[:300].decode(errors="replace")
