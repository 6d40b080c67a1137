"""Work beside the main thread, where the system allows it: `ulimit -u` or systemd's `TasksMax=` may not."""

from collections.abc import Callable
from threading import Thread


def beside(work: Callable[[], object], name: str) -> Thread | None:
    """A thread that has begun `work`, and does not keep the process from ending: what hangs is left behind.

    None when the system allows no further thread; nothing has begun then.
    """
    thread = Thread(target=work, daemon=True, name=name)
    try:
        thread.start()
    except RuntimeError:  # the only one that starting raises for it
        return None
    return thread
