"""The warning if a role hides a part of the content from the user of the store."""

from ctisync.core.model import Consumer
from ctisync.ports import Log


def warn_of_hidden(hidden: str | None, consumer: Consumer, log: Log) -> None:
    """Warn unless `hidden`, as in `Summary.hidden`, is None."""
    if hidden is not None:
        log.event(
            "warning",
            "content-hidden",
            consumer=str(consumer),
            why=f"a role hides {hidden} from your user: counts and records cover only the visible part",
            hint="ctisync doctor",
        )
