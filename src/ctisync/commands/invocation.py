"""One call of a command that reads or changes the store."""

from pathlib import Path

import msgspec

from ctisync.console import Console
from ctisync.core.model import Consumer
from ctisync.core.steps import Mode, Policy
from ctisync.errors import UsageError
from ctisync.ports import Clock
from ctisync.settings import Settings


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """What a command works with.

    `consumers`: those that it is about, in the order in which it takes them; `named`: whether the command
    line names them. For commands with passes: `policy` is what a pass may do, `metrics` the file for metrics,
    and `option` belongs to the name of the command that other passes and `status` show, as in
    "ctisync init-snapshot --from".
    """

    settings: Settings
    consumers: tuple[Consumer, ...]
    clock: Clock
    console: Console
    named: bool = False
    policy: Policy = Policy()
    metrics: Path | None = None
    option: str = ""

    @classmethod
    def of(cls, settings: Settings, mode: Mode, clock: Clock, console: Console) -> "Invocation":
        """A call of the subcommand `mode` without options."""
        from ctisync.wiring import policy

        return cls(
            settings=settings,
            consumers=settings.followed,
            clock=clock,
            console=console,
            policy=policy(settings, mode),
        )

    @property
    def command(self) -> str:
        """The name of a command with passes: "ctisync sync"."""
        return " ".join(filter(None, ("ctisync", self.policy.mode, self.option)))

    def only_consumer(self, why: str) -> Consumer:
        """The consumer of a command that takes only one. `why` begins the message of the UsageError for
        several: "export writes"."""
        if len(self.consumers) > 1:
            names = ", ".join(str(each) for each in self.consumers)
            source = "given" if self.named else "configured"
            hint = "pass only one --consumer NAME" if self.named else "add --consumer NAME"
            raise UsageError(f"{why} only one consumer, but several are {source}: {names}", hint=hint)
        return self.consumers[0]

    def warn_of_hidden(self, hidden: str | None, consumer: Consumer) -> None:
        """Warn if a role hides a part of the content from the user of the store. `hidden`: as in
        `Summary.hidden`."""
        if hidden is not None:
            self.console.event(
                "warning",
                "content-hidden",
                consumer=str(consumer),
                why=f"a role hides {hidden} from your user: counts and records cover only the visible part",
                hint="ctisync doctor",
            )
