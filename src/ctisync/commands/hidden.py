"""What is said when the store does not show its user the whole content."""

from ctisync.core.model import Consumer
from ctisync.ports import InspectedStore, Log


def tell_hidden(store: InspectedStore, consumer: Consumer, log: Log) -> None:
    tell(store.hidden(consumer), consumer, log)


def tell(what: str | None, consumer: Consumer, log: Log) -> None:
    """`what`: what `ports.InspectedStore.hidden` says."""
    if what is not None:
        log.event(
            "warning",
            "content-hidden",
            consumer=str(consumer),
            why=f"your user may not see {what}: counts and records are those that it may see",
            hint="ctisync doctor",
        )
