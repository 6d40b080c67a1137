"""The warning if a role hides a part of the content from the user of the store."""

from ctisync.core.model import Consumer
from ctisync.ports import InspectedStore, Log


def tell_hidden(store: InspectedStore, consumer: Consumer, log: Log) -> None:
    """Warn if the store hides a part of the content."""
    tell(store.hidden(consumer), consumer, log)


def tell(what: str | None, consumer: Consumer, log: Log) -> None:
    """`what`: the result of `ports.InspectedStore.hidden`."""
    if what is not None:
        log.event(
            "warning",
            "content-hidden",
            consumer=str(consumer),
            why=f"a role hides {what} from your user: counts and records cover only the visible part",
            hint="ctisync doctor",
        )
