"""One call of a command that reads or changes the store."""

import msgspec

from ctisync.console import Console
from ctisync.core.model import Consumer
from ctisync.errors import UsageError
from ctisync.ports import Clock
from ctisync.settings import Settings


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a command works with. `consumers`: those that it is about, in the order in which it takes them;
    `named`: whether the command line names them."""

    settings: Settings
    consumers: tuple[Consumer, ...]
    clock: Clock
    console: Console
    named: bool = False

    def only_consumer(self, why: str) -> Consumer:
        """The consumer of a command that takes only one. `why` begins the message of the UsageError for
        several: "export writes"."""
        if len(self.consumers) > 1:
            names = ", ".join(str(each) for each in self.consumers)
            told = "given" if self.named else "configured"
            hint = "pass only one --consumer NAME" if self.named else "add --consumer NAME"
            raise UsageError(f"{why} only one consumer, but several are {told}: {names}", hint=hint)
        return self.consumers[0]
